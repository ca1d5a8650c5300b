"""Tests of confirming clients, of people who have applications, and of what devices are shown to have done."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Right
from commander.errors import Conflict, InvalidInput, NotFound, Refused, Tampered, UsageError
from commander.ids import ApplicationUid
from commander.ksm.config import DeviceConfig
from commander.ksm.keys import P256PrivateKey
from commander.ksm.owner import owner_key
from commander.plugin.results import Text
from commander.vault.people import RoleChange
from plugins.secrets_manager import plugin
from plugins.secrets_manager.fingerprints import fingerprint, is_fingerprint_of
from plugins.secrets_manager.usage import seconds_of
from plugins.vault import plugin as vault_plugin
from tests.support.command_world import World
from tests.support.device_writes import SdkDevice
from tests.support.sdk_world import SdkWorld

CONFIRM = "sm client confirm --app CI -i build"


@pytest.fixture
async def bound(world: World) -> tuple[World, SdkWorld]:
    """An application CI with a folder, whose device has used its token."""
    vault = world.vault
    application = await vault.applications.create("CI")
    folder = await vault.create_shared_folder("Shared")
    await vault.applications.share_folder(application.uid, folder.uid, (Right.VIEW, Right.EDIT))
    token = await vault.applications.add_client(application.uid, "build")
    device = SdkDevice(
        ApplicationUid(application.uid), token=token.token, owner=owner_key(application.key)
    )
    world.server.bound.add(device.client_id)
    world.server.bound_keys[device.client_id] = device.key.public.raw
    sdk = SdkWorld(world.server, world.clock, vault, application.uid, folder.uid, device)
    return world, sdk


async def status(world: World) -> str:
    """The device's status as `client list` shows it."""
    (row,) = await world.json(plugin, "sm client list -a CI")
    return str(row["status"])


async def test_a_client_is_unconfirmed_until_its_fingerprint_was_compared(
    bound: tuple[World, SdkWorld],
) -> None:
    """It is shown and asked about; without a terminal the fingerprint is to be given."""
    world, sdk = bound
    print_ = fingerprint(sdk.device.key.public.raw)
    assert await status(world) == "unconfirmed"

    with pytest.raises(UsageError, match=print_):
        await world.run(plugin, CONFIRM)
    made = await world.json(plugin, CONFIRM, "yes")

    assert print_ in world.context.console.questions[0]
    assert made["fingerprint"] == print_
    assert await status(world) == "bound"
    assert (await world.json(plugin, f"{CONFIRM} -f"))["status"] == "unchanged"


@pytest.mark.parametrize("is_right", [True, False])
async def test_what_the_device_says_is_compared(
    bound: tuple[World, SdkWorld], is_right: bool, tmp_path: Path
) -> None:
    """By fingerprint or by its own configuration; another key is no client of ours."""
    world, sdk = bound
    key = sdk.device.key if is_right else P256PrivateKey.generate()
    file = tmp_path / "client-config.json"
    file.touch(mode=0o600)
    file.write_text(
        DeviceConfig(
            "pam.example", sdk.device.token.client_id, 30, key.public, key, bytes(32), key.public
        ).to_json()
    )
    shown = await world.run(plugin, f"sm client fingerprint {file}")
    assert shown == Text(fingerprint(key.public.raw))

    for flag in (f"--config-file {file}", f"--fingerprint {fingerprint(key.public.raw).upper()}"):
        if is_right:
            await world.run(plugin, f"{CONFIRM} {flag}")
        else:
            with pytest.raises(Tampered, match="another key"):
                await world.run(plugin, f"{CONFIRM} {flag} -f")

    assert await status(world) == ("bound" if is_right else "unconfirmed")


async def test_a_key_that_changed_is_told(bound: tuple[World, SdkWorld]) -> None:
    """What was seen first stays; the server's new word is no key to confirm."""
    world, sdk = bound
    sdk.create("From CI")
    await world.vault.sync()
    world.server.bound_keys[sdk.device.client_id] = P256PrivateKey.generate().public.raw

    assert await status(world) == "wrong key"
    with pytest.raises(Tampered, match="another key"):
        await world.run(plugin, f"{CONFIRM} -f")


