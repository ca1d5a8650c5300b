"""
A backend that lies about what Secrets Manager devices wrote: named by its code, the older data stays.

Every case has its control: the same change without the lie is taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from commander.authority.refusals import Code
from commander.authority.statements import client_uid
from commander.codec import Message
from commander.crypto import aead
from commander.ids import ApplicationUid
from commander.ksm.keys import P256PrivateKey
from commander.ksm.token import OneTimeToken
from commander.vault.replica import Replica
from commander.vault.sync import restore
from commander.wire import calls
from commander.wire.records import RecordData
from commander.wire.seals import RecordVersion
from tests.support.device_writes import SdkDevice
from tests.support.sdk_world import SdkWorld, make_sdk_world

pytestmark = pytest.mark.parametrize("confirmed", [False, True])


@pytest.fixture
async def world(confirmed: bool) -> SdkWorld:
    """A vault and a device whose key the log names, or does not."""
    return await make_sdk_world(confirmed=confirmed)


async def refused(world: SdkWorld) -> list[Code | str]:
    """Sync; the codes of what is refused."""
    return [problem.error.code for problem in await world.vault.sync()]


async def test_control(world: SdkWorld) -> None:
    """What the device did is taken, each thing once."""
    uid = world.create("Orders", password="1")
    folder = await world.vault.create_folder("A", world.folder)
    assert await refused(world) == []

    world.update(uid, password="2")
    world.add_file(uid)
    world.rename(folder.uid, "B")
    world.rename(folder.uid, "C")

    assert await refused(world) == []
    assert world.vault.get_record(uid).data.text("password") == "2"
    assert world.vault.view.folders[folder.uid].name == "C"


async def test_an_old_update_shown_again(world: SdkWorld) -> None:
    """A device's request of before, as a new revision: it names the revision it was for."""
    uid = world.create("Orders", password="1")
    old = world.update(uid, password="2")
    world.update(uid, password="3")
    assert await refused(world) == []
    assert old.write is not None

    world.store_record(old.write, uid, old.payload)

    assert await refused(world) == [Code.SEAL_BROKEN]
    assert world.vault.get_record(uid).data.text("password") == "3"


async def test_an_old_request_without_a_revision_shown_again(world: SdkWorld) -> None:
    """A folder's old name and a file's old record: counted once, and still after a full sync."""
    uid = world.create("Orders")
    folder = await world.vault.create_folder("A", world.folder)
    renamed, filed = world.rename(folder.uid, "B"), world.add_file(uid)
    await world.vault.sync()
    world.rename(folder.uid, "C")
    world.update(uid, password="2")
    assert await refused(world) == []
    assert renamed.write is not None
    assert filed.write is not None

    world.store_folder(renamed.write, folder.uid, renamed.payload)
    world.store_record(filed.write, uid, filed.payload)

    assert await refused(world) == [Code.SEAL_REVISION, Code.SEAL_REVISION]
    assert world.vault.view.folders[folder.uid].name == "C"
    assert world.vault.get_record(uid).data.text("password") == "2"


async def test_an_old_request_with_the_other_signature(world: SdkWorld) -> None:
    """ECDSA has two signatures for one message; the second one makes no new request."""
    uid = world.create("Orders")
    filed = world.add_file(uid)
    await world.vault.sync()
    assert filed.write is not None

    again = msgspec.structs.replace(filed.write, signature=_other_signature(filed.write.signature))
    world.store_record(again, uid, filed.payload)

    assert await refused(world) == [Code.SEAL_REVISION]


def _other_signature(signature: bytes) -> bytes:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, order - s)


async def test_a_request_for_one_record_shown_as_of_another(world: SdkWorld) -> None:
    """Swapped between two records that are at the same revision."""
    one, two = world.create("One", password="1"), world.create("Two", password="2")
    assert await refused(world) == []
    write = world.update(one, password="new")
    assert write.write is not None

    world.store_record(write.write, two, write.payload)

    assert await refused(world) == [Code.SEAL_BROKEN]
    assert world.vault.get_record(one).data.text("password") == "new"
    assert world.vault.get_record(two).data.text("password") == "2"


