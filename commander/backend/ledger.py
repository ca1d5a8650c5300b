"""The authority log's state in memory, always that of the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from commander.authority import log
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.authority.statements import Statement
from commander.clock import iso_utc
from commander.errors import Refused
from commander.wire.commands import Head
from commander.wire.requests import FRESH_S

_LAST_TIME = 253_402_300_799  # the last second of the year 9999


class Ledger:
    """
    The published state. Nobody changes a published state: a commit extends a copy and
    publishes it once the store has it, so readers need no lock and failures no undoing.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._listeners: list[Callable[[Head], None]] = []

    @property
    def state(self) -> State:
        """The state at the head; keep it for as long as one decision needs."""
        return self._state

    def head(self) -> Head:
        """Where the log is now."""
        return Head(self._state.seq, self._state.head)

    def publish(self, state: State) -> None:
        """Replace the state and tell the listeners; called right after the commit."""
        if state is self._state:
            return
        self._state = state
        for listener in tuple(self._listeners):
            listener(self.head())

    def subscribe(self, moved: Callable[[Head], None]) -> Callable[[], None]:
        """Have `moved` called after each commit that moved the head; returns what ends it."""
        self._listeners.append(moved)

        def end() -> None:
            if moved in self._listeners:
                self._listeners.remove(moved)

        return end


def extend(
    state: State, statements: Iterable[Statement], *, signers: Collection[str], now: int
) -> State:
    """
    The state after these statements; the given one stays as it is.

    Raises Refused: log-moved when somebody else was faster, request-stale when a statement's
    time is not now (it would be judged by shares of another time), else as `log.apply`.
    """
    statements = tuple(statements)
    if not statements:
        return state
    if statements[0].seq <= state.seq:
        raise Refused(
            f"the log is at {state.seq} already", code=Code.LOG_MOVED, hint="sync and try again"
        )
    new = state.copy()
    for statement in statements:
        if statement.signer not in signers:
            raise Refused(
                f"statement {statement.seq} is not signed by its sender",
                code=Code.STATEMENT_NOT_ENTITLED,
            )
        check_time(statement.time, now, f"statement {statement.seq}")
        log.apply(new, statement)
    return new


def check_time(time: int, now: int, what: str) -> None:
    """Raise Refused(request-stale) unless a signed time is the server's, give or take 120 s."""
    if abs(time - now) > FRESH_S:
        raise Refused(
            f"the time of {what}{_shown(time)} is {abs(time - now)} s off the server's clock, "
            f"which shows {iso_utc(now)}",
            code=Code.REQUEST_STALE,
            hint="set the clock of this machine",
        )


def _shown(time: int) -> str:
    """A time that somebody claims, where it can be written at all."""
    return f", {iso_utc(time)}," if 0 <= time <= _LAST_TIME else ""
