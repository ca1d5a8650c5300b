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
from commander.launch.observing import add_metrics_arguments

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
        "--data", type=_path, default=_path(default), metavar="DIR",
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
    relay = commands.add_parser(
        "relay-config", parents=[data], help="write the configuration of a TURN relay (coturn)"
    )
    _add_relay_config(relay)
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
    _add_relays(start)
    start.add_argument("--log-to-stdout", action="store_true", help="log to standard output too")
    add_metrics_arguments(start)


def _add_relays(start: argparse.ArgumentParser) -> None:
    start.add_argument(
        "--relay-listen", metavar="HOST:PORT",
        help="accept relay streams on a port of their own too, to which something in front leads them by ALPN",
    )  # fmt: skip
    start.add_argument(
        "--relay-plain", action="store_true",
        help="no TLS on the relay port, since a program in front of it ends TLS",
    )  # fmt: skip
    start.add_argument(
        "--stun-url", action="append", default=[], metavar="URL",
        help="STUN server for WebRTC paths, stun:HOST:PORT; may be repeated",
    )  # fmt: skip
    start.add_argument(
        "--turn-url", action="append", default=[], metavar="URL",
        help="TURN relay, turn:HOST:PORT?transport=udp|tcp or turns:HOST:PORT; may be repeated",
    )  # fmt: skip
    start.add_argument(
        "--turn-secret-file", type=_path, metavar="FILE",
        help="the secret shared with the TURN relays; credentials of ten minutes are made from it",
    )  # fmt: skip
    start.add_argument(
        "--turn-only", action="store_true",
        help="WebRTC paths through the relays only: neither end learns the other's address",
    )  # fmt: skip


def _add_relay_config(relay: argparse.ArgumentParser) -> None:
    relay.add_argument(
        "--public-name",
        required=True,
        metavar="HOST",
        help="name under which others reach the relay",
    )
    relay.add_argument("--relay-address", required=True, metavar="IP", help="its public address")
    relay.add_argument(
        "--local-address", default="", metavar="IP",
        help="the machine's own address, where a provider's NAT stands before it",
    )  # fmt: skip
    relay.add_argument("--port", type=_port, default=3478, help="UDP and TCP (default 3478)")
    relay.add_argument("--tls-port", type=_port, default=5349, help="TCP with TLS (default 5349)")
    relay.add_argument(
        "--relay-ports", type=_ports, default=(49152, 65535), metavar="FIRST-LAST",
        help="UDP ports of the relays themselves (default 49152-65535)",
    )  # fmt: skip
    relay.add_argument(
        "--max-relays", type=int, default=1200, metavar="N", help="at once (default 1200)"
    )
    relay.add_argument("--tls-cert", type=Path, metavar="PEM", help="certificate chain to use")
    relay.add_argument("--tls-key", type=Path, metavar="PEM", help="its key")
    relay.add_argument(
        "--output", type=_path, metavar="DIR", help="where to write (default DATA/relay)"
    )


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port")
    return int(text)


def _ports(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return _port(first), _port(last)


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(os.path.abspath(Path(text).expanduser()))


def _network(text: str) -> object:
    try:
        return ip_network(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a network like 10.0.0.0/8") from None