Lie = Callable[[RecordVersion], RecordVersion]
LIES: dict[str, Lie] = {
    "payload": lambda v: msgspec.structs.replace(
        v, payload=v.payload[:-1] + bytes([v.payload[-1] ^ 1])
    ),
    "record key": lambda v: msgspec.structs.replace(v, record_key=bytes(60)),
    "no request": lambda v: msgspec.structs.replace(v, write=None),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_version_that_is_not_what_was_signed(world: SdkWorld, lie: Lie) -> None:
    """Another payload, another key, or no request at all."""
    uid = world.create("Orders")
    at, version = world.server.stored.records[uid][-1]
    world.server.stored.records[uid][-1] = (at, lie(version))

    (code,) = await refused(world)

    assert code in (Code.SEAL_BROKEN, Code.SEAL_AUTHOR)
    assert uid not in world.vault.view.records

    world.server.stored.records[uid][-1] = (at, version)
    assert await refused(world) == []


async def test_a_key_of_the_servers_own(world: SdkWorld, confirmed: bool) -> None:
    """Once a device is known, by the log or by its first use, another key writes nothing in its name."""
    uid = world.create("Orders", password="1")
    assert await refused(world) == []

    world.device = dataclasses.replace(world.device, key=P256PrivateKey.generate())
    world.update(uid, password="2")

    assert await refused(world) == [Code.SEAL_AUTHOR]
    assert world.vault.get_record(uid).data.text("password") == "1"


async def test_another_devices_key(world: SdkWorld) -> None:
    """A device of another application writes nothing here, in its own name or another's."""
    uid = world.create("Orders")
    await world.vault.sync()
    own = world.device
    other = await world.vault.applications.create("Other")
    token = await world.vault.applications.add_client(other.uid, "its")
    stranger = SdkDevice(ApplicationUid(other.uid), token=token.token)

    world.device = stranger
    world.update(uid, password="by a stranger")
    assert await refused(world) == [Code.SEAL_AUTHOR]
    world.server.stored.records[uid].pop()
    world.device = dataclasses.replace(own, key=stranger.key)
    world.update(uid, password="in another's name")

    assert await refused(world) == [Code.SEAL_AUTHOR]


async def test_a_device_the_server_made_up(world: SdkWorld) -> None:
    """Nobody announced it."""
    world.device = SdkDevice(ApplicationUid(world.application), token=OneTimeToken.generate())
    world.create("Made up")

    assert await refused(world) == [Code.SEAL_AUTHOR]


async def test_a_device_that_was_removed(world: SdkWorld) -> None:
    """What it wrote before stays, what it writes after is refused."""
    uid = world.create("Orders", password="1")
    await world.vault.sync()
    await world.vault.applications.remove_clients({world.device.client_id: ""})
    assert await refused(world) == []

    world.update(uid, password="2")

    assert await refused(world) == [Code.SEAL_AUTHOR]
    assert world.vault.get_record(uid).data.text("password") == "1"


async def test_a_folder_that_became_read_only(world: SdkWorld) -> None:
    """The right to edit is judged at the write, whatever the server lets pass."""
    uid = world.create("Orders", password="1")
    await world.vault.applications.share_folder(world.application, world.folder)
    assert await refused(world) == []

    world.update(uid, password="2")

    assert await refused(world) == [Code.SEAL_AUTHOR]


async def test_a_withheld_confirmation(world: SdkWorld, confirmed: bool) -> None:
    """Who gets no confirmation gets nothing that was judged after it either."""
    if confirmed:
        return
    uid = world.create("Orders")
    await world.vault.sync()
    frozen = world.server.state()
    after = tuple(world.server.stored.statements)
    confirmation = world.device.statement()

    def withhold(path: str, answer: Message) -> Message:
        if path != calls.LOG.path:
            return answer
        assert isinstance(answer, calls.LogAnswer)
        kept = tuple(statement for statement in answer.statements if statement in after)
        return calls.LogAnswer(kept, frozen.seq, frozen.head)

    await world.vault.commit(lambda draft: draft.state(confirmation))
    seen_by_ann = world.vault.state.clients.get(client_uid(world.device.client_id))
    assert seen_by_ann is not None
    assert seen_by_ann.ksm_key == world.device.key.public.raw
    world.update(uid, password="2")
    world.server.before_answer = withhold
    # A machine that has not seen the confirmation: the log as it was.
    world.vault._replica = await _replica_at(world, frozen.seq)

    assert await refused(world) == [Code.SEAL_AUTHOR]

    world.server.before_answer = lambda path, answer: answer
    assert await refused(world) == []


async def _replica_at(world: SdkWorld, seq: int) -> Replica:
    snapshot = world.vault._replica.snapshot()
    kept = msgspec.structs.replace(snapshot, statements=snapshot.statements[: seq + 1])
    return restore(kept, world.vault.login.identity)


async def test_a_confirmation_of_another_key(world: SdkWorld, confirmed: bool) -> None:
    """Confirmed is the device's own key: what the server's key wrote before is refused from then on."""
    if confirmed:
        return
    own = world.device.key
    world.device.key = P256PrivateKey.generate()
    uid = world.create("By the server", password="1")
    assert await refused(world) == [], "first use: nobody can tell yet"

    statement = dataclasses.replace(world.device, key=own).statement()
    await world.vault.commit(lambda draft: draft.state(statement))
    world.update(uid, password="2")

    assert await refused(world) == [Code.SEAL_AUTHOR]


async def test_another_owners_key_at_the_binding(world: SdkWorld) -> None:
    """The server could read what the device makes; the owner is told at the first record."""
    world.device.owner = P256PrivateKey.generate()
    world.create("Readable")

    assert await refused(world) == [Code.SEAL_BROKEN]
    assert "another owner's key" in str(world.vault.problems[0])


async def test_a_rollback_of_a_devices_write(world: SdkWorld) -> None:
    """The server forgets the device's newest revision."""
    uid = world.create("Orders", password="1")
    world.update(uid, password="2")
    assert await refused(world) == []

    kept = world.server.stored.records[uid]
    kept.pop()
    kept[-1] = (10_000, kept[-1][1])
    world.server.stored.cursor = 10_000

    assert await refused(world) == [Code.SEAL_REVISION]
    assert world.vault.get_record(uid).data.text("password") == "2"


async def test_a_deletion_nobody_asked_for(world: SdkWorld) -> None:
    """A device deleted one folder by force; the server lets it delete records of another one."""
    folder = await world.vault.create_folder("Old", world.folder)
    inside, beside = world.create("In", inner=folder.uid), world.create("Beside")
    await world.vault.sync()
    write = world.device.sign(folderUids=[folder.uid], forceDeletion=True)
    world.store_folder(write, folder.uid, b"", deleted=True)
    world.store_record(write, inside, b"", deleted=True)
    world.store_record(write, beside, b"", deleted=True)

    assert await refused(world) == [Code.SEAL_BROKEN]
    assert set(world.vault.view.records) == {beside}


async def test_a_creation_over_a_record_that_is_there(world: SdkWorld) -> None:
    """A creation is a first revision, whatever the server says."""
    uid = world.create("Orders", password="1")
    await world.vault.sync()
    key = aead.new_key()
    write = world.sign_create(uid, key, RecordData.create("login", "Other"))
    sealed = aead.seal(key, RecordData.create("login", "Other").serialize())

    world.store_record(write, uid, sealed, record_key=aead.seal(world.folder_key, key))

    assert await refused(world) == [Code.SEAL_BROKEN]
    assert world.vault.get_record(uid).data.text("password") == "1"
