"""`attachments`: those of a record, each with a short-lived place to get it from or to bring it to."""

from __future__ import annotations

from commander.authority.decide import Action, Allow, decide
from commander.authority.refusals import Code
from commander.backend.core import Caller, Core
from commander.backend.services.devices.add_file import FILES_PATH
from commander.backend.services.devices.tickets import (
    LIFE_S,
    Direction,
    Ticket,
    holder_of,
    write_ticket,
)
from commander.backend.storage import attachments
from commander.backend.storage.attachments import StoredAttachment
from commander.backend.storage.objects import RECORDS
from commander.errors import Refused
from commander.wire.calls import AttachmentRow, AttachmentsAnswer, AttachmentsRequest


async def list_attachments(
    core: Core, caller: Caller, request: AttachmentsRequest
) -> AttachmentsAnswer:
    """
    Attachments of a record in a folder the caller may view.

    Raises Refused(object-unknown), also for a record the caller may not see.
    """
    async with core.database.reading() as connection:
        head = (await RECORDS.heads(connection, [request.record[:64]])).get(request.record)
        if head is None or head.deleted or not _may(core, caller, Action.VIEW, head.folder):
            raise Refused("no such record", code=Code.OBJECT_UNKNOWN)
        found = (await attachments.of_records(connection, [head.uid])).get(head.uid, [])
    may_edit = _may(core, caller, Action.EDIT, head.folder)
    return AttachmentsAnswer(tuple(_row(core, caller, one, may_edit=may_edit) for one in found))


def _row(core: Core, caller: Caller, found: StoredAttachment, *, may_edit: bool) -> AttachmentRow:
    direction = Direction.USER_DOWNLOAD if found.uploaded else Direction.USER_UPLOAD
    place = ""
    if found.uploaded or may_edit:
        ticket = Ticket(direction, found.uid, holder_of(caller.principal), core.now() + LIFE_S)
        place = FILES_PATH + write_ticket(core.ticket_key, ticket)
    return AttachmentRow(found.uid, found.link_key, found.data, found.size, found.uploaded, place)


def _may(core: Core, caller: Caller, action: Action, folder: str) -> bool:
    decision = decide(core.state, caller.principal, action, folder, now=core.now())
    return isinstance(decision, Allow)
