"""The options of direct paths at `gateway start`."""

from __future__ import annotations

import argparse

from commander.errors import UsageError
from commander.gateway.direct import DirectOptions
from commander.tunnel.transports.direct_offer import LEAST_PORT
from commander.wire.known_server import split_address

_ANY = ("", "0.0.0.0", "::")  # noqa: S104  compared only


def add_direct_arguments(start: argparse.ArgumentParser) -> None:
    """Declare them."""
    start.add_argument(
        "--direct-listen", metavar="ADDR:PORT",
        help="let clients connect to this gateway directly at this port; without it it only connects out",
    )  # fmt: skip
    start.add_argument(
        "--direct-advertise", metavar="HOST:PORT",
        help="where clients find that port, when it is not ADDR:PORT itself (NAT, a name)",
    )  # fmt: skip
    start.add_argument(
        "--no-direct", action="store_true",
        help="open no direct paths: neither connect to clients nor let them connect",
    )  # fmt: skip


def read_direct(options: argparse.Namespace) -> DirectOptions:
    """What was chosen. Raises UsageError."""
    listen, advertise = options.direct_listen, options.direct_advertise
    if options.no_direct and (listen or advertise):
        raise UsageError("--no-direct does not go with --direct-listen or --direct-advertise")
    if advertise and not listen:
        raise UsageError("--direct-advertise needs --direct-listen ADDR:PORT")
    if listen is None:
        return DirectOptions(is_allowed=not options.no_direct)
    host, port = _address(listen, "--direct-listen")
    if host in _ANY and not advertise:
        raise UsageError(
            f"clients can't be told to connect to {listen}",
            hint="name an address in --direct-listen, or give --direct-advertise HOST:PORT",
        )
    shown = _address(advertise, "--direct-advertise") if advertise else ("", 0)
    return DirectOptions(listen=(host, port), advertise=shown)


def _address(text: str, option: str) -> tuple[str, int]:
    try:
        host, port = split_address(text)
    except ValueError:
        host, port = "", -1
    if not host or not (port == 0 or LEAST_PORT <= port <= 65535 or option.endswith("advertise")):
        raise UsageError(
            f"{option} {text!r} is not an address with a port from {LEAST_PORT} on",
            hint="write 203.0.113.7:8444 or [2001:db8::7]:8444",
        )
    if not 0 <= port <= 65535:
        raise UsageError(f"{option} {text!r} has no proper port")
    return host, port
