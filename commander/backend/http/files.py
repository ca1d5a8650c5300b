"""Attachments by their short-lived addresses: bytes to disk and back, never whole in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from commander.backend.core import Core
from commander.backend.http.cors import open_to_pages, preflight
from commander.backend.http.door import peer_of
from commander.backend.http.multipart import MAX_OTHER_BYTES, FilePart
from commander.backend.limits import TRANSFERS, body_deadline_s, source_of
from commander.backend.services.devices.add_file import FILES_PATH, UPLOADED_STATUS
from commander.backend.services.devices.tickets import Direction
from commander.backend.services.devices.transfer_file import admit_transfer, finish_upload
from commander.backend.storage.attachments import StoredAttachment
from commander.backend.storage.files import Incoming
from commander.errors import CommanderError, InvalidInput, Refused

_log = logging.getLogger(__name__)
FILE_PATH = FILES_PATH + "{ticket}"
_PIECE = 256 * 1024
_DRAIN_BYTES = 1024 * 1024
_DRAIN_S = 3.0
_FIRST_ERROR = 400
_OVERHEAD = MAX_OTHER_BYTES + 16 * 1024
_DONE = b'<?xml version="1.0" encoding="UTF-8"?><PostResponse/>'


class _Busy(Exception):
    """Too many transfers at once."""


class FileEndpoint:
    """Answers GET and POST of an attachment's address."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._left = TRANSFERS

    async def answer(self, request: Request) -> Response:
        """The bytes, or 201 when they have come whole."""
        if request.method == "OPTIONS":
            return preflight("GET, POST")
        response = await self._answer(request)
        if request.method == "POST" and response.status_code >= _FIRST_ERROR:
            await _drain(request)
        return open_to_pages(response)

    async def _answer(self, request: Request) -> Response:
        core, address = self._core, peer_of(request)
        upload = request.method == "POST"
        direction = Direction.UPLOAD if upload else Direction.DOWNLOAD
        try:
            core.guards.open_devices.check(source_of(address), core.clock.now())
            found = await admit_transfer(
                core, request.path_params["ticket"], direction, address=address
            )
        except CommanderError as error:
            return _text(403, error.message)
        if not upload:
            return await self._download(found)
        try:
            async with self._slot():
                return await self._upload(request, found)
        except _Busy:
            return _text(503, "too many uploads at once", retry_after_s=5)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._left <= 0:
            raise _Busy
        self._left -= 1
        try:
            yield
        finally:
            self._left += 1

    async def _download(self, found: StoredAttachment) -> Response:
        try:
            file = await asyncio.to_thread(self._core.files.open, found.uid, found.size)
        except OSError as error:
            _log.error("attachment %s is not on the disk: %s", found.uid, error.strerror)
            return _text(404, "the attachment is missing on the server")
        return _FileAnswer(file, found.size)

    async def _upload(self, request: Request, found: StoredAttachment) -> Response:
        try:
            part = FilePart(request.headers.get("content-type", ""))
            with await asyncio.to_thread(self._core.files.receive, found.uid, found.size) as file:
                await _receive(request, part, file, limit=found.size + _OVERHEAD)
                part.finish()
                await asyncio.to_thread(file.finish)
            await finish_upload(self._core, found)
        except InvalidInput as error:
            return _text(400, error.message)
        except TimeoutError:
            return _text(408, "the upload is too slow")
        except ClientDisconnect:
            return _text(400, "the upload is cut off")
        except OSError as error:
            _log.error("an attachment could not be written: %s", error.strerror)
            return _text(503, "the server's disk cannot be written now", retry_after_s=60)
        except Refused as error:
            return _text(403, error.message)
        # Some clients never read this answer; a kept connection would keep their process alive.
        return Response(
            _DONE, UPLOADED_STATUS, {"connection": "close"}, media_type="application/xml"
        )


async def _receive(request: Request, part: FilePart, file: Incoming, *, limit: int) -> None:
    """
    Write the file's bytes as they come. Raises InvalidInput, OSError, TimeoutError.

    The client is not read faster than the disk takes it.
    """
    began, received = asyncio.get_running_loop().time(), 0
    chunks = request.stream().__aiter__()
    waiting = bytearray()
    while True:
        try:
            async with asyncio.timeout_at(began + body_deadline_s(received)):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            break
        received += len(chunk)
        if received > limit:
            raise InvalidInput("the upload is longer than was announced")
        waiting += part.receive(chunk)
        if len(waiting) >= _PIECE:
            await asyncio.to_thread(file.write, bytes(waiting))
            waiting.clear()
    await asyncio.to_thread(file.write, bytes(waiting))


async def _drain(request: Request) -> None:
    """
    Read a little of what comes after a refusal, and drop it.

    A connection that is closed over unread bytes is reset, and the client might never see why.
    """
    left = _DRAIN_BYTES
    try:
        async with asyncio.timeout(_DRAIN_S):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return
    except (TimeoutError, ClientDisconnect, RuntimeError):
        # RuntimeError: the upload had read the body to its end, or its beginning and failed.
        return


class _FileAnswer(Response):
    """Sends an open file, no faster than the client reads, and not for ever."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__(media_type="application/octet-stream")
        self.headers["content-length"] = str(size)
        self.headers["cache-control"] = "no-store"
        self.headers["content-disposition"] = "attachment"
        self.headers["x-content-type-options"] = "nosniff"
        self._file = file
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send; a client that reads too slowly loses the connection."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        with self._file:
            try:
                async with asyncio.timeout(body_deadline_s(self._size)):
                    await send(start)
                    left = self._size
                    while left:
                        piece = await asyncio.to_thread(self._file.read, min(_PIECE, left))
                        left -= len(piece)
                        more = {"type": "http.response.body", "body": piece, "more_body": left > 0}
                        await send(more)
            except TimeoutError:
                _log.info("a download was too slow and was ended")


def _text(status: int, text: str, *, retry_after_s: int = 0) -> Response:
    headers = {"connection": "close"}
    if retry_after_s:
        headers["retry-after"] = str(retry_after_s)
    return PlainTextResponse(text, status, headers)
