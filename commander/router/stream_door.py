"""How relay streams come in: on the server's one port by ALPN, and on a relay port of their own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from uvicorn.protocols.http.h11_impl import H11Protocol

from commander.router.admission import Admission
from commander.wire.relay import ALPN

AcceptStream = Callable[[], asyncio.BufferedProtocol]


def choosing_protocol(http: type[H11Protocol], accept: AcceptStream) -> type[H11Protocol]:
    """An HTTP protocol for uvicorn that hands over connections whose TLS handshake chose the relay."""

    class ChoosingProtocol(http):  # type: ignore[misc, valid-type]  # the class is a parameter
        def connection_made(self, transport: asyncio.Transport) -> None:
            handshake = transport.get_extra_info("ssl_object")
            if handshake is None or handshake.selected_alpn_protocol() != ALPN:
                super().connection_made(transport)
                return
            stream = accept()
            transport.set_protocol(stream)
            stream.connection_made(transport)

    return ChoosingProtocol


async def open_relay_port(
    listener: socket.socket, accept: AcceptStream, context: ssl.SSLContext | None
) -> asyncio.Server | Admission:
    """
    Accept relay streams, and nothing else, on a listening socket.

    Without a context TLS has to end before this port, in a program that only its owner runs.
    """
    if context is None:
        return await asyncio.get_running_loop().create_server(accept, sock=listener)
    admission = Admission(listener, accept, context)
    admission.start()
    return admission
