"""`history`: all stored revisions of a record."""

from __future__ import annotations

from commander.authority.decide import Action, Allow, decide
from commander.authority.refusals import Code
from commander.backend.core import Caller, Core
from commander.backend.limits import WHOLE_LOG_BYTES
from commander.backend.storage.objects import RECORDS
from commander.errors import Refused
from commander.wire.calls import HistoryAnswer, HistoryRequest


async def history(core: Core, caller: Caller, request: HistoryRequest) -> HistoryAnswer:
    """
    Revisions of a record in a folder the caller may view, oldest first.

    Raises Refused(object-unknown), also for a record the caller may not see.
    """
    async with core.database.reading() as connection:
        head = (await RECORDS.heads(connection, [request.record[:64]])).get(request.record)
        if head is None or not _may_view(core, caller, head.folder):
            raise Refused("no such record", code=Code.OBJECT_UNKNOWN)
        found = await RECORDS.history(connection, head.uid, size=WHOLE_LOG_BYTES)
    return HistoryAnswer(found)


def _may_view(core: Core, caller: Caller, folder: str) -> bool:
    decision = decide(core.state, caller.principal, Action.VIEW, folder, now=core.now())
    return isinstance(decision, Allow)
