from __future__ import annotations

from typing import Any

import msgspec
import pytest

from commander.audit.events import LogHeadChanged, LoginSucceeded, TunnelIntent
from commander.audit.sealed import seal_value
from commander.codec import Message
from commander.crypto.signing import SigningKey
from commander.errors import InvalidInput, NotFound, Refused, Tampered, UsageError
from commander.ids import new_uid
from commander.plugin.testing import check_plugin
from commander.wire.calls import AuditAnswer
from commander.wire.records import RecordData
from plugins.audit import plugin
from tests.unit.plugins.audit.conftest import Audited


async def log(audited: Audited, words: str = "") -> Any:
    return await audited.world.json(plugin, f"audit-log {words}")


def intent(user: str, record: str, gateway: str, key: bytes = b"k" * 32) -> TunnelIntent:
    host = seal_value(key, "c", "db.internal")
    return TunnelIntent("c", user, "d", gateway, record, "", 7, host, 5432)


def test_all_declarations_hold() -> None:
    """Every handler exists and every example parses."""
    assert len(check_plugin(plugin)) == 2


async def test_events_carry_names_where_they_are_known(audited: Audited) -> None:
    """Users, records and producers by name beside their UIDs; keys are stable."""
    world = audited.world
    record = await world.vault.create_record(RecordData.create("pamDatabase", "Orders DB"))
    whole = intent(world.vault.user, record.uid, audited.gateway, record.key)
    audited.write(audited.gateway_chain, whole)
    audited.write(audited.server_chain, LoginSucceeded("gone", "d", "s", "192.0.2.7"))
    audited.write(audited.gateway_chain, intent(world.vault.user, new_uid(), audited.gateway))
    audited.write(audited.gateway_chain, intent(world.vault.user, record.uid, audited.gateway))

    first, second, foreign, altered = await log(audited)

    assert first == {
        "time": "2027-01-15T08:00:00.000Z", "event": "tunnel-intent", "user": "ann@example.org",
        "record": "Orders DB", "producer": "gateway Berlin",
        "details": {
            "conversation": "c", "device": "d", "gateway": audited.gateway, "log_seq": 7,
            "target_host": "db.internal", "target_port": 5432,
        },
        "user_uid": world.vault.user, "record_uid": record.uid, "producer_uid": audited.gateway,
        "sequence": 1, "position": 1, "signature": "valid",
    }  # fmt: skip
    assert (second["user"], second["user_uid"], second["producer"]) == ("", "gone", "server")
    assert foreign["details"]["target_host"] == "(sealed)"
    assert altered["details"]["target_host"] == "(does not open)"


async def test_filters_name_things_as_people_do(audited: Audited) -> None:
    """Times, user, record, kind and producer, each alone."""
    world = audited.world
    record = await world.vault.create_record(RecordData.create("pamDatabase", "Orders DB"))
    audited.write(audited.server_chain)
    world.clock.advance(3600)
    audited.write(audited.gateway_chain, intent(world.vault.user, record.uid, audited.gateway))

    async def positions(words: str) -> list[int]:
        return [row["position"] for row in await log(audited, words)]

    assert await positions("") == [1, 2]
    assert await positions("--since 30m") == [2]
    assert await positions("--until 2027-01-15T08:30:00Z") == [1]
    assert await positions("--user ann@example.org") == [2]
    assert await positions(f"--user {world.vault.user}") == [2]
    assert await positions('--record "Orders DB"') == [2]
    assert await positions(f"--record {record.uid}") == [2]
    assert await positions("--event log-head-changed") == [1]
    assert await positions("--producer Berlin") == [2]
    assert await positions(f"--producer {audited.gateway}") == [2]
    assert await positions("--producer server") == [1]


async def test_all_pages_are_read_and_the_newest_kept(audited: Audited) -> None:
    """More than a page comes whole; --limit keeps the end and says what it left out."""
    for number in range(603):
        audited.write(audited.server_chain, LogHeadChanged(number, b"", 0, 0))

    assert len(await log(audited, "--limit 2000")) == 603
    newest = await log(audited, "--limit 2")
    assert [row["position"] for row in newest] == [602, 603]
    assert audited.world.context.console.notices == [
        "the newest 2 of 603 events; --limit shows more"
    ]


async def test_a_forged_event_is_marked(audited: Audited) -> None:
    """It is shown, and said to be forged; a stranger's is said to be unknown."""
    entry = audited.write(audited.gateway_chain)
    changed = msgspec.structs.replace(entry, time_ms=entry.time_ms + 1000)
    stranger = msgspec.structs.replace(entry, producer="BBBBBBBBBBBBBBBBBBBBBA")
    audited.world.server.audit += [changed.to_bytes(), stranger.to_bytes()]

    rows = await log(audited)
    assert [row["signature"] for row in rows] == ["valid", "forged", "unknown"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("--limit 0", UsageError),
        ("--limit 100001", UsageError),
        ("--since yesterday", InvalidInput),
        ("--event nonsense", UsageError),
        ("--user carl@example.org", NotFound),
        ("--record Nothing", NotFound),
        ("--producer Paris", NotFound),
    ],
)
async def test_bad_filters_are_refused(
    audited: Audited, words: str, error: type[Exception]
) -> None:
    """A filter that names nothing is an error, not an empty list."""
    with pytest.raises(error):
        await log(audited, words)


async def test_only_administrators_read_it(audited: Audited) -> None:
    """Another user is refused by code."""
    bob = await audited.world.other("bob@example.org")

    for line in ("audit-log", "audit verify"):
        with pytest.raises(Refused) as refused:
            await bob.run(plugin, line)
        assert refused.value.code == "not-administrator"


@pytest.mark.parametrize("lie", ["key", "circle", "empty", "garbage"])
async def test_a_lying_server_is_found_out(audited: Audited, lie: str) -> None:
    """Another key, pages that go round, a promise of more, bytes that are no event."""
    entry = audited.write(audited.server_chain)

    def answer(path: str, given: Message) -> Message:
        if not isinstance(given, AuditAnswer):
            return given
        lies: dict[str, dict[str, Any]] = {
            "key": {"server_key": SigningKey.generate().public.raw},
            "circle": {"events": ((1, entry.to_bytes()), (1, entry.to_bytes()))},
            "empty": {"events": (), "more": True},
            "garbage": {"events": ((1, b"garbage"),)},
        }
        return msgspec.structs.replace(given, **lies[lie])

    assert len(await log(audited)) == 1
    audited.world.server.before_answer = answer
    with pytest.raises(Tampered):
        await log(audited)


async def test_an_event_of_an_unknown_kind_is_shown(audited: Audited) -> None:
    """A newer producer's event keeps its place without its fields."""
    entry = audited.write(audited.server_chain)
    newer = msgspec.structs.replace(entry, kind="moon-landed", body=b"\xc0\x01")
    fields = (1, entry.producer, 1, entry.prev_hash, entry.time_ms, "moon-landed", newer.body)
    signature = audited.world.server.audit_key.sign("audit-entry", *fields)
    signed = msgspec.structs.replace(newer, signature=signature)
    audited.world.server.audit[:] = [signed.to_bytes()]

    (row,) = await log(audited)
    assert (row["event"], row["signature"]) == ("moon-landed", "valid")
    assert row["details"] == {"unreadable": "2 bytes"}
