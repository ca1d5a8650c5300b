"""
Answers of megabytes: sent in pieces as the client reads them, each with a deadline, and few at once.

Written in one go an answer counts as sent while most of it still waits in our buffers: a client on a slow line was
cut off for asking nothing more, and one that reads nothing could fill our memory with answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from commander.backend.limits import ANSWERS_IN_MEMORY, ANSWERS_OF_ONE_SOURCE, body_deadline_s

_log = logging.getLogger(__name__)
PIECE = 64 * 1024
# Up to here an answer goes out in one go, which costs least, and is not counted.
SMALL = 256 * 1024


class AnswerBudget:
    """How much of answers is in memory together; small ones are not counted."""

    def __init__(
        self, most: int = ANSWERS_IN_MEMORY, most_of_one: int = ANSWERS_OF_ONE_SOURCE
    ) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._held: Counter[str] = Counter()

    def hold(self, source: str, size: int) -> Held | None:
        """
        Room for an answer to a source, until it is released; None when there is none.

        A source that holds nothing gets one of any size while there is room at all.
        """
        if size <= SMALL:
            return Held(self, source, 0)
        held = self._held[source]
        if held and held + size > self._most_of_one:
            return None
        if self._held.total() and self._held.total() + size > self._most:
            return None
        self._held[source] += size
        return Held(self, source, size)

    def give_back(self, source: str, size: int) -> None:
        """End of an answer."""
        self._held[source] -= size
        if self._held[source] <= 0:
            del self._held[source]


class Held:
    """What one answer takes of a budget."""

    def __init__(self, budget: AnswerBudget, source: str, size: int) -> None:
        self._budget = budget
        self._source = source
        self._size = size

    def release(self) -> None:
        """Give it back; a second time does nothing."""
        size, self._size = self._size, 0
        if size:
            self._budget.give_back(self._source, size)


class PacedAnswer(Response):
    """An answer of any size; what it held is released when it was sent, or not."""

    def __init__(self, content: bytes, held: Held) -> None:
        super().__init__(content, media_type="application/octet-stream")
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send; a client that reads too slowly loses the connection."""
        try:
            if len(self.body) <= SMALL:
                await super().__call__(scope, receive, send)
                return
            async with asyncio.timeout(body_deadline_s(len(self.body))):
                await self._send(send)
        except TimeoutError:
            _log.info("an answer was read too slowly and was ended")
        finally:
            self._held.release()

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        view = memoryview(self.body)
        for at in range(0, len(view), PIECE):
            more = at + PIECE < len(view)
            piece = bytes(view[at : at + PIECE])
            await send({"type": "http.response.body", "body": piece, "more_body": more})
