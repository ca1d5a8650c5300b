from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

from commander.errors import CommanderError, Conflict, InvalidInput, NotAllowed
from commander.tasks import spawn
from commander.tunnel.peer import Address, Peer, can_identify, identify

_log = logging.getLogger(__name__)

FIRST_AUTO_PORT: Final = 49152
LAST_PORT: Final = 65535
BACKLOG: Final = 1024
_PAUSE_S: Final = 0.2
_OUT_OF_RESOURCES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_BUSY: Final = {errno.EADDRINUSE}


class Place(Protocol):
    """Where a listener waits, and how those who come there are known."""

    @property
    def checks_owner(self) -> bool:
        """Whether only our own user may come in."""
        ...

    def bind(self) -> socket.socket:
        """Take the place. Raises Conflict, NotAllowed or InvalidInput, as `bind` does."""
        ...

    def shown(self, listening: socket.socket) -> Address:
        """The place as programs must be told it."""
        ...

    def identify(self, connection: socket.socket, listening: socket.socket) -> Peer:
        """Who is at the other end of an accepted connection."""
        ...

    def release(self) -> None:
        """Remove what a closed socket leaves behind."""
        ...


class ListenerEvents(Protocol):
    """What a listener tells its owner, for log and audit."""

    def connection_refused(self, peer: Peer, reason: str) -> None:
        """A connection was closed before a byte of it was forwarded."""
        ...

    def accept_paused(self, reason: str) -> None:
        """The process has no descriptors or memory left; accepting goes on by itself."""
        ...


_taken_below: dict[str, int] = {}
"""
By address the port below which the last search found none, until a listener here is closed.

From the first port anew, the thousandth tunnel of a process would try a thousand ports, twice.
"""


