"""The authority log in pages."""

from __future__ import annotations

import pytest

from commander.backend.services import read_log
from commander.wire import calls
from tests.support.backend_server import BackendServer, Person

pytestmark = pytest.mark.integration


async def test_log_is_read_in_pages_from_any_position(
    server: BackendServer, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the beginning means all, past the end means nothing."""

    monkeypatch.setattr(read_log, "PAGE_STATEMENTS", 3)

    first = await admin.call(calls.LOG, calls.LogRequest(-5))
    second = await admin.call(calls.LOG, calls.LogRequest(first.statements[-1].seq))
    end = await admin.call(calls.LOG, calls.LogRequest(2**62))

    assert [s.seq for s in first.statements] == [0, 1, 2]
    assert [s.seq for s in second.statements] == [3, 4, 5]
    assert (end.statements, end.head_hash) == ((), server.core.state.head)
