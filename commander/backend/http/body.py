"""Reading a request's body within limits of size, pace and memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from commander.backend.limits import BODIES_IN_MEMORY, body_deadline_s


class BodyRefused(Exception):
    """The body is not read further; `response` says why, and the connection is closed."""

    def __init__(self, status: int, text: str, *, retry_after_s: int = 0) -> None:
        super().__init__(text)
        self.text = text
        headers = {"connection": "close"}
        if retry_after_s:
            headers["retry-after"] = str(retry_after_s)
        self.response: Response = PlainTextResponse(text, status_code=status, headers=headers)


class BodyReader:
    """Reads bodies, and counts how much of them is in memory together."""

    def __init__(
        self,
        most: int = BODIES_IN_MEMORY,
        *,
        deadline_s: Callable[[int], float] = body_deadline_s,
    ) -> None:
        self._left = most
        self._deadline_s = deadline_s

    async def read(self, request: Request, limit: int) -> bytes:
        """The whole body. Raises BodyRefused. Call `done` with its length when it was used."""
        declared = _declared_length(request)
        if declared is not None and declared > limit:
            raise BodyRefused(413, f"at most {limit} bytes")
        body = bytearray()
        try:
            await self._collect(request, body, limit)
        except BaseException:
            self.done(len(body))
            raise
        if declared is not None and declared != len(body):
            self.done(len(body))
            raise BodyRefused(400, "bad request")
        return bytes(body)

    def done(self, size: int) -> None:
        """Give back what a body took."""
        self._left += size

    async def _collect(self, request: Request, body: bytearray, limit: int) -> None:
        began = asyncio.get_running_loop().time()
        chunks = request.stream().__aiter__()
        while True:
            try:
                async with asyncio.timeout_at(began + self._deadline_s(len(body))):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise BodyRefused(408, "the body is too slow") from None
            except ClientDisconnect:
                raise BodyRefused(400, "bad request") from None
            if len(body) + len(chunk) > limit:
                raise BodyRefused(413, f"at most {limit} bytes")
            if len(chunk) > self._left:
                raise BodyRefused(503, "the server is too busy", retry_after_s=5)
            self._left -= len(chunk)
            body += chunk


def _declared_length(request: Request) -> int | None:
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise BodyRefused(400, "bad request")
    return int(text)
