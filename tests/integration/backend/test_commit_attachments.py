"""Attachments in commits: what is taken, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from commander.authority.refusals import Code
from commander.ids import new_uid
from commander.wire import calls
from tests.support.backend_devices import Application
from tests.support.backend_server import BackendServer, refused

pytestmark = pytest.mark.integration


def new_file(to: str, **change: Any) -> calls.NewAttachment:
    """An attachment of 100 bytes."""
    made = calls.NewAttachment(new_uid(), to, bytes(60), bytes(64), 100)
    return msgspec.structs.replace(made, **change)


async def listed(application: Application) -> tuple[calls.AttachmentRow, ...]:
    """What the server says of the record's attachments."""
    request = calls.AttachmentsRequest(application.record)
    return (await application.owner.call(calls.ATTACHMENTS, request)).attachments


async def test_an_attachment_is_announced_and_removed(application: Application) -> None:
    """Until its bytes have come it has a place to bring them to."""
    new = new_file(application.record)
    await application.owner.call(calls.COMMIT, calls.Commit(attachments=(new,)))

    (row,) = await listed(application)
    assert (row.file, row.link_key, row.data, row.size) == (
        new.file, new.link_key, new.data, new.size,
    )  # fmt: skip
    assert not row.uploaded
    assert row.place.startswith("/api/rest/sm/v1/files/")

    old = calls.OldAttachment(new.file, application.record)
    await application.owner.call(calls.COMMIT, calls.Commit(removed_attachments=(old,)))
    assert await listed(application) == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"record": "A" * 22}, Code.OBJECT_UNKNOWN),
        ({"file": "x"}, Code.REQUEST_MALFORMED),
        ({"link_key": bytes(59)}, Code.REQUEST_MALFORMED),
        ({"link_key": bytes(61)}, Code.TOO_LARGE),
        ({"data": bytes(65 * 1024)}, Code.TOO_LARGE),
        ({"size": 27}, Code.REQUEST_MALFORMED),
        ({"size": 2**31}, Code.TOO_LARGE),
    ],
)
async def test_what_is_no_attachment_is_refused(
    application: Application, change: dict[str, Any], code: Code
) -> None:
    """With its code, and nothing of the commit is stored."""
    good, bad = new_file(application.record), new_file(application.record, **change)

    with refused(code):
        await application.owner.call(calls.COMMIT, calls.Commit(attachments=(good, bad)))

    assert await listed(application) == ()


async def test_an_attachment_is_there_once(application: Application) -> None:
    """Neither twice in a commit nor again later."""
    new = new_file(application.record)
    with refused(Code.REQUEST_MALFORMED):
        await application.owner.call(calls.COMMIT, calls.Commit(attachments=(new, new)))
    await application.owner.call(calls.COMMIT, calls.Commit(attachments=(new,)))

    with refused(Code.STATEMENT_DUPLICATE):
        await application.owner.call(calls.COMMIT, calls.Commit(attachments=(new,)))

    many = tuple(new_file(application.record) for _ in range(101))
    with refused(Code.TOO_LARGE):
        await application.owner.call(calls.COMMIT, calls.Commit(attachments=many))


async def test_strangers_neither_add_nor_remove(
    server: BackendServer, application: Application
) -> None:
    """Who has no part in the folder."""
    bob = await server.add_person(application.owner, "bob@example.org")
    new = new_file(application.record)
    await application.owner.call(calls.COMMIT, calls.Commit(attachments=(new,)))
    old = calls.OldAttachment(new.file, application.record)

    for commit in (
        calls.Commit(attachments=(new_file(application.record),)),
        calls.Commit(removed_attachments=(old,)),
    ):
        with refused(Code.ACCESS_MISSING):
            await bob.call(calls.COMMIT, commit)
    assert len(await listed(application)) == 1
