from __future__ import annotations

import pytest

from commander.authority.decide import Action, Allow, Refuse, decide
from commander.authority.refusals import Code
from commander.authority.statements import Kind, Right
from commander.errors import Refused
from commander.ids import FolderUid, new_uid
from tests.support.enterprise import Enterprise, Person


class Scene:
    """An owner with a shared folder, a developer with the tunnel policy and a view share."""

    def __init__(self) -> None:
        self.acme = Enterprise()
        self.developer: Person = self.acme.add_person("dev@acme.example")
        self.role = self.acme.add_role("Tunnels", {"ALLOW_LAUNCH_PAM_TUNNELS": True})
        self.acme.add_member(self.role, self.developer)
        self.folder: FolderUid = self.acme.add_folder(self.acme.admin)
        self.acme.share(self.acme.admin, self.folder, self.developer.user, Right.VIEW)

    def ask(self, action: Action, *, who: str = "", target: str = "", at: int | None = None) -> str:
        answer = decide(
            self.acme.state,
            who or self.developer.device,
            action,
            target or self.folder,
            now=self.acme.time,
            at=at,
        )
        return "allow" if isinstance(answer, Allow) else answer.code


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_developer_with_policy_and_share_launches(scene: Scene) -> None:
    """The control of all refusals below."""
    assert scene.ask(Action.LAUNCH_TUNNEL) == "allow"
    assert scene.ask(Action.LAUNCH_TUNNEL, who=scene.developer.user) == "allow"


def test_an_absent_policy_refuses(scene: Scene) -> None:
    """Without a role that grants it a policy is refused; any role that grants it suffices."""
    scene.acme.revoke(Kind.MEMBERSHIP, scene.role, scene.developer.user)
    assert scene.ask(Action.LAUNCH_TUNNEL) == Code.POLICY_MISSING
    assert scene.ask(Action.VIEW) == "allow"

    scene.acme.add_member(scene.acme.add_role("Empty", {}), scene.developer)
    assert scene.ask(Action.LAUNCH_TUNNEL) == Code.POLICY_MISSING
    granting = scene.acme.add_role("Granting", {"ALLOW_LAUNCH_PAM_TUNNELS": True})
    scene.acme.add_member(granting, scene.developer)
    assert scene.ask(Action.LAUNCH_TUNNEL) == "allow"


def test_a_policy_set_to_false_refuses(scene: Scene) -> None:
    """A key written as false grants nothing."""
    from_role = scene.acme.state.roles.get(scene.role)
    assert from_role is not None
    scene.acme.by_admin(type(from_role)(scene.role, "Tunnels", {"ALLOW_LAUNCH_PAM_TUNNELS": False}))

    assert scene.ask(Action.LAUNCH_TUNNEL) == Code.POLICY_MISSING


def test_a_removed_role_takes_its_policies_away(scene: Scene) -> None:
    """Members of a role that is gone lose what it granted."""
    scene.acme.revoke(Kind.ROLE, scene.role)

    assert scene.ask(Action.LAUNCH_TUNNEL) == Code.POLICY_MISSING


def test_a_folder_not_shared_is_refused(scene: Scene) -> None:
    """The policy alone reaches no record."""
    other = scene.acme.add_folder(scene.acme.admin)

    assert scene.ask(Action.LAUNCH_TUNNEL, target=other) == Code.ACCESS_MISSING


def test_a_view_share_edits_and_shares_nothing(scene: Scene) -> None:
    """Rights are exactly those listed."""
    assert scene.ask(Action.EDIT) == Code.RIGHT_MISSING
    assert scene.ask(Action.SHARE) == Code.RIGHT_MISSING
    assert scene.ask(Action.CONFIGURE) == Code.POLICY_MISSING