@dataclass(frozen=True)
class ListenOn:
    """
    Where to listen.

    With `port` exactly that one; otherwise `preferred`, or the first free one from 49152 up.
    Addresses other than loopback need `allow_remote`.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    preferred: int | None = None
    allow_remote: bool = False

    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        """
        The literal address; "localhost" means 127.0.0.1, and what is bound is what is shown.

        Raises InvalidInput for names and NotAllowed for addresses that others can reach.
        """
        try:
            parsed = ipaddress.ip_address("127.0.0.1" if self.host == "localhost" else self.host)
        except ValueError:
            raise InvalidInput(
                f"{self.host[:60]!r} is not an IP address", hint="use 127.0.0.1 or ::1"
            ) from None
        if not parsed.is_loopback and not self.allow_remote:
            raise NotAllowed(
                f"listening on {parsed} would let other machines use the tunnel",
                hint="use 127.0.0.1 or ::1; --allow-remote gives it to others, where the record lets it",
            )
        return parsed

    @cached_property
    def checks_owner(self) -> bool:
        """On loopback, where the system shows owners; others' machines are the owner's decision."""
        return self.address().is_loopback and can_identify()

    def bind(self) -> socket.socket:
        """As the function `bind`."""
        return bind(self)

    def shown(self, listening: socket.socket) -> Address:
        """The bound address and port."""
        host, port = listening.getsockname()[:2]
        return str(host), int(port)

    def identify(self, connection: socket.socket, listening: socket.socket) -> Peer:
        """The owner by the kernel's tables; of another machine's program only its address."""
        host, port = connection.getpeername()[:2]
        remote = str(host), int(port)
        return identify(self.shown(listening), remote) if self.checks_owner else Peer(remote, None)

    def release(self) -> None:
        """Nothing is left of a TCP port."""


def bind(where: ListenOn) -> socket.socket:
    """
    Take the local port without listening yet; nobody else can listen there from now on.

    Raises Conflict (exit 7) when the port is in use, NotAllowed when the system forbids
    it, InvalidInput for a number that is no port.
    """
    host = where.address()
    for port in (where.port, where.preferred):
        if port is not None and not 0 < port <= LAST_PORT:
            raise InvalidInput(f"{port} is not a port", hint="ports are 1 to 65535")
    if where.port is not None:
        return _bind_fixed(host, where.port)
    return _bind_auto(host, where.preferred)


def _bind_fixed(host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> socket.socket:
    try:
        return _bind_port(host, port)
    except OSError as error:
        if error.errno in _BUSY:
            raise Conflict(
                f"port {port} on {host} is in use by another program",
                hint="choose another port, leave it out for a free one, or stop that program",
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise NotAllowed(
                f"port {port} needs a right that this user does not have",
                hint="choose a port from 1024 up, or let users have it: "
                f"sysctl net.ipv4.ip_unprivileged_port_start={port}",
            ) from None
        raise Conflict(
            f"{host} port {port} cannot be used: {os.strerror(error.errno or 0)}",
            hint=_no_address_hint(host),
        ) from None


def _no_address_hint(host: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if host.is_loopback and sys.platform == "darwin":
        # Linux and Windows have all of 127.0.0.0/8, macOS one address until root adds another.
        return f"sudo ifconfig lo0 alias {host}, or use 127.0.0.1"
    return "use 127.0.0.1 or ::1"


def _bind_auto(
    host: ipaddress.IPv4Address | ipaddress.IPv6Address, preferred: int | None
) -> socket.socket:
    candidates = [preferred] if preferred is not None else []
    begin = _taken_below.get(str(host), FIRST_AUTO_PORT)
    upwards = (*range(begin, LAST_PORT + 1), *range(FIRST_AUTO_PORT, begin))
    for port in (*candidates, *upwards):
        try:
            bound = _bind_port(host, port)
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise Conflict(
                    f"{host} is not an address of this machine", hint=_no_address_hint(host)
                ) from None
            continue
        if port != preferred:
            _taken_below[str(host)] = port
        return bound
    raise Conflict(f"no port of {host} from {FIRST_AUTO_PORT} up is free")


def _bind_port(host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> socket.socket:
    if str(host) in ("127.0.0.1", "::1"):
        _check_twin(host, port)
    family = socket.AF_INET if host.version == 4 else socket.AF_INET6
    return _bound(family, str(host), port)


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if sys.platform == "linux":
            # On Linux this only skips TIME_WAIT; a live listener still conflicts. On other
            # systems it would let two programs share a port, so it stays off there.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        # With SO_REUSEADDR it is listen, not bind, that keeps others away.
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _check_twin(host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    """
    Make sure that nobody holds the same port on the other loopback address.

    An application that connects to `localhost` tries ::1 and 127.0.0.1; a stranger on
    one of them would get the connections meant for the tunnel on the other.
    """
    family, twin = (socket.AF_INET6, "::1") if host.version == 4 else (socket.AF_INET, "127.0.0.1")
    try:
        _bound(family, twin, port).close()
    except OSError as error:
        if error.errno in _BUSY:
            raise


class LocalListener:
    """
    Accepts local connections for a tunnel and gives each the protocol that `make` returns
    for its peer.

    Call `open` only once the tunnel's path is verified. Connections of another user of
    this machine are closed before a byte is forwarded, where the system shows owners.
    Errors of single connections, and running out of descriptors, never end it.
    """

    def __init__(
        self,
        where: Place,
        make: Callable[[Peer], asyncio.BaseProtocol],
        events: ListenerEvents,
    ) -> None:
        self._where = where
        self._make = make
        self._events = events
        self._socket: socket.socket | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._checks_owner = where.checks_owner

    @property
    def address(self) -> Address:
        """The address that is bound, as applications must be told; only while open."""
        assert self._socket is not None
        return self._where.shown(self._socket)

    def open(self) -> Address:
        """Bind, listen and accept. Raises what `bind` raises."""
        assert self._socket is None
        self._socket = self._where.bind()
        self._resume()
        return self.address

    def close(self) -> None:
        """Stop accepting; connections that were accepted go on. Idempotent."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        listening, self._socket = self._socket, None
        if listening is not None:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
            self._where.release()
            _taken_below.clear()

    def _resume(self) -> None:
        self._retry = None
        if self._socket is not None:
            asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        # One at a time: whether another waits is asked with everything else that may have happened.
        if self._socket is None:
            return
        try:
            connection = self._take(self._socket)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            self._pause(error)
            return
        self._admit(connection, self._socket)

    def _take(self, listening: socket.socket) -> socket.socket:
        if not self._checks_owner:
            return listening.accept()[0]
        # Asking who connected takes a descriptor: without one, a connection of our own user
        # would be refused as nobody's. It waits in the backlog instead.
        spare = os.dup(listening.fileno())
        try:
            return listening.accept()[0]
        finally:
            os.close(spare)

    def _pause(self, error: OSError) -> None:
        # The waiting connection keeps the socket readable: without a pause this is a busy
        # loop. Whatever went wrong, a listener that gives up would be worse.
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._retry = loop.call_later(_PAUSE_S, self._resume)
        name = errno.errorcode.get(error.errno or 0, "error")
        if error.errno not in _OUT_OF_RESOURCES:
            _log.warning("accepting local connections failed with %s", name)
        self._events.accept_paused(name)

    def _admit(self, connection: socket.socket, listening: socket.socket) -> None:
        connection.setblocking(False)
        try:
            peer = self._where.identify(connection, listening)
        except OSError:
            # It came and went before it could be asked about.
            connection.close()
            return
        if self._checks_owner and peer.uid != os.getuid():
            self._refuse(connection, peer)
            return
        spawn(self._hand_over(connection, peer), name="tunnel-accept")

    def _refuse(self, connection: socket.socket, peer: Peer) -> None:
        connection.close()
        reason = "another user" if peer.uid is not None else "unknown owner"
        self._events.connection_refused(peer, reason)

    async def _hand_over(self, connection: socket.socket, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: self._make(peer), connection)
        except (OSError, CommanderError) as error:
            _log.debug("a local connection ended early: %s", type(error).__name__)
            with contextlib.suppress(OSError):
                connection.close()
