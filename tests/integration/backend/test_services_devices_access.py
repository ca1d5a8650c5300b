"""Who is served, and until when."""

from __future__ import annotations

from typing import Any

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Right
from commander.backend.services.devices import access
from commander.backend.storage import clients
from commander.backend.storage.files import FileStore
from commander.ksm import folder_names
from commander.ksm.keys import P256PrivateKey
from commander.ksm.token import OneTimeToken
from commander.vault.applications import BoundClient, text_client_id
from tests.support.backend_server import refused
from tests.support.sdk_devices import RawDevice, SdkWorld, b64

pytestmark = pytest.mark.integration
ENDPOINTS: dict[str, dict[str, Any]] = {
    "get_secret": {}, "get_folders": {},
    "create_secret": {
        "recordUid": "R" * 21 + "A", "folderUid": "F" * 21 + "A", "recordKey": b64(bytes(125)),
        "folderKey": b64(bytes(60)), "data": b64(bytes(40)),
    },
    "update_secret": {"recordUid": "R" * 21 + "A", "data": b64(bytes(40)), "revision": 1},
    "finalize_secret_update": {"recordUid": "R" * 21 + "A"},
    "rollback_secret_update": {"recordUid": "R" * 21 + "A"},
    "delete_secret": {"recordUids": ["R" * 21 + "A"]},
    "create_folder": {
        "folderUid": "I" * 21 + "A", "sharedFolderUid": "F" * 21 + "A",
        "sharedFolderKey": b64(bytes(64)), "data": b64(bytes(48)),
    },
    "update_folder": {"folderUid": "I" * 21 + "A", "data": b64(bytes(48))},
    "delete_folder": {"folderUids": ["I" * 21 + "A"]},
    "add_file": {
        "fileRecordUid": "f" * 21 + "A", "fileRecordKey": b64(bytes(125)),
        "fileRecordData": b64(bytes(40)), "ownerRecordUid": "R" * 21 + "A",
        "ownerRecordData": b64(bytes(40)), "linkKey": b64(bytes(60)), "fileSize": 100,
    },
}  # fmt: skip
_SAYS_NOTHING = {"error": "access_denied", "message": "signature or client is not valid"}


async def test_strangers_are_told_nothing_at_any_endpoint(
    world: SdkWorld, device: RawDevice
) -> None:
    """Wrong key, unknown client, unbound token: one and the same answer."""
    thief = RawDevice(world, device.client_id, P256PrivateKey.generate())
    nobody = RawDevice(world, bytes(64), device.key)
    unbound = RawDevice(world, (await world.token()).client_id, device.key)

    for endpoint, content in ENDPOINTS.items():
        for stranger in (thief, nobody, unbound):
            answer = await stranger.call(endpoint, **content)
            assert (endpoint, answer) == (endpoint, (403, _SAYS_NOTHING))


async def test_content_of_another_path_is_refused(device: RawDevice) -> None:
    """The path is not signed, so it may not say something else than the content."""
    writes = [endpoint for endpoint in ENDPOINTS if not endpoint.startswith("get_")]
    for at, endpoint in enumerate(writes):
        # Not the next one: completion and rollback are the same content.
        for other in (writes[at - 2], writes[(at + 3) % len(writes)]):
            status, answer = await device.call(endpoint, **ENDPOINTS[other])
            assert (endpoint, status, answer["error"]) == (endpoint, 400, "bad_request")


async def test_access_ends_at_its_time_for_writes_too(world: SdkWorld) -> None:
    """A minute of access."""
    token = await world.token(access_minutes=1)
    device = RawDevice(world, token.client_id, P256PrivateKey.generate())
    point = b64(device.key.public.raw)
    assert (await device.call("get_secret", publicKey=point))[0] == 200
    revision = (await device.newest())["revision"]
    assert (await device.update(revision))[0] == 200

    world.server.clock.advance(61)

    assert (await device.update(revision + 1))[0] == 403
    assert (await device.call("get_folders"))[0] == 403


