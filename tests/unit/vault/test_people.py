from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Right
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


async def test_shared_folder_is_shared_changed_and_unshared(
    ann: Vault, server: MemoryServer, clock: ManualClock
) -> None:
    """Members are listed owner first; the same share again is no change."""
    bob = await second_vault(server, clock, ann, "bob@example.org")
    await ann.sync()
    folder = (await ann.create_shared_folder("Shared")).uid
    application = await ann.applications.create("App")
    await ann.applications.share_folder(application.uid, folder)

    assert await ann.sharing.share_with_user(folder, bob.user, (Right.VIEW,))
    assert not await ann.sharing.share_with_user(folder, bob.user, (Right.VIEW,))
    assert await ann.sharing.share_with_user(folder, bob.user, (Right.VIEW, Right.EDIT))
    await bob.sync()
    assert folder in bob.view.folders

    members = [(m.kind, m.name, m.rights) for m in ann.sharing.members(folder)]
    assert members == [
        ("owner", "ann@example.org", ("view", "edit", "share")),
        ("application", "App", ("view",)),
        ("user", "bob@example.org", ("view", "edit")),
    ]
    assert await ann.sharing.unshare(folder, bob.user)
    assert not await ann.sharing.unshare(folder, bob.user)
    await bob.sync()
    assert folder not in bob.view.folders


async def test_only_shared_folders_are_shared(
    ann: Vault, server: MemoryServer, clock: ManualClock
) -> None:
    """Not the personal root, not a folder within one, not with nobody."""
    inner = await ann.create_folder("Inner")
    shared = await ann.create_shared_folder("Shared")
    application = await ann.applications.create("App")

    for folder in (inner.uid, ann.view.root):
        with pytest.raises(Conflict):
            await ann.sharing.share_with_user(folder, ann.user, (Right.VIEW,))
        with pytest.raises(InvalidInput):
            await ann.applications.share_folder(application.uid, folder)
    with pytest.raises(NotFound):
        await ann.sharing.share_with_user(shared.uid, "A" * 22, (Right.VIEW,))


@pytest.mark.parametrize("minutes", [0, -1, 1441])
async def test_token_life_is_bounded(ann: Vault, minutes: int) -> None:
    """One minute to a day."""
    application = await ann.applications.create("App")

    with pytest.raises(InvalidInput):
        await ann.applications.add_gateway(application.uid, "gw", minutes=minutes)


@pytest.mark.parametrize("title", ["", " x", "a\nb", "x" * 129])
async def test_odd_names_of_applications_are_refused(ann: Vault, title: str) -> None:
    """Names are printable, and as they look."""
    with pytest.raises(InvalidInput):
        await ann.applications.create(title)


async def test_removed_application_is_gone(ann: Vault) -> None:
    """With its key nothing more can be done."""
    application = await ann.applications.create("App")
    await ann.applications.remove(application.uid)

    assert ann.applications.all() == []
    with pytest.raises(Refused):
        await ann.applications.add_gateway(application.uid, "gw")


async def test_gateways_are_none_before_one_enrols(ann: Vault) -> None:
    """A token alone is no gateway."""
    application = await ann.applications.create("App")
    await ann.applications.add_gateway(application.uid, "gw")

    assert await ann.applications.gateways() == []
