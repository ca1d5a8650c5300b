"""
Joins what many commands ask the server for at once into few questions.

After a restart a thousand tunnels come back together, and each has its record read anew; one by one
that was half of what their return cost gateway and server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from commander.tasks import spawn

AT_ONCE: Final = 2
"""Questions on their way; further ones wait and are joined."""
MAX_JOINED: Final = 32
"""Records of one joined question: their payloads stay below what the server answers at once."""
_T = TypeVar("_T")

Ask = Callable[[tuple[str, ...]], Awaitable[dict[str, _T]]]


class _Question(Generic[_T]):
    def __init__(self) -> None:
        self.uids: dict[str, None] = {}
        self.answer: asyncio.Future[dict[str, _T]] = asyncio.get_running_loop().create_future()


class Questions(Generic[_T]):
    """
    Asks for records, together with whoever asks at the same time.

    An answer is never older than the call of `ask` that gets it: what is on its way already is
    joined by nobody. A question goes on when one of those who wait for it is cancelled.
    """

    def __init__(self, ask: Ask[_T]) -> None:
        self._ask = ask
        self._running = 0
        self._waiting: deque[_Question[_T]] = deque()

    async def ask(self, uids: Sequence[str]) -> dict[str, _T]:
        """What is found, perhaps of more than these. Raises what asking raises."""
        question = self._joined(len(uids))
        question.uids.update(dict.fromkeys(uids))
        if self._running < AT_ONCE:
            self._start_next()
        return await asyncio.shield(question.answer)

    def _joined(self, count: int) -> _Question[_T]:
        if self._waiting and len(self._waiting[-1].uids) + count <= MAX_JOINED:
            return self._waiting[-1]
        question = _Question[_T]()
        self._waiting.append(question)
        return question

    def _start_next(self) -> None:
        self._running += 1
        spawn(self._run(self._waiting.popleft()), name="gateway-question")

    async def _run(self, question: _Question[_T]) -> None:
        try:
            question.answer.set_result(await self._ask(tuple(question.uids)))
        except Exception as error:  # noqa: BLE001  whatever it is, those who asked have to get it
            question.answer.set_exception(error)
            # Those who asked may all be gone.
            question.answer.exception()
        finally:
            question.answer.cancel()
            self._running -= 1
            if self._waiting:
                self._start_next()