async def test_nobody_confirms_what_is_not_there(world: World, tmp_path: Path) -> None:
    """A token nobody used, a file that is none or no configuration."""
    await world.vault.applications.create("CI")
    await world.run(plugin, "sm client add --app CI --name build")
    (tmp_path / "x").touch(mode=0o600)

    with pytest.raises(Conflict, match="nobody has used"):
        await world.run(plugin, f"{CONFIRM} -f")
    with pytest.raises(NotFound):
        await world.run(plugin, f"sm client fingerprint {tmp_path}/none")
    with pytest.raises(UsageError):
        await world.run(plugin, f"sm client fingerprint {tmp_path}/x")


def test_fingerprints_are_whole_or_refused() -> None:
    """Separators and case do not count; a part of one is none."""
    key = P256PrivateKey.generate().public.raw
    text = fingerprint(key)

    assert is_fingerprint_of(text.upper().replace("-", " "), key)
    assert not is_fingerprint_of("0" * 32, key)
    with pytest.raises(InvalidInput):
        is_fingerprint_of(text[:-1], key)


async def test_who_wrote_is_shown(bound: tuple[World, SdkWorld]) -> None:
    """In `get` and in the history: person or client, and whether anybody confirmed it."""
    world, sdk = bound
    uid = sdk.create("Orders", password="1")
    await world.vault.sync()
    await world.run(vault_plugin, f"record-update -r {uid} login=app")
    sdk.update(uid, password="2")
    await world.vault.sync()

    shown = await world.json(vault_plugin, f"get {uid}")
    history = await world.json(vault_plugin, f"record-history {uid}")

    device = "client build of application CI (unconfirmed)"
    assert shown["author"] == device
    assert [row["author"] for row in history] == [device, "ann@example.org", device]
    await world.run(plugin, f"{CONFIRM} -f")
    shown = await world.json(vault_plugin, f"get {uid}")
    assert shown["author"] == "client build of application CI"


async def test_a_revision_that_is_not_the_newest_is_not_changed(
    bound: tuple[World, SdkWorld],
) -> None:
    """Exit code 7, and what the device wrote stays."""
    world, sdk = bound
    uid = sdk.create("Orders", password="1")
    await world.vault.sync()
    sdk.update(uid, password="2")

    with pytest.raises(Conflict) as caught:
        await world.run(vault_plugin, f"record-update -r {uid} --revision 1 login=app")
    await world.run(vault_plugin, f"record-update -r {uid} --revision 2 login=app")

    assert caught.value.exit_code == 7
    assert world.vault.get_record(uid).data.text("password") == "2"


async def test_an_application_is_renamed(bound: tuple[World, SdkWorld]) -> None:
    """Its clients and folders stay."""
    world, _ = bound
    await world.vault.applications.create("Other")

    assert (await world.json(plugin, "sm app update CI --name CI"))["status"] == "unchanged"
    with pytest.raises(Conflict):
        await world.run(plugin, "sm app update CI --name Other")
    await world.run(plugin, "sm app rename CI -n Build")

    await world.vault.sync(everything=True)
    shown = await world.json(plugin, "sm app get Build")
    assert (len(shown["client_devices"]), len(shown["shares"])) == (1, 1)