@pytest.mark.parametrize(
    ("not_before", "not_after", "expected"),
    [(0, 0, "allow"), (10, 0, "access-not-yet"), (0, 10, "allow"), (-1, 1, "allow")],
)
def test_a_share_has_a_period(scene: Scene, not_before: int, not_after: int, expected: str) -> None:
    """Before it begins and from the second it ends a share gives nothing."""
    begin = scene.acme.time + not_before if not_before else 0
    end = scene.acme.time + not_after if not_after else 0
    scene.acme.share(
        scene.acme.admin,
        scene.folder,
        scene.developer.user,
        Right.VIEW,
        not_before=begin,
        not_after=end,
    )
    assert scene.ask(Action.VIEW) == expected

    if end:
        scene.acme.time = end
        assert scene.ask(Action.VIEW) == Code.ACCESS_EXPIRED


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Kind.DEVICE, Code.DEVICE_REVOKED),
        (Kind.USER, Code.USER_REVOKED),
        (Kind.FOLDER, Code.OBJECT_REVOKED),
        (Kind.ACCESS, Code.ACCESS_MISSING),
    ],
)
def test_each_revoke_has_its_own_code(scene: Scene, kind: Kind, code: Code) -> None:
    """Whoever asks is told what was taken away; the past stays as it was."""
    before = scene.acme.state.seq
    target = {
        Kind.DEVICE: scene.developer.device,
        Kind.USER: scene.developer.user,
        Kind.FOLDER: scene.folder,
        Kind.ACCESS: scene.folder,
    }[kind]
    scene_principal = scene.developer.user if kind is Kind.ACCESS else ""
    if kind in (Kind.FOLDER, Kind.ACCESS):
        scene.acme.revoke(kind, target, scene_principal)
    else:
        scene.acme.revoke(kind, target)

    assert scene.ask(Action.VIEW) == (
        Code.USER_REVOKED if kind is Kind.USER and not scene.developer.device else code
    )
    assert scene.ask(Action.VIEW, at=before) == "allow"


def test_strangers_are_unknown(scene: Scene) -> None:
    """A UID nobody stated is refused for every action."""
    for action in Action:
        assert scene.ask(action, who=new_uid()) == Code.USER_UNKNOWN


def test_the_owner_may_all_in_the_folder(scene: Scene) -> None:
    """Owning a folder is every right in it, not every policy."""
    for action in (Action.VIEW, Action.EDIT, Action.SHARE, Action.CONFIGURE, Action.LAUNCH_TUNNEL):
        assert scene.ask(action, who=scene.acme.admin.user) == "allow"


def test_an_application_has_only_its_shares(scene: Scene) -> None:
    """Application and gateway read what is shared to the application and nothing else."""
    acme = scene.acme
    application = acme.add_application(acme.admin)
    voucher, key = acme.gateway_voucher(application)
    gateway = acme.gateway(application, voucher)
    acme.add(gateway, voucher, key)
    assert scene.ask(Action.VIEW, who=gateway.gateway) == Code.ACCESS_MISSING

    acme.share(acme.admin, scene.folder, application, Right.VIEW, kind="application")
    assert scene.ask(Action.VIEW, who=gateway.gateway) == "allow"
    assert scene.ask(Action.VIEW, who=application) == "allow"
    assert scene.ask(Action.EDIT, who=application) == Code.RIGHT_MISSING
    assert scene.ask(Action.LAUNCH_TUNNEL, who=application) == Code.RIGHT_MISSING

    acme.revoke(Kind.APPLICATION, application)
    assert scene.ask(Action.VIEW, who=gateway.gateway) == Code.OBJECT_REVOKED


def test_applications_are_managed_by_their_owner(scene: Scene) -> None:
    """Another user with all policies does not manage a foreign application."""
    acme = scene.acme
    application = acme.add_application(acme.admin)
    acme.add_member(acme.role, scene.developer)

    for action in (Action.MANAGE_APPLICATION, Action.MANAGE_GATEWAY):
        assert scene.ask(action, who=scene.developer.user, target=application) == Code.NOT_OWNER
    assert scene.ask(Action.MANAGE_GATEWAY, who=acme.admin.user, target=application) == "allow"
    assert (
        scene.ask(Action.MANAGE_GATEWAY, who=acme.admin.user, target=new_uid())
        == Code.OBJECT_UNKNOWN
    )


def test_refuse_raises_with_its_code() -> None:
    """`enforce` turns an answer into an error for those who need one."""
    with pytest.raises(Refused, match="because") as caught:
        Refuse(Code.NOT_OWNER, "because").enforce()

    assert caught.value.code == Code.NOT_OWNER
    Allow().enforce()
