"""Upload and download of an attachment's bytes, by a ticket."""

from __future__ import annotations

from commander.authority.decide import Action
from commander.authority.refusals import Code
from commander.backend.core import Core
from commander.backend.services.devices import access
from commander.backend.services.devices.tickets import Direction, Ticket, device_of, read_ticket
from commander.backend.storage import attachments, clients
from commander.backend.storage.attachments import StoredAttachment
from commander.backend.storage.objects import RECORDS
from commander.errors import Refused

ABANDONED_S = 24 * 3600


async def admit_transfer(
    core: Core, text: str, direction: Direction, *, address: str
) -> StoredAttachment:
    """
    The attachment that a ticket opens, when its client may read (or edit) the record now.

    Raises Refused; what is not there answers as what may not be read.
    """
    is_upload = direction.is_upload
    own = Direction.USER_UPLOAD if is_upload else Direction.USER_DOWNLOAD
    ticket = read_ticket(core.ticket_key, text, direction, own, now=core.now())
    async with core.database.reading() as connection:
        found = await attachments.find(connection, ticket.file)
        client = await clients.find(connection, ticket.client_id)
        heads = await RECORDS.heads(connection, [found.record] if found else [])
    if found is None or heads[found.record].deleted or found.uploaded is is_upload:
        raise _unknown(ticket)
    if ticket.direction.is_of_user:
        principal = device_of(ticket.client_id)
    elif client is None:
        raise _unknown(ticket)
    else:
        access.check_stated(core.state, client)
        access.check_time_and_place(client, address, now=core.now())
        principal = client.application
    action = Action.EDIT if is_upload else Action.VIEW
    if not access.may(core.state, principal, action, heads[found.record].folder, now=core.now()):
        raise _unknown(ticket)
    return found


async def finish_upload(core: Core, attachment: StoredAttachment) -> None:
    """Serve the attachment from now on. Raises Refused when it was removed meanwhile."""
    async with core.database.transaction() as transaction:
        done = await attachments.uploaded(transaction.connection, attachment.uid)
    if not done:
        core.files.forget([attachment.uid])
        raise Refused("the attachment was removed meanwhile", code=Code.OBJECT_UNKNOWN)


async def sweep_files(core: Core) -> int:
    """At the start: remove what uploads that never ended have left. Returns how many files."""
    async with core.database.transaction() as transaction:
        connection = transaction.connection
        await attachments.abandon(connection, before=core.now() - ABANDONED_S)
        keep = await attachments.all_uploaded(connection)
    return core.files.sweep(keep)


def _unknown(ticket: Ticket) -> Refused:
    return Refused(f"there is no attachment {ticket.file}", code=Code.OBJECT_UNKNOWN)
