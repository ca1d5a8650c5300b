"""Audit chains: stored as signed, complete, for administrators only."""

from __future__ import annotations

import pytest

from commander.audit.chain import ChainWriter, Entry
from commander.audit.events import LogHeadChanged, TunnelKilled
from commander.audit.verify import verify
from commander.authority.refusals import Code
from commander.crypto.signing import SigningKey, VerifyKey
from commander.wire import calls
from tests.support.backend_server import BackendServer, Person, changed, refused

pytestmark = pytest.mark.integration

ANY = calls.AuditRead(0, 0, 0, "", "", "", "", 0)


def sealed(person: Person, count: int, *, key: SigningKey | None = None) -> list[Entry]:
    """The first events of a device's chain."""
    writer = ChainWriter(person.device.device, key or person.device.signing_key())
    now = int(person.server.clock.now() * 1000)
    return [writer.seal(LogHeadChanged(n, bytes(32), 0, 0), time_ms=now) for n in range(count)]


async def append(person: Person, *entries: Entry) -> int:
    request = calls.AuditAppend(tuple(entry.to_bytes() for entry in entries))
    return (await person.call(calls.AUDIT_APPEND, request)).stored_seq


async def test_chain_is_stored_once_however_often_it_is_sent(
    server: BackendServer, admin: Person
) -> None:
    """Overlapping sends after a lost answer add only what is new."""
    entries = sealed(admin, 5)

    assert await append(admin) == 0
    assert await append(admin, *entries[:3]) == 3
    assert await append(admin, *entries[1:5]) == 5
    assert await append(admin, *entries[:2]) == 5
    read = changed(ANY, producer=admin.device.device)
    found = (await admin.call(calls.AUDIT_READ, read)).events
    assert [raw for _, raw in found] == [entry.to_bytes() for entry in entries]


async def test_forged_foreign_missing_and_forked_events_are_refused(
    server: BackendServer, admin: Person
) -> None:
    """Nothing that does not continue the stored chain gets in."""
    entries = sealed(admin, 4)
    await append(admin, *entries[:2])
    other = sealed(admin, 3, key=admin.device.signing_key())
    fork = ChainWriter(admin.device.device, admin.device.signing_key()).seal(
        LogHeadChanged(9, bytes(32), 0, 0), time_ms=1
    )
    bob = await server.add_person(admin, "bob@example.org")
    assert other[2].to_bytes() == entries[2].to_bytes()

    for code, entry in (
        (Code.SEAL_REVISION, entries[3]),
        (Code.SEAL_BROKEN, changed(entries[2], signature=bytes(64))),
        (Code.SEAL_BROKEN, changed(entries[2], body=entries[1].body)),
        (Code.SEAL_BROKEN, sealed(bob, 1)[0]),
        (Code.SEAL_BROKEN, fork),
    ):
        with refused(code):
            await append(admin, entry)
    with refused(Code.REQUEST_MALFORMED):
        await admin.call(calls.AUDIT_APPEND, calls.AuditAppend((b"x",)))
    with refused(Code.TOO_LARGE):
        await admin.call(calls.AUDIT_APPEND, calls.AuditAppend((b"x",) * 501))
    assert await append(admin, *entries[2:]) == 4


async def test_only_administrators_read_and_filters_narrow(
    server: BackendServer, admin: Person
) -> None:
    """By producer, kind, user, record and time, in pages."""
    bob = await server.add_person(admin, "bob@example.org")
    writer = ChainWriter(bob.device.device, bob.device.signing_key())
    now = int(server.clock.now())
    record = "R" * 22
    await append(
        bob,
        writer.seal(TunnelKilled("C" * 22, "", record, "stopped", 0, "psql"), time_ms=now * 1000),
    )

    async def count(**values: object) -> int:
        return len((await admin.call(calls.AUDIT_READ, changed(ANY, **values))).events)

    with refused(Code.NOT_ADMINISTRATOR):
        await bob.call(calls.AUDIT_READ, ANY)
    assert await count(producer=bob.device.device) == 1
    assert await count(record=record) == 1
    assert await count(kind="tunnel-killed") == 1
    assert await count(kind="' OR 1=1 --") == 0
    assert await count(user=bob.user) == 1
    assert await count(since=now + 1) == 0
    assert await count(until=now) == 0
    everything = await admin.call(calls.AUDIT_READ, ANY)
    first = await admin.call(calls.AUDIT_READ, changed(ANY, limit=1))
    rest = await admin.call(calls.AUDIT_READ, changed(ANY, after=first.events[-1][0]))
    assert first.more
    assert (*first.events, *rest.events) == everything.events
    for values in ({"after": -1}, {"limit": 2**60}, {"kind": "x" * 65}):
        with refused(Code.REQUEST_MALFORMED):
            await count(**values)


async def test_servers_own_chain_verifies(server: BackendServer, admin: Person) -> None:
    """Set-up, invitations and the rest are one sound chain under the server's key."""
    await server.add_person(admin, "bob@example.org")
    answer = await admin.call(calls.AUDIT_READ, ANY)
    own = [e for e in (Entry.parse(raw) for _, raw in answer.events) if e.producer == answer.server]

    verdict = verify(own, {answer.server: VerifyKey(answer.server_key)})

    assert verdict.is_sound
    assert [entry.kind for entry in own] == ["setup-consumed", "enrolled"]
