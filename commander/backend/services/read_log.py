"""`log`: the authority log, a page at a time."""

from __future__ import annotations

from commander.backend.core import Caller, Core
from commander.backend.limits import WHOLE_LOG_BYTES
from commander.backend.storage import statements
from commander.wire.calls import PAGE_STATEMENTS, LogAnswer, LogRequest

_LAST_SEQ = 2**53


async def read(core: Core, caller: Caller, request: LogRequest) -> LogAnswer:
    """Statements after a position, at most a page, and the head."""
    since = min(max(request.since, -1), _LAST_SEQ)
    return await _page(core, since, PAGE_STATEMENTS)


async def whole_log(core: Core) -> LogAnswer:
    """All of it in one answer, for those who cannot ask page by page yet."""
    return await _page(core, -1, _LAST_SEQ)


async def _page(core: Core, since: int, count: int) -> LogAnswer:
    # The state first: a commit meanwhile only makes the page longer than its head says.
    head = core.ledger.head()
    async with core.database.reading() as connection:
        found = await statements.after(connection, since, count=count, size=WHOLE_LOG_BYTES)
    return LogAnswer(tuple(s for s in found if s.seq <= head.seq), head.seq, head.digest)