async def test_an_application_shared_with_a_viewer_and_an_admin(
    bound: tuple[World, SdkWorld],
) -> None:
    """A viewer sees it and its folders, an admin makes clients and shares folders; then neither."""
    world, sdk = bound
    bob = await world.other("bob@example.org")
    role = world.vault.people.find_role("Administrators")
    await world.vault.people.change_role(role.role, RoleChange(add_users=(bob.vault.user,)))
    sdk.create("Orders")
    share = "sm app share CI --email bob@example.org"

    await world.run(plugin, share)
    assert (await world.json(plugin, share))["status"] == "unchanged"
    await bob.vault.sync(everything=True)
    shown = await bob.json(plugin, "sm app get CI")
    assert [user["role"] for user in shown["users"]] == ["owner", "viewer"]
    assert bob.vault.find_record("Orders").data.title == "Orders"
    with pytest.raises(Refused) as caught:
        await bob.run(plugin, "sm client add --app CI --name bobs")
    assert caught.value.code == Code.NOT_OWNER

    await world.run(plugin, f"{share} --admin")
    await bob.vault.sync(everything=True)
    await bob.run(plugin, "sm client add --app CI --name bobs")
    with pytest.raises(Refused):
        await bob.vault.applications.add_gateway(sdk.application, "bobs")
    more = await world.vault.create_shared_folder("More")
    await world.vault.applications.share_folder(sdk.application, more.uid)
    await bob.vault.sync(everything=True)
    assert more.uid in bob.vault.view.folders

    with pytest.raises(UsageError):
        await world.run(plugin, "sm app unshare CI --email bob@example.org")
    await world.run(plugin, "sm app unshare CI --email bob@example.org -f")
    assert "keys are not changed: bob@example.org" in world.context.console.notices[-1]
    again = await world.json(plugin, "sm app unshare CI --email bob@example.org -f")
    await bob.vault.sync(everything=True)
    assert again["status"] == "unchanged"
    with pytest.raises(NotFound):
        await bob.run(plugin, "sm app get CI")
    with pytest.raises(Conflict):
        await world.run(plugin, "sm app share CI --email ann@example.org")


async def test_usage_counts_clients(bound: tuple[World, SdkWorld]) -> None:
    """By application and by client; changes come out of the audit log."""
    world, _ = bound

    (row,) = await world.json(plugin, "sm usage")
    assert (row["devices"], row["used"], row["never_used"], row["unconfirmed"]) == (1, 0, 1, 1)
    (row,) = await world.json(plugin, "sm usage CI --by-device --range 7d")
    assert (row["client_name"], row["status"], row["used"]) == ("build", "unconfirmed", False)
    assert await world.json(plugin, "sm usage --detail") == []
    with pytest.raises(UsageError):
        await world.run(plugin, "sm usage --range soon")
    with pytest.raises(UsageError):
        await world.run(plugin, "sm usage --detail --limit 0")
    assert seconds_of("2d") == 172_800


async def test_what_is_handed_over_may_go_to_a_file(world: World, tmp_path: Path) -> None:
    """0600, new, and then not printed; tokens alone for scripts."""
    await world.vault.applications.create("CI")
    file = tmp_path / "config"
    add = "sm client add --app CI --config-init b64"

    made = await world.json(plugin, f"{add} --name one --output {file}")
    with pytest.raises(Conflict):
        await world.run(plugin, f"{add} --name two --output {file}")
    tokens = await world.run(plugin, "sm token add --app CI -n t --count 2 --return-tokens")
    await world.run(plugin, f"sm client add --app CI -n last -o {tmp_path / 'token'}")

    assert DeviceConfig.parse(file.read_text().strip()).app_key
    assert (file.stat().st_mode & 0o777, "config" in made) == (0o600, False)
    assert isinstance(tokens, Text)
    assert [len(token) for token in tokens.text.split(", ")] == [43, 43]
    assert len((tmp_path / "token").read_text().strip()) == 43


async def test_an_application_of_before_gets_its_owners_key(world: World) -> None:
    """With its next client."""
    application = await world.vault.applications.create("CI")
    at, row = world.server.stored.applications[application.uid]
    bare = msgspec.structs.replace(row, owner_key=b"")
    world.server.stored.applications[application.uid] = (at + 100, bare)
    world.server.stored.cursor += 100
    await world.vault.sync()

    await world.run(plugin, "sm client add --app CI --name build")

    stored = world.server.stored.applications[application.uid][1]
    assert (stored.owner_key, stored.revision) == (owner_key(application.key).public.raw, 2)


async def test_what_sdks_need_of_the_server(world: World, tmp_path: Path) -> None:
    """Name and key; the authority only where the server has its own."""
    shown = await world.json(plugin, "sm server")
    assert set(shown) == {
        "hostname", "server_public_key_id", "server_public_key", "own_authority",
    }  # fmt: skip

    with pytest.raises(Conflict):
        await world.run(plugin, f"sm server --ca-output {tmp_path / 'ca.pem'}")
