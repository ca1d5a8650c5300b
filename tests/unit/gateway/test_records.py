from __future__ import annotations

import random

import msgspec
import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Right
from commander.codec import encode
from commander.crypto import aead
from commander.errors import Refused
from commander.gateway.records import RecordReader, Sealed, open_sealed_record, take_apart
from commander.gateway.switches import OpenRecord
from commander.ids import new_uid
from commander.ksm import payloads
from commander.wire.seals import RecordVersion, read_record_seal
from tests.support.device_writes import SdkDevice
from tests.support.gateway_world import World, database


async def answer_of(world: World) -> payloads.GetSecretResponse:
    """What the server says about the record and its configuration."""
    asked = (world.record.uid, world.configuration.uid)
    return await world.server.get_secret(
        payloads.GetSecretRequest(bytes(64), records=asked, seals=True)
    )


async def reader_of(world: World) -> RecordReader:
    """A reader that knows the log."""
    follower = world.follower()
    await follower.catch_up()
    return world.reader(follower)


async def test_a_record_comes_with_what_it_links_to(world: World) -> None:
    """Record, settings and configuration are proved and open; the second time in one question."""
    reader = await reader_of(world)

    record, linked = await reader.read(world.record.uid)
    assert record.data.host_and_port() == ("127.0.0.1", 5432)
    assert isinstance(linked[world.configuration.uid], OpenRecord)
    questions = len(world.server.requests)
    await reader.read(world.record.uid)

    assert len(world.server.requests) == questions + 1


async def test_unknown_and_malformed_names_are_unknown_records(world: World) -> None:
    """A name that no record can have is never sent to the server."""
    reader = await reader_of(world)

    found = await reader.read_many([new_uid(), "../../etc/passwd"])

    assert {type(one) for one in found.values()} == {Refused}
    assert all(
        one.code == Code.RECORD_UNKNOWN for one in found.values() if isinstance(one, Refused)
    )
    assert all("/etc/" not in uid for uid in world.server.requests[-1].records)


async def test_a_seal_ahead_of_the_log_makes_it_fetch(world: World) -> None:
    """A record written behind a statement that the gateway has not seen yet is still proved."""
    reader = await reader_of(world)
    world.enterprise.add_device(world.alice)
    world.edit(world.record, database("127.0.0.1", 6000))

    record, _ = await reader.read(world.record.uid)

    assert record.data.host_and_port()[1] == 6000


async def test_another_application_key_opens_nothing(world: World) -> None:
    """Without the right key every record is tampered, and nothing raises."""
    parts = take_apart(await answer_of(world), aead.new_key())

    for part in parts.values():
        assert isinstance(part, Sealed)
        with pytest.raises(Refused) as caught:
            open_sealed_record(world.enterprise.state, part, None)
        assert caught.value.code == Code.RECORD_TAMPERED


async def test_an_answer_without_seals_proves_nothing(world: World) -> None:
    """A server that leaves the seals out gets its records refused."""
    answer = await answer_of(world)
    assert answer.folders is not None
    bare = [
        msgspec.structs.replace(
            folder,
            records=[
                msgspec.structs.replace(record, commander=msgspec.UNSET)
                for record in folder.records or ()
            ],
        )
        for folder in answer.folders
    ]

    parts = take_apart(msgspec.structs.replace(answer, folders=bare), world.app_key)

    assert {part.code for part in parts.values() if isinstance(part, Refused)} == {Code.SEAL_BROKEN}


