"""Following the authority log: fetch, verify, pin; and stop believing a server that forks it."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable

from commander.authority.log import apply, check_pin, check_root
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.errors import CommanderError, Refused, Tampered
from commander.gateway.limits import FETCH_S, MAX_LOG_PAGES
from commander.gateway.pins import Pins
from commander.wire.calls import LogAnswer

_log = logging.getLogger(__name__)
FetchPage = Callable[[int], Awaitable[LogAnswer]]
"""Statements after a position; raises CommanderError."""


class LogFollower:
    """
    The gateway's own evaluation of the log.

    `fork` is set once the server showed a log that contradicts what was seen: from then on
    every new command is refused (log-forked) until the gateway is started again. Until
    `is_known` the log was not read to its end, and root and pin are not checked. `read_at` is
    the loop's time when it was last read to its end.
    `on_moved` is called after each fetch that brought statements.
    """

    def __init__(
        self, fetch: FetchPage, *, fingerprint: bytes, pins: Pins, deadline_s: float = FETCH_S
    ) -> None:
        self.state = State()
        self.fork: Refused | None = None
        self.is_known = False
        self.read_at: float | None = None
        self.on_moved: Callable[[], None] = lambda: None
        self._fetch = fetch
        self._fingerprint = fingerprint
        self._pins = pins
        self._deadline_s = deadline_s
        self._lock = asyncio.Lock()
        self._begun = 0
        self._done = 0

    async def catch_up(self) -> None:
        """
        Fetch what is new; a fetch that began after this call serves it too.

        Raises CommanderError when the server can't be asked, Refused(log-forked) for a fork.
        """
        asked = self._begun
        async with self._lock:
            if self._done > asked:
                return
            self._begun += 1
            number = self._begun
            await self._fetch_all()
            self._done = number

    def check(self) -> None:
        """Raise Refused when nothing may be decided: log-forked, or log-behind before the first fetch."""
        if self.fork is not None:
            raise self.fork
        if not self.is_known:
            raise Refused("the authority log is not known yet", code=Code.LOG_BEHIND)

    async def _fetch_all(self) -> None:
        before = self.state.seq
        for _ in range(MAX_LOG_PAGES):
            async with asyncio.timeout(self._deadline_s):
                answer = await self._fetch(self.state.seq)
            self._take(answer)
            if self.state.seq >= answer.head_seq or not answer.statements:
                self.read_at = asyncio.get_running_loop().time()
                break
        if not self.is_known:
            self._check_beginning()
            self.is_known = True
        if self.state.seq > before:
            self._pins.pin_log(self.state.seq, self.state.head)
            await self._pins.save()
            self.on_moved()

    def _take(self, answer: LogAnswer) -> None:
        try:
            for statement in answer.statements:
                apply(self.state, statement)
        except Refused as error:
            raise self._forked(f"statement {self.state.seq + 1}: {error.message}") from error
        if answer.head_seq < self.state.seq:
            raise self._forked(
                f"the server's log ends at {answer.head_seq}, before {self.state.seq} seen here"
            )
        if answer.head_seq == self.state.seq and not hmac.compare_digest(
            answer.head_hash, self.state.head
        ):
            raise self._forked(f"the server's log differs at {answer.head_seq}")

    def _check_beginning(self) -> None:
        try:
            check_root(self.state, self._fingerprint)
            check_pin(self.state, *self._pins.log)
        except Tampered as error:
            raise self._forked(error.message) from error

    def _forked(self, reason: str) -> Refused:
        self.fork = Refused(
            f"the authority log was rolled back or forked: {reason}",
            code=Code.LOG_FORKED,
            hint="no new tunnel is opened; tell an administrator, then start the gateway again",
        )
        _log.critical("%s", self.fork.message)
        return self.fork


async def try_to_catch_up(follower: LogFollower) -> None:
    """Fetch what is new, or go on with what is known; a fork shows in `follower.check`."""
    try:
        await follower.catch_up()
    except (CommanderError, TimeoutError) as error:
        _log.info("the authority log could not be fetched: %s", str(error) or "no answer in time")
