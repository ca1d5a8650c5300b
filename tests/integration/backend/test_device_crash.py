"""kill -9 while devices write: what was acknowledged is there, and nothing else is half there."""

from __future__ import annotations

import asyncio
import http.client
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sdk_devices import b64
from tests.support.sdk_program import Program, prepare

pytestmark = pytest.mark.integration


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    tmp_path.chmod(0o700)
    found = Program(tmp_path, *asyncio.run(prepare(tmp_path, 100)))
    yield found
    found.server.stop(signal.SIGKILL)


def newest(program: Program) -> tuple[int, str]:
    """Revision and data of the record."""
    answer = program.call("get_secret", requestedRecords=[program.content["ownerRecordUid"]])
    record = answer["folders"][0]["records"][0]
    return record["revision"], record["data"]


def test_acknowledged_updates_outlive_kill_nine(program: Program) -> None:
    """Twice in the middle of a stream of updates; the newest is at most one further."""
    record = program.content["ownerRecordUid"]
    for _ in range(2):
        revision, _ = newest(program)
        acknowledged = [revision]
        enough = threading.Event()

        def write(acknowledged: list[int] = acknowledged, enough: threading.Event = enough) -> None:
            try:
                while True:
                    seen = acknowledged[-1]
                    data = b64((seen + 1).to_bytes(64, "big"))
                    program.call("update_secret", recordUid=record, data=data, revision=seen)
                    acknowledged.append(seen + 1)
                    if len(acknowledged) > 4:
                        enough.set()
            except (OSError, http.client.HTTPException):
                enough.set()

        writer = threading.Thread(target=write)
        writer.start()
        assert enough.wait(60)
        program.again()
        writer.join(60)
        assert not writer.is_alive()

        after, data = newest(program)
        assert acknowledged[-1] <= after <= acknowledged[-1] + 1
        assert data == b64(after.to_bytes(64, "big"))