@pytest.mark.parametrize("seed", range(4))
async def test_no_change_of_an_answer_is_believed(world: World, seed: int) -> None:
    """Any bit of seal, key, payload or settings changed: a coded refusal, or nothing changed at all."""
    rng = random.Random(seed)
    state = world.enterprise.state
    good = take_apart(await answer_of(world), world.app_key)[world.record.uid]
    assert isinstance(good, Sealed)
    assert good.settings is not None

    def flip(data: bytes) -> bytes:
        at = rng.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]

    for _ in range(40):
        version, settings = good.version, good.settings
        seal = msgspec.structs.replace(version.seal, body=flip(version.seal.body))
        signature = msgspec.structs.replace(version.seal, signature=flip(version.seal.signature))
        twisted = rng.choice([
            (RecordVersion(seal, version.record_key, version.payload), settings),
            (RecordVersion(signature, version.record_key, version.payload), settings),
            (RecordVersion(version.seal, flip(version.record_key), version.payload), settings),
            (RecordVersion(version.seal, version.record_key, flip(version.payload)), settings),
            (version, msgspec.structs.replace(settings, payload=flip(settings.payload))),
            (version, msgspec.structs.replace(settings, seal=version.seal)),
        ])  # fmt: skip
        with pytest.raises(Refused) as caught:
            open_sealed_record(state, Sealed(good.uid, *twisted, good.folder_key), None)
        assert caught.value.code in set(Code)

    assert open_sealed_record(state, good, None).seal.record == world.record.uid


async def test_an_answer_that_was_overtaken_is_no_rollback(world: World) -> None:
    """Two questions at once, the older answer last: it is asked again, and the record is used."""
    reader = await reader_of(world)
    overtaken = await answer_of(world)
    world.edit(world.record, database("127.0.0.1", 6000))
    await reader.read(world.record.uid)
    honest, answers = world.server.get_secret, [overtaken]

    async def late(request: payloads.GetSecretRequest) -> payloads.GetSecretResponse:
        return answers.pop() if answers else await honest(request)

    reader._fetch = late

    record, _ = await reader.read(world.record.uid)

    assert record.seal.revision == 2
    assert answers == []


# --- records that Secrets Manager devices wrote --------------------------------------------------


def device_of_application(world: World, *, confirmed: bool = True) -> SdkDevice:
    """A device of the gateway's application that may edit the record's folder."""
    acme = world.enterprise
    acme.share(
        world.alice, world.folder, world.application, Right.VIEW, Right.EDIT, kind="application"
    )
    device = SdkDevice(world.application)
    acme.by(world.alice, device.statement(confirmed=confirmed))
    return device


async def test_what_a_confirmed_device_wrote_is_used(world: World) -> None:
    """A script that changes a password by an SDK keeps its tunnels."""
    device = device_of_application(world)
    world.edit_by_device(world.record, database("127.0.0.1", 6001), device)

    record, _ = await (await reader_of(world)).read(world.record.uid)

    assert record.data.host_and_port() == ("127.0.0.1", 6001)


async def test_old_device_write_shown_again_is_refused(world: World) -> None:
    """By a server that helps: as it was, and as if it were new."""
    device = device_of_application(world)
    reader = await reader_of(world)
    world.edit_by_device(world.record, database("127.0.0.1", 6001), device)
    old = world.record.version
    await reader.read(world.record.uid)
    world.edit_by_device(world.record, database("127.0.0.1", 6002), device)
    newest = world.record.version
    await reader.read(world.record.uid)
    seal = msgspec.structs.replace(
        read_record_seal(newest.seal),
        revision=4,
        prev_hash=newest.seal.digest(),
        payload_hash=read_record_seal(old.seal).payload_hash,
    )
    again = msgspec.structs.replace(old, seal=msgspec.structs.replace(old.seal, body=encode(seal)))

    codes = []
    for shown in (old, again):
        world.record.version = shown
        with pytest.raises(Refused) as caught:
            await reader.read(world.record.uid)
        codes.append(caught.value.code)

    assert codes == [Code.SEAL_REVISION, Code.SEAL_BROKEN]


async def test_what_an_unconfirmed_device_wrote_is_not_used(world: World) -> None:
    """Its key is the server's word; once confirmed, the same revision is used."""
    device = device_of_application(world, confirmed=False)
    world.edit_by_device(world.record, database("127.0.0.1", 6001), device)

    with pytest.raises(Refused, match="nobody has confirmed") as caught:
        await (await reader_of(world)).read(world.record.uid)

    assert caught.value.code == Code.SEAL_AUTHOR
    world.enterprise.by(world.alice, device.statement())
    record, _ = await (await reader_of(world)).read(world.record.uid)
    assert record.data.host_and_port() == ("127.0.0.1", 6001)
