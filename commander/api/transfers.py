"""
Bytes of attachments to and from a server, as they come: never whole in memory.

The places are short-lived paths that the server has given in a sealed answer. What travels is sealed already.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import httpcore

from commander.api.http import HttpTransport
from commander.errors import CommanderError, Refused, Unreachable

PIECE_BYTES = 256 * 1024
STALL_S = 60.0
_ERROR_BYTES = 4096


class Transfers:
    """Uploads and downloads over a transport's connections; the transport closes them."""

    def __init__(self, transport: HttpTransport) -> None:
        self._transport = transport

    async def upload(self, place: str, pieces: AsyncIterator[bytes], *, size: int) -> None:
        """
        Send the pieces, `size` bytes in all. Raises Refused, Unreachable, CommanderError.

        A server that takes nothing for a minute ends it.
        """
        boundary = secrets.token_hex(16)
        begin = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        end = f"\r\n--{boundary}--\r\n".encode()

        async def body() -> AsyncIterator[bytes]:
            yield begin
            async for piece in pieces:
                yield piece
            yield end

        headers = {
            "content-type": f"multipart/form-data; boundary={boundary}",
            "content-length": str(len(begin) + size + len(end)),
        }
        async with self._transport.stream("POST", place, STALL_S, headers, body()) as response:
            await _check(response)

    async def download(self, place: str, *, size: int) -> AsyncIterator[bytes]:
        """The bytes as they come, `size` at most. Raises Refused, Unreachable, CommanderError."""
        left = size
        async with self._transport.stream("GET", place, STALL_S, {}, None) as response:
            await _check(response)
            async for piece in response.aiter_stream():
                left -= len(piece)
                if left < 0:
                    raise CommanderError("the server sends more than the attachment has")
                yield piece


async def _check(response: httpcore.Response) -> None:
    if response.status in (200, 201):
        return
    text = b""
    async for piece in response.aiter_stream():
        text = (text + piece)[:_ERROR_BYTES]
        if len(text) == _ERROR_BYTES:
            break
    said = text.decode("utf-8", "replace").strip()[:200]
    if response.status in (403, 404):
        raise Refused(f"the server refuses the transfer: {said}", code="transfer-refused")
    if response.status in (408, 503):
        raise Unreachable(f"the server cannot take the transfer now: {said}", hint="try again")
    raise CommanderError(f"the transfer failed with HTTP status {response.status}: {said}")
