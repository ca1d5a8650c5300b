"""Who is told of a record's attachments, and with which places."""

from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Right
from commander.ids import new_uid
from commander.wire import calls
from tests.support.backend_devices import Application
from tests.support.backend_server import BackendServer, refused

pytestmark = pytest.mark.integration


async def test_viewers_get_no_place_to_bring_bytes_to(
    server: BackendServer, application: Application
) -> None:
    """They see that it is to come; strangers see no record."""
    bob = await server.add_person(application.owner, "bob@example.org")
    new = calls.NewAttachment(new_uid(), application.record, bytes(60), bytes(64), 100)
    await application.owner.call(calls.COMMIT, calls.Commit(attachments=(new,)))
    request = calls.AttachmentsRequest(application.record)
    for wanted in (request, calls.AttachmentsRequest("x" * 500)):
        with refused(Code.OBJECT_UNKNOWN):
            await bob.call(calls.ATTACHMENTS, wanted)

    await application.owner.vault.sync()
    await application.owner.vault.sharing.share_with_user(
        application.folder, bob.user, (Right.VIEW,)
    )
    (row,) = (await bob.call(calls.ATTACHMENTS, request)).attachments
    assert (row.file, row.uploaded, row.place) == (new.file, False, "")
