"""The `gateway` program: its words, where its files are, and its exit codes."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path

from commander import __version__
from commander.clock import SystemClock
from commander.config.paths import HOME_VARIABLE, find_paths
from commander.crypto.selftest import run_self_test
from commander.errors import CommanderError, Interrupted, UsageError
from commander.files import (
    check_own_directory,
    check_private_file,
    make_private_directory,
    read_private,
)
from commander.gateway.direct import DirectOptions
from commander.gateway.enrolment import enrol, load_config, prepare_config, save_config
from commander.gateway.targets import Allowance, parse_allowance
from commander.ksm.config import GatewayConfig
from commander.launch.allocator import keep_freed_memory
from commander.launch.gateway_direct import add_direct_arguments, read_direct
from commander.launch.gateway_program import describe_status, run_gateway
from commander.launch.hardening import (
    drop_key_log,
    protect_memory,
    refuse_optimised,
    show_fault,
)
from commander.launch.observing import Observer, add_metrics_arguments, metrics_listen
from commander.secret import Secret

CONFIG_NAME = "gateway-config.json"
CONFIG_VARIABLE = "GATEWAY_CONFIG"
SYSTEM_CONFIG = Path("/etc/commander-gateway") / CONFIG_NAME
SYSTEM_STATE = Path("/var/lib/commander-gateway")
SYSTEM_LOGS = Path("/var/log/commander-gateway")
JOIN_LIMIT = 4096
LOG_BYTES = 10_000_000
LOG_FILES = 5
NOT_ONLINE = 6
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Places:
    """Where one gateway keeps what it has."""

    config: Path
    state: Path
    logs: Path


def find_places(
    environment: Mapping[str, str], config_file: str, *, system: Path = SYSTEM_CONFIG
) -> Places:
    """
    Decide by `--config-file`, else the user's file, else the system's where only that one exists.

    The state directory belongs to the configuration, so two gateways never share one.
    """
    user_home = Path(environment.get("HOME") or "/")
    paths = find_paths(environment, user_home=user_home)
    if config_file:
        config = Path(config_file).absolute()
        return Places(config, config.with_suffix(".state"), paths.logs)
    own = paths.home / CONFIG_NAME
    if environment.get(HOME_VARIABLE) or own.exists() or not system.exists():
        return Places(own, own.with_suffix(".state"), paths.logs)
    return Places(system, SYSTEM_STATE, SYSTEM_LOGS)


def build_parser() -> argparse.ArgumentParser:
    """The program's words."""
    parser = argparse.ArgumentParser(
        prog="gateway", description="Opens tunnels to targets for users of a commander server."
    )
    parser.add_argument("--version", action="version", version=f"gateway {__version__}")
    words = parser.add_subparsers(dest="word", required=True)
    start = words.add_parser(
        "start",
        help="run in the foreground until a signal",
        epilog="example: gateway start --join-file join.txt",
    )
    source = start.add_mutually_exclusive_group()
    source.add_argument(
        "--join", metavar="STRING", help="enrol with a join string; - reads it from standard input"
    )
    source.add_argument("--join-file", metavar="FILE", help="enrol with the join string in a file")
    start.add_argument(
        "--config-file", default="", metavar="FILE", help=f"instead of ~/.commander/{CONFIG_NAME}"
    )
    start.add_argument("-d", "--debug", action="store_true", help="log more")
    start.add_argument(
        "--log-to-stdout", action="store_true", help="log to standard output instead of a file"
    )
    start.add_argument(
        "--allow-target", action="append", default=[], metavar="CIDR[:PORTS]",
        help="allow loopback, link-local or other special addresses as targets; may be repeated",
    )  # fmt: skip
    add_direct_arguments(start)
    add_metrics_arguments(start)
    status = words.add_parser(
        "status", help="tell whether the gateway is online", epilog="example: gateway status"
    )
    status.add_argument("--config-file", default="", metavar="FILE")
    status.add_argument("--format", choices=("text", "json"), default="text")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code."""
    try:
        refuse_optimised()
        options = build_parser().parse_args(argv)
        sys.excepthook = show_fault
        if options.word == "status":
            return _status(options)
        return _start(options)
    except CommanderError as error:
        _say_error(error)
        return error.exit_code
    except OSError as error:
        place = f"{error.filename}: " if isinstance(error.filename, str) else ""
        refusal = CommanderError(f"{place}{error.strerror}", hint="check space and rights")
        _say_error(refusal)
        return refusal.exit_code
    except KeyboardInterrupt:
        return Interrupted.exit_code


def _say_error(error: CommanderError) -> None:
    sys.stderr.write(f"error: {error.message} ({error.code})\n")
    if error.hint:
        sys.stderr.write(f"hint: {error.hint}\n")


def _start(options: argparse.Namespace) -> int:
    protect_memory()
    keep_freed_memory()
    # Rotated logs are opened by the library with whatever mode the umask leaves.
    os.umask(0o077)
    run_self_test()
    if drop_key_log(os.environ):
        sys.stderr.write("warning: SSLKEYLOGFILE is ignored\n")
    allowances = [parse_allowance(text) for text in options.allow_target]
    direct = read_direct(options)
    observer = Observer(SystemClock(), metrics_listen(options), _say)
    places = find_places(os.environ, options.config_file)
    _set_up_logs(places.logs, debug=options.debug, to_stdout=options.log_to_stdout)
    config, places = _find_config(options, places)
    return _run_until_stopped(config, places, allowances, direct, observer)


def _run_until_stopped(
    config: GatewayConfig,
    places: Places,
    allowances: Sequence[Allowance],
    direct: DirectOptions,
    observer: Observer,
) -> int:
    try:
        asyncio.run(
            run_gateway(
                config,
                state=places.state,
                environment=os.environ,
                allowances=allowances,
                direct=direct,
                say=_say,
                observer=observer,
            )
        )
    except CommanderError as error:
        _log.error("%s", error)
        raise
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _find_config(options: argparse.Namespace, places: Places) -> tuple[GatewayConfig, Places]:
    """Environment, file, or enrolment, in this order; an enrolled gateway ignores a join string."""
    text = os.environ.pop(CONFIG_VARIABLE, "")
    if text:
        config = GatewayConfig.parse(text)
        state = places.config.with_name(f"gateway-{config.identity.gateway}.state")
        return config, Places(places.config, state, places.logs)
    try:
        check_directory(places.config)
        config = load_config(places.config)
    except FileNotFoundError:
        return _enrol(options, places), places
    if options.join or options.join_file:
        sys.stderr.write(f"note: {places.config} is there, so the join string is not used\n")
    return config, places


def check_directory(config: Path) -> None:
    """Raise InvalidInput when others could swap the configuration file."""
    if config.parent.exists():
        check_own_directory(config.parent)


def _enrol(options: argparse.Namespace, places: Places) -> GatewayConfig:
    join = _read_join(options)
    if join is None:
        raise UsageError(
            f"this gateway is not enrolled: {places.config} is not there",
            hint="gateway start --join-file FILE, with the join string that `pam gateway new` printed",
        )
    prepare_config(places.config)
    config = asyncio.run(enrol(join, environment=os.environ, clock=SystemClock()))
    save_config(places.config, config)
    _say(f"gateway {config.identity.gateway} enrolled")
    return config


def _read_join(options: argparse.Namespace) -> Secret | None:
    if options.join_file:
        path = Path(options.join_file)
        try:
            return Secret(read_private(path, limit=JOIN_LIMIT))
        except FileNotFoundError:
            raise UsageError(f"{path} is not there", hint="check --join-file") from None
    if options.join == "-":
        return Secret(sys.stdin.read(JOIN_LIMIT))
    if options.join:
        sys.stderr.write(
            "warning: other users of this machine can read the join string; prefer --join-file or --join -\n"
        )
        return Secret(options.join)
    return None


def _set_up_logs(directory: Path, *, debug: bool, to_stdout: bool) -> None:
    handler: logging.Handler
    if to_stdout:
        handler = logging.StreamHandler(sys.stdout)
    else:
        make_private_directory(directory)
        path = directory / "gateway.log"
        # The handler would open it with the umask's mode.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        check_private_file(path)
        handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    # These print whole requests and frames.
    for name in ("httpcore", "websockets", "aioice", "aiortc", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _status(options: argparse.Namespace) -> int:
    places = find_places(os.environ, options.config_file)
    try:
        config = load_config(places.config)
    except FileNotFoundError:
        raise UsageError(
            f"this gateway is not enrolled: {places.config} is not there",
            hint="gateway start --join-file FILE",
        ) from None
    found = describe_status(config, places.state)
    if options.format == "json":
        _say(json.dumps(found))
    else:
        for name, value in found.items():
            _say(f"{name:<12} {value}")
    return 0 if found["state"] == "online" else NOT_ONLINE


if __name__ == "__main__":
    sys.exit(main())
