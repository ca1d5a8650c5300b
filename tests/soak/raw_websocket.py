"""A WebSocket client that costs little and may misbehave: thousands fit into one process."""

from __future__ import annotations

import asyncio
import base64
import secrets
import socket
import ssl
from collections.abc import Callable

from websockets.frames import Frame, Opcode

from commander.codec import encode
from commander.wire.calls import ROUTER_PATH, ROUTER_SUBPROTOCOL
from commander.wire.commands import Hello
from commander.wire.requests import HEADER, sign_request, write_header
from tests.support.router_server import Peer

_HEAD_LIMIT = 16 * 1024
OPEN_S = 120.0
RECEIVE_BYTES = 32 * 1024


class RawSocket(asyncio.Protocol):
    """
    One connection; `heard` gets each binary message.

    `closed` is done when the connection is over, with the close code or 1006. Pings are answered
    while the transport is read.
    """

    def __init__(self, upgrade: bytes, heard: Callable[[RawSocket, bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[int] = loop.create_future()
        self.transport: asyncio.Transport | None = None
        self._upgrade = upgrade
        self._heard = heard
        self._buffer = bytearray()
        self._code = 1006

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._upgrade)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.opened.done() and not self._read_head():
            return
        while self._read_frame():
            pass

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionResetError("closed before the upgrade"))
            # Whoever opens it may have given up.
            self.opened.exception()
        if not self.closed.done():
            self.closed.set_result(self._code)

    def send(self, message: bytes, opcode: Opcode = Opcode.BINARY, *, fin: bool = True) -> None:
        """Send one frame, whole or as part of a message."""
        self.write(Frame(opcode, message, fin=fin).serialize(mask=True))

    def write(self, data: bytes) -> None:
        """Send any bytes."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def stop_reading(self) -> None:
        """Leave everything that comes unread from now on."""
        assert self.transport is not None
        self.transport.pause_reading()

    def read_again(self) -> None:
        """Read on; only then is it noticed that the other side has closed."""
        assert self.transport is not None
        self.transport.resume_reading()

    def abort(self) -> None:
        """Cut it."""
        if self.transport is not None:
            self.transport.abort()

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            assert len(self._buffer) < _HEAD_LIMIT
            return False
        if self._buffer.startswith(b"HTTP/1.1 101 "):
            self.opened.set_result(None)
        else:
            line = bytes(self._buffer).partition(b"\r\n")[0].decode("latin-1")
            self.opened.set_exception(ConnectionRefusedError(line))
        del self._buffer[: end + 4]
        return not self.opened.exception()

    def _read_frame(self) -> bool:
        """Take one whole frame of a server: never masked, and here never in fragments."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        size, start = buffer[1] & 0x7F, 2
        if size == 126:
            size, start = int.from_bytes(buffer[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(buffer[2:10]), 10
        if len(buffer) < start + size:
            return False
        opcode, payload = buffer[0] & 0x0F, bytes(buffer[start : start + size])
        del buffer[: start + size]
        if opcode == Opcode.PING:
            self.send(payload, Opcode.PONG)
        elif opcode == Opcode.CLOSE:
            self._code = int.from_bytes(payload[:2]) if len(payload) >= 2 else 1005
            self.send(payload[:2], Opcode.CLOSE)
        elif opcode == Opcode.BINARY:
            self._heard(self, payload)
        return True


def upgrade_request(peer: Peer, now: float) -> bytes:
    """The signed upgrade of a peer's control socket."""
    request = sign_request(
        peer.key, method="GET", path=ROUTER_PATH, principal=peer.uid,
        session=peer.principal.session, time=int(now), body=b"",
    )  # fmt: skip
    lines = [
        f"GET {ROUTER_PATH} HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade",
        "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}",
        f"Sec-WebSocket-Protocol: {ROUTER_SUBPROTOCOL}", f"{HEADER}: {write_header(request)}",
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode()


async def _connect(port: int) -> socket.socket:
    """A connection whose kernel takes little for us, so that who does not read is noticed soon."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return sock


async def open_raw(
    port: int,
    context: ssl.SSLContext,
    peer: Peer,
    *,
    now: float,
    heard: Callable[[RawSocket, bytes], None] = lambda *_: None,
    greet: bool = True,
    open_s: float = OPEN_S,
) -> RawSocket:
    """Open a control socket within `open_s`, and say hello unless told otherwise."""
    made = RawSocket(upgrade_request(peer, now), heard)
    try:
        async with asyncio.timeout(open_s):
            await asyncio.get_running_loop().create_connection(
                lambda: made,
                sock=await _connect(port),
                ssl=context,
                server_hostname="127.0.0.1",
                ssl_handshake_timeout=open_s,
            )
            await made.opened
    except BaseException:
        made.abort()
        raise
    if greet:
        made.send(encode(Hello("1.2.3", "")))
    return made
