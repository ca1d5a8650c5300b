"""The ports that a server listens on."""

from __future__ import annotations

import argparse
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from commander.backend import tls
from commander.errors import Conflict, UsageError
from commander.router.app import Router
from commander.router.stream_door import open_relay_port

DEFAULT_PORT = 8443
_BACKLOG = 1024


def listen_on(text: str, option: str = "--listen") -> socket.socket:
    """Listen where an option says. Raises InvalidInput, or Conflict when the port is taken."""
    host, port = tls.read_address(text, default_port=DEFAULT_PORT, least_port=0)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4]
        listener = socket.create_server(found[:2], family=family, backlog=_BACKLOG)
        # asyncio sets this only on sockets whose protocol number is named, and accepted ones
        # inherit it from here: without it each small answer waits 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise Conflict(
            f"cannot listen on {text}: {error.strerror}", hint=f"give another {option} HOST:PORT"
        ) from None


@asynccontextmanager
async def relay_port(
    options: argparse.Namespace,
    router: Router,
    context: ssl.SSLContext,
    say: Callable[[str], None],
) -> AsyncIterator[None]:
    """Accept relay streams on their own port while the context lasts, where one was asked for."""
    if options.relay_listen is None:
        if options.relay_plain:
            raise UsageError("--relay-plain needs --relay-listen HOST:PORT")
        yield
        return
    with contextlib.closing(listen_on(options.relay_listen, "--relay-listen")) as listener:
        shown = None if options.relay_plain else context
        server = await open_relay_port(listener, router.accept_stream, shown)
        host, port = listener.getsockname()[:2]
        say(f"relay streams on {host}:{port}{'' if shown else ', without TLS'}")
        try:
            yield
        finally:
            server.close()
