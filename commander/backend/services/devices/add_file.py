"""`add_file`: a record's new data that names an attachment, and a place for its bytes."""

from __future__ import annotations

from commander.backend.core import Core
from commander.backend.limits import ATTACHMENT_BYTES
from commander.backend.services.devices.draft import DeviceCall, DeviceDraft, begin
from commander.backend.services.devices.tickets import LIFE_S, Direction, Ticket, write_ticket
from commander.backend.services.devices.update_secret import need_revision
from commander.backend.storage import attachments
from commander.backend.storage.attachments import StoredAttachment
from commander.ksm.answers import upload_place
from commander.ksm.errors import DeviceRefused, ErrorCode
from commander.ksm.payloads import MAX_FILES
from commander.ksm.writes import AddFile

FILES_PATH = "/api/rest/sm/v1/files/"
UPLOADED_STATUS = 201


async def add_file(core: Core, call: DeviceCall, content: AddFile) -> bytes:
    """
    Store data and description; the answer says where the encrypted bytes go.

    Until they have come, the attachment is listed without an address. Raises DeviceRefused.
    """
    if content.size > ATTACHMENT_BYTES:
        raise DeviceRefused(
            f"an attachment has at most {ATTACHMENT_BYTES} bytes", code=ErrorCode.BAD_REQUEST
        )
    if not core.files.has_room(content.size):
        raise DeviceRefused("the server's disk is too full", code=ErrorCode.SERVER_ERROR)
    async with begin(core, call) as (draft, _):
        record = await draft.record(content.record)
        draft.need_edit(record.head.folder)
        if not draft.is_done(record.version):
            if content.revision is None:
                await draft.claim()
            else:
                need_revision(record, content.revision)
            await _add(draft, content)
            await draft.put_record(record, content.data)
            await draft.note("add_file", content.record)
    url = address_of(core, call.origin, Direction.UPLOAD, content.file, call.client.client_id)
    return upload_place(url, status=UPLOADED_STATUS)


def address_of(core: Core, origin: str, direction: Direction, file: str, client_id: str) -> str:
    """The short-lived address of an attachment for one client."""
    ticket = Ticket(direction, file, client_id, core.now() + LIFE_S)
    return origin + FILES_PATH + write_ticket(core.ticket_key, ticket)


async def _add(draft: DeviceDraft, content: AddFile) -> None:
    if await attachments.find(draft.connection, content.file) is not None:
        raise DeviceRefused(f"file {content.file} exists already", code=ErrorCode.BAD_REQUEST)
    if await attachments.count(draft.connection, content.record) >= MAX_FILES:
        raise DeviceRefused(
            f"a record has at most {MAX_FILES} attachments", code=ErrorCode.BAD_REQUEST
        )
    await attachments.add(
        draft.connection,
        StoredAttachment(
            content.file, content.record, content.link_key, content.file_data, content.size,
            uploaded=False, created=draft.now,
        ),
    )  # fmt: skip
