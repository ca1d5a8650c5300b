"""The command line of `commander-server`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import NoReturn

import commander
from commander.errors import UsageError

DATA_VARIABLE = "COMMANDER_SERVER_DATA"
DEFAULT_LISTEN = "127.0.0.1:8443"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help")


def read_arguments(argv: Sequence[str], environment: Mapping[str, str]) -> argparse.Namespace:
    """Read the words. Raises UsageError."""
    default = environment.get(DATA_VARIABLE) or str(Path.home() / ".commander-server")
    parser = _Parser(prog="commander-server", description="Backend and router of Commander.")
    parser.add_argument("--version", action="version", version=commander.__version__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    data = _Parser(add_help=False)
    data.add_argument(
        "--data", type=_directory, default=_directory(default), metavar="DIR",
        help=f"where the server keeps everything (${DATA_VARIABLE}, ~/.commander-server)",
    )  # fmt: skip
    start = commands.add_parser("start", parents=[data], help="run in the foreground")
    _add_start(start)
    status = commands.add_parser("status", parents=[data], help="is it running, what does it hold")
    status.add_argument("--format", choices=("table", "json"), default="table")
    backup = commands.add_parser("backup", parents=[data], help="copy everything into one file")
    backup.add_argument("file", type=Path, metavar="FILE")
    backup.add_argument("--force", action="store_true", help="overwrite FILE")
    restore = commands.add_parser("restore", parents=[data], help="make DIR from a backup")
    restore.add_argument("file", type=Path, metavar="FILE")
    restore.add_argument("--force", action="store_true", help="replace what is in DIR")
    return parser.parse_args(argv)


def _add_start(start: argparse.ArgumentParser) -> None:
    start.add_argument(
        "--listen", default=DEFAULT_LISTEN, metavar="HOST:PORT",
        help=f"address to listen on; port 0 takes a free one (default {DEFAULT_LISTEN})",
    )  # fmt: skip
    start.add_argument(
        "--public-name", action="append", default=[], metavar="HOST[:PORT]",
        help="name under which others reach the server; may be repeated, the first goes into join strings",
    )  # fmt: skip
    start.add_argument("--tls-cert", type=Path, metavar="PEM", help="certificate chain to use")
    start.add_argument("--tls-key", type=Path, metavar="PEM", help="its key")
    start.add_argument(
        "--forward-proxy", action="append", default=[], type=_network, metavar="CIDR",
        help="believe X-Forwarded-For of peers in this network; may be repeated",
    )  # fmt: skip
    start.add_argument(
        "--new-setup-string", action="store_true",
        help="print another set-up join string, while there is no enterprise",
    )  # fmt: skip
    start.add_argument("--log-to-stdout", action="store_true", help="log to standard output too")


def _directory(text: str) -> Path:
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("the directory is empty")
    return Path(os.path.abspath(Path(text).expanduser()))


def _network(text: str) -> object:
    try:
        return ip_network(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a network like 10.0.0.0/8") from None