async def test_locked_client_is_served_at_its_first_address_only(world: SdkWorld) -> None:
    """As the store says which that was."""
    made = await world.vault.applications.add_client(world.application, "CI", ip_lock=True)
    device = RawDevice(world, made.token.client_id, P256PrivateKey.generate())
    await device.call("get_secret", publicKey=b64(device.key.public.raw))
    assert (await device.call("get_folders"))[0] == 200
    async with world.server.core.database.transaction() as transaction:
        await transaction.connection.exec_driver_sql("UPDATE clients SET address = '192.0.2.7'")

    assert await device.call("get_folders") == (403, _SAYS_NOTHING)
    assert (await device.update(1))[0] == 403


async def test_configuration_is_locked_to_the_address_that_uses_it_first(world: SdkWorld) -> None:
    """Written before the answer; who comes from elsewhere at the same moment finds it taken, though their question began before."""
    token, key, core = OneTimeToken.generate(), P256PrivateKey.generate(), world.server.core
    bound = BoundClient("CI", text_client_id(token), key.public.raw)
    await world.vault.applications.add_bound_clients(world.application, [bound], ip_lock=True)
    device = RawDevice(world, token.client_id, key)
    before = await core.shelf.client(bound.client_id)
    assert before is not None
    assert (before.ip_lock, before.address) == (True, "")

    assert (await device.call("get_folders"))[0] == 200
    async with core.database.reading() as connection:
        after = await clients.find(connection, bound.client_id)

    assert after is not None
    assert (after.address, after.first_access > 0) == ("127.0.0.1", True)
    with refused(Code.TOKEN_ADDRESS):
        await access.check_use(core, before, "192.0.2.7")
    await access.check_use(core, before, "127.0.0.1")


async def test_address_that_cannot_be_remembered_is_not_served(world: SdkWorld) -> None:
    """A disk that takes nothing must not leave a locked client open to everybody; others read on."""
    core = world.server.core
    device = await world.device()
    token, key = OneTimeToken.generate(), P256PrivateKey.generate()
    bound = BoundClient("CI", text_client_id(token), key.public.raw)
    await world.vault.applications.add_bound_clients(world.application, [bound], ip_lock=True)
    core.database._is_broken = True

    answers = [
        await RawDevice(world, token.client_id, key).call("get_folders"),
        await device.call("get_folders"),
    ]

    assert [status for status, _ in answers] == [500, 200]


async def test_device_with_another_key_than_the_confirmed_one_is_refused(world: SdkWorld) -> None:
    """Who bound a token before its owner did reads nothing once the owner has confirmed theirs."""
    device = await world.device()
    async with world.server.core.database.transaction() as transaction:
        await transaction.connection.exec_driver_sql(
            "UPDATE clients SET public_key = ? WHERE public_key != x''",
            (P256PrivateKey.generate().public.raw,),
        )

    assert await device.call("get_secret") == (403, _SAYS_NOTHING)


async def test_rights_that_end_take_effect_at_the_next_call(
    world: SdkWorld, device: RawDevice
) -> None:
    """From edit to view, from view to nothing."""
    revision = (await device.newest())["revision"]
    applications = world.vault.applications
    await applications.share_folder(world.application, world.folder, (Right.VIEW,))
    status, answer = await device.update(revision)
    assert (status, answer["error"]) == (403, "access_denied")

    await applications.unshare_folder(world.application, world.folder)

    status, answer = await device.update(revision)
    assert (status, answer["error"]) == (400, "record_uid_not_found")
    assert (await device.call("get_folders"))[1]["folders"] == []


async def test_busy_client_is_throttled_and_told_for_how_long(device: RawDevice) -> None:
    """Status 403 it must be, since SDKs wait on nothing else."""
    answers = [await device.call("get_folders") for _ in range(101)]

    status, answer = answers[-1]
    assert (status, answer["error"], answer["retry_after"]) == (403, "throttled", 2)
    assert answers[0][0] == 200


