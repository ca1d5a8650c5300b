from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from commander.audit.chain import EMPTY, ChainHead
from commander.audit.events import LogHeadChanged
from commander.codec import Message
from commander.errors import InvalidInput
from commander.plugin.results import Document, Exited
from commander.wire.calls import AuditAnswer
from plugins.audit import plugin, verify_log
from plugins.audit.heads import read_heads, write_heads
from plugins.pam.gateway import plugin as gateways
from tests.unit.plugins.audit.conftest import Audited


async def verdict(audited: Audited) -> tuple[int, dict[str, Any]]:
    """The exit code and the document."""
    result = await audited.world.run(plugin, "audit verify")
    code = result.code if isinstance(result, Exited) else 0
    document = result.result if isinstance(result, Exited) else result
    assert isinstance(document, Document)
    return code, dict(document.values)


def fill(audited: Audited, count: int = 5) -> None:
    for _ in range(count):
        audited.write(audited.server_chain)
        audited.write(audited.gateway_chain)


async def test_a_whole_log_is_sound(audited: Audited) -> None:
    """Exit 0, with the end of every chain."""
    fill(audited)

    code, values = await verdict(audited)
    assert (code, values["sound"], values["entries"], values["problems"]) == (0, True, 10, [])
    assert [item["last_sequence"] for item in values["producers"]] == [5, 5]


async def test_an_empty_log_is_sound(audited: Audited) -> None:
    """There is nothing to prove yet."""
    code, values = await verdict(audited)
    assert (code, values["entries"]) == (0, 0)


async def test_a_removed_and_a_forged_event_are_named(audited: Audited) -> None:
    """Exit 1, the producer and the exact sequence numbers."""
    fill(audited)
    stored = audited.world.server.audit
    entry = audited.gateway_chain.seal(verify_log_event(), time_ms=1)
    stored.append(msgspec.structs.replace(entry, time_ms=2).to_bytes())
    del stored[4]  # the server's third

    code, values = await verdict(audited)
    assert (code, values["sound"]) == (1, False)
    found = [(p["producer"], p["finding"], p["first_sequence"]) for p in values["problems"]]
    assert sorted(found) == [("gateway Berlin", "forged", 6), ("server", "missing", 3)]


def verify_log_event() -> LogHeadChanged:
    return LogHeadChanged(9, b"", 0, 0)


async def test_a_cut_end_is_noticed_after_a_sound_check(audited: Audited) -> None:
    """Only the heads of the last check on this machine show it."""
    fill(audited)
    assert (await verdict(audited))[0] == 0

    del audited.world.server.audit[-2:]
    code, values = await verdict(audited)
    assert code == 1
    assert [(p["finding"], p["first_sequence"], p["last_sequence"]) for p in values["problems"]] == [
        ("truncated", 5, 5), ("truncated", 5, 5),
    ]  # fmt: skip


async def test_a_chain_that_was_written_anew_is_a_fork(audited: Audited) -> None:
    """A producer that goes on from an older copy signs another entry of a number."""
    fill(audited)
    assert (await verdict(audited))[0] == 0

    audited.world.server.audit.clear()
    audited.server_chain = type(audited.server_chain)(
        audited.world.server.audit_server, audited.world.server.audit_key, EMPTY
    )
    audited.world.clock.advance(60)
    for _ in range(6):
        audited.write(audited.server_chain)
    code, values = await verdict(audited)
    assert code == 1
    assert {(p["producer"], p["finding"]) for p in values["problems"]} == {
        ("server", "forked"), ("gateway Berlin", "truncated"),
    }  # fmt: skip


async def test_a_revoked_gateways_events_still_verify(audited: Audited) -> None:
    """Its key stays in the authority log."""
    fill(audited)
    await audited.world.run(gateways, "pam gateway remove -g Berlin -f")

    assert (await verdict(audited))[0] == 0


async def test_bytes_that_are_no_event_are_reported(audited: Audited) -> None:
    """By their position, and the rest is checked all the same."""
    fill(audited)

    def break_first(path: str, answer: Message) -> Message:
        if not isinstance(answer, AuditAnswer):
            return answer
        return msgspec.structs.replace(answer, events=((1, b"\x00"), *answer.events[1:]))

    audited.world.server.before_answer = break_first
    code, values = await verdict(audited)
    assert (code, values["unreadable_positions"], values["entries"]) == (1, [1], 9)


async def test_long_logs_are_checked_in_parts(
    audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict is the same wherever a part ends."""
    monkeypatch.setattr(verify_log, "PART", 1)
    monkeypatch.setattr("plugins.audit.reading.PAGE_EVENTS", 3)
    fill(audited, 7)
    assert (await verdict(audited))[0] == 0

    del audited.world.server.audit[4]
    code, values = await verdict(audited)
    assert code == 1
    assert [(p["finding"], p["first_sequence"]) for p in values["problems"]] == [("missing", 3)]


def test_heads_are_kept_for_one_server(tmp_path: Path) -> None:
    """Those of another server are not compared; a damaged file says what to do."""
    home = tmp_path / "home"
    heads = {"p": ChainHead(3, bytes(32))}
    assert read_heads(home, "s") == {}
    write_heads(home, "s", heads)

    assert read_heads(home, "s") == heads
    assert read_heads(home, "t") == {}
    (home / "audit-heads.json").write_text('{"version": 2, "server": "s", "heads": {}}')
    with pytest.raises(InvalidInput):
        read_heads(home, "s")
    (home / "audit-heads.json").write_text("{")
    with pytest.raises(InvalidInput):
        read_heads(home, "s")
