"""All revisions of a record, for those who may view it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from commander.authority.refusals import Code
from commander.ids import new_uid
from commander.wire import calls
from commander.wire.records import RecordData
from commander.wire.seals import read_record_seal
from tests.support.backend_server import BackendServer, Person

pytestmark = pytest.mark.integration


def titled(title: str) -> Callable[[RecordData], None]:
    def change(data: RecordData) -> None:
        data.content["title"] = title

    return change


async def test_history_is_whole_for_members_and_unknown_to_others(
    server: BackendServer, admin: Person
) -> None:
    """A record of others answers exactly as one that does not exist."""
    bob = await server.add_person(admin, "bob@example.org")
    record = await admin.vault.create_record(RecordData.create("login", "1"))
    for title in ("2", "3"):
        await admin.vault.update_record(record.uid, titled(title))

    found = await admin.call(calls.HISTORY, calls.HistoryRequest(record.uid))
    texts = set()
    for uid in (record.uid, new_uid(), "", "x" * 500, "' OR 1=1 --"):
        with pytest.raises(Exception, match="no such record") as caught:
            await bob.call(calls.HISTORY, calls.HistoryRequest(uid))
        texts.add((getattr(caught.value, "code", ""), str(caught.value)))

    assert [read_record_seal(r.seal).revision for r in found.records] == [1, 2, 3]
    assert texts == {(Code.OBJECT_UNKNOWN.value, "no such record")}