async def test_device_that_the_log_does_not_name_may_read_but_not_write(world: SdkWorld) -> None:
    """Readers would refuse what it wrote: it was made before devices could write."""
    device = await world.device()
    world.server.core.state.clients._by_key.clear()

    assert (await device.call("get_secret"))[0] == 200
    status, answer = await device.update(1)
    assert (status, answer["error"]) == (403, "access_denied")
    assert "make a new one" in answer["message"]


# In this order: the update makes revision 2, which the attachment follows; deletion is the last.
# What devices of an application get that may edit a folder, may only view it, or never saw it.
MATRIX: dict[str, tuple[str, str, str]] = {
    "get_secret": ("ok", "ok", "empty"),
    "get_folders": ("ok", "ok", "empty"),
    "create_secret": ("ok", "access_denied", "folder_uid_not_found"),
    "update_secret": ("ok", "access_denied", "record_uid_not_found"),
    "finalize_secret_update": ("bad_request", "access_denied", "record_uid_not_found"),
    "rollback_secret_update": ("bad_request", "bad_request", "record_uid_not_found"),
    "create_folder": ("ok", "access_denied", "folder_uid_not_found"),
    "update_folder": ("ok", "access_denied", "folder_uid_not_found"),
    "delete_folder": ("item access_denied", "item access_denied", "item folder_uid_not_found"),
    "add_file": ("ok", "access_denied", "record_uid_not_found"),
    "delete_secret": ("item ok", "item access_denied", "item record_uid_not_found"),
}


def content_for(endpoint: str, world: SdkWorld, device: RawDevice) -> dict[str, Any]:
    """A request that is right in every way but perhaps for the right to it."""
    name = b64(folder_names.seal_name(world.folder_key, "Renamed"))
    contents: dict[str, dict[str, Any]] = {
        "create_secret": device.new_secret(),
        "update_secret": {"recordUid": world.record, "data": b64(bytes(64)), "revision": 1},
        "finalize_secret_update": {"recordUid": world.record},
        "rollback_secret_update": {"recordUid": world.record},
        "delete_secret": {"recordUids": [world.record]},
        "create_folder": device.new_folder(),
        "update_folder": {"folderUid": world.folder, "data": name},
        "delete_folder": {"folderUids": [world.folder], "forceDeletion": True},
        "add_file": device.new_file(2),
    }
    return contents.get(endpoint, {})


@pytest.mark.parametrize("right", range(3), ids=["edit", "view", "none"])
async def test_every_endpoint_keeps_to_the_matrix(world: SdkWorld, right: int) -> None:
    """Endpoint by right; what may not be seen answers as what is not there."""
    device = await world.device()
    applications = world.vault.applications
    if right == 1:
        await applications.share_folder(world.application, world.folder, (Right.VIEW,))
    if right == 2:
        await applications.unshare_folder(world.application, world.folder)

    found = {}
    for endpoint in MATRIX:
        content = content_for(endpoint, world, device)
        found[endpoint] = told(*await device.call(endpoint, **content))

    assert found == {endpoint: expected[right] for endpoint, expected in MATRIX.items()}


def told(status: int, answer: Any) -> str:
    """What an answer comes down to."""
    if status != 200:
        return str(answer["error"])
    if answer == b"" or "url" in answer:
        return "ok"
    items = answer.get("records") or answer["folders"]
    if not items:
        return "empty"
    return f"item {items[0]['responseCode']}" if "responseCode" in items[0] else "ok"


async def test_devices_leave_the_disks_last_part_to_people(
    world: SdkWorld, device: RawDevice
) -> None:
    """They read on; the owner writes on."""
    core = world.server.core
    honest, core.files = core.files, NarrowDisk(core.files.directory)

    status, answer = await device.update(1)

    assert (status, answer["error"]) == (500, "server_error")
    assert (await device.call("get_secret"))[0] == 200
    await world.vault.update_record(world.record, lambda data: data.set_first("login", "x"))
    core.files = honest
    assert (await device.update(2))[0] == 200


class NarrowDisk(FileStore):
    """A disk with little room left."""

    def has_room(self, size: int) -> bool:
        return False
