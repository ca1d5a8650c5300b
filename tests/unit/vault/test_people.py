from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.clock import ManualClock
from commander.errors import Conflict, InvalidInput, NotFound, Refused
from commander.vault.people import RoleChange
from commander.vault.session import Vault
from tests.support.memory_server import MemoryServer
from tests.support.vaults import first_vault, second_vault


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> MemoryServer:
    return MemoryServer(clock)


@pytest.fixture
async def ann(server: MemoryServer, clock: ManualClock) -> Vault:
    return await first_vault(server, clock)


async def test_role_is_made_changed_and_removed(ann: Vault) -> None:
    """Policies, name and members change in one call; nothing different is no change."""
    role = await ann.people.create_role("Operators", {"ALLOW_LAUNCH_PAM_TUNNELS": True})
    change = RoleChange(
        enforcements={"ALLOW_PAM_GATEWAY": True},
        unset=("ALLOW_LAUNCH_PAM_TUNNELS",),
        add_users=(ann.user,),
        name="Gatekeepers",
    )

    assert await ann.people.change_role(role.role, change)
    assert not await ann.people.change_role(role.role, change)

    found = ann.people.find_role("Gatekeepers")
    assert found.enforcements == {"ALLOW_PAM_GATEWAY": True}
    assert ann.people.role_users(role.role) == [ann.user]
    assert await ann.people.change_role(role.role, RoleChange(remove_users=(ann.user,)))
    assert ann.people.role_users(role.role) == []
    await ann.people.remove_role(role.role)
    with pytest.raises(NotFound):
        ann.people.find_role("Gatekeepers")


async def test_role_name_is_taken_once(ann: Vault) -> None:
    """Code 7."""
    with pytest.raises(Conflict):
        await ann.people.create_role("Administrators", {})


async def test_only_administrators_manage_people(
    ann: Vault, server: MemoryServer, clock: ManualClock
) -> None:
    """Others are refused with the published code, before anything is sent."""
    bob = await second_vault(server, clock, ann, "bob@example.org")
    for wait in (
        bob.people.invite("eve@example.org"),
        bob.people.create_role("x", {}),
        bob.people.change_role(bob.people.roles()[0].role, RoleChange(name="x")),
    ):
        with pytest.raises(Refused) as caught:
            await wait
        assert caught.value.code == Code.NOT_ADMINISTRATOR
    with pytest.raises(Refused) as caught:
        await bob.applications.create("x")
    assert caught.value.code == Code.POLICY_MISSING


async def test_people_are_found_by_mail_and_uid(
    ann: Vault, server: MemoryServer, clock: ManualClock
) -> None:
    """In any writing of the e-mail; a second invitation of an account is a conflict."""
    bob = await second_vault(server, clock, ann, "bob@example.org")
    await ann.sync()

    assert ann.people.find_user(" BOB@example.org ").user == bob.user
    assert ann.people.find_user(bob.user).email == "bob@example.org"
    assert [user.email for user in ann.people.users()] == ["ann@example.org", "bob@example.org"]
    assert [device.device for device in ann.people.devices(bob.user)] == [bob.device]
    assert ann.people.email_of("nobody") == ""
    with pytest.raises(NotFound):
        ann.people.find_user("eve@example.org")
    with pytest.raises(InvalidInput):
        ann.people.find_user("eve")
    with pytest.raises(Conflict):
        await ann.people.invite("Bob@example.org")


async def test_removed_device_and_user_are_out(
    ann: Vault, server: MemoryServer, clock: ManualClock
) -> None:
    """What they try next is refused, and nothing is shown any more."""
    bob = await second_vault(server, clock, ann, "bob@example.org")
    await ann.sync()
    await ann.people.remove_device(bob.device)
    await bob.sync()
    with pytest.raises(Refused) as caught:
        await bob.create_folder("x")
    assert caught.value.code == Code.DEVICE_REVOKED

    await ann.people.remove_user(bob.user)
    await bob.sync()

    assert not bob.view.folders
