from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from commander.authority import log
from commander.authority.decide import Action, Refuse, decide
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.authority.statements import (
    ROOT,
    Access,
    Administrator,
    Application,
    Body,
    Client,
    Device,
    Folder,
    Genesis,
    Kind,
    Membership,
    Revoke,
    Right,
    Role,
    Statement,
    User,
    Voucher,
    client_uid,
    root_fingerprint,
    sign_statement,
)
from commander.codec import encode
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import Refused, Tampered
from commander.ids import (
    ApplicationUid,
    DeviceUid,
    FolderUid,
    RoleUid,
    UserUid,
    VoucherUid,
    is_uid,
    new_uid,
)
from tests.support.enterprise import START, Enterprise, Person


@pytest.fixture
def acme() -> Enterprise:
    return Enterprise()


def refusal(work: Callable[[], object]) -> Code:
    with pytest.raises(Refused) as caught:
        work()
    return Code(caught.value.code)


def test_replay_gives_the_state_that_was_built(acme: Enterprise) -> None:
    """A log evaluated from its beginning ends at the same head and facts."""
    state = log.replay(acme.statements, fingerprint=root_fingerprint(acme.root.public.raw))

    assert (state.seq, state.head) == (acme.state.seq, acme.state.head)
    assert list(state.users.values()) == list(acme.state.users.values())


def test_another_root_is_named_as_tampering(acme: Enterprise) -> None:
    """A server that shows a log of its own making fails at the pinned root."""
    with pytest.raises(Tampered) as caught:
        log.replay(Enterprise().statements, fingerprint=root_fingerprint(acme.root.public.raw))

    assert caught.value.code == Code.LOG_FORKED


def test_a_rolled_back_log_breaks_the_pin(acme: Enterprise) -> None:
    """A shorter log than the one seen before is refused; the same one passes."""
    seq, head = acme.state.seq, acme.state.head
    log.check_pin(acme.state, seq, head)

    with pytest.raises(Tampered):
        log.check_pin(log.replay(acme.statements[:-1]), seq, head)


def test_a_forked_log_breaks_the_pin(acme: Enterprise) -> None:
    """A log that differs at the pinned position is refused even when it is longer."""
    fork = log.replay(acme.statements)
    acme.add_folder(acme.admin)
    pinned = (acme.state.seq, acme.state.head)
    statement = sign_statement(
        Folder(FolderUid(new_uid()), acme.admin.user, False),
        seq=fork.seq + 1,
        prev_hash=fork.head,
        time=acme.time,
        signer=acme.admin.user,
        key=acme.admin.identity,
    )
    log.apply(fork, statement)

    with pytest.raises(Tampered):
        log.check_pin(fork, *pinned)


@pytest.mark.parametrize(
    "field", ["seq", "prev_hash", "time", "body", "signer", "signature", "kind"]
)
def test_every_field_of_a_statement_is_protected(acme: Enterprise, field: str) -> None:
    """Changing any field of a signed statement makes it refused, and the state stays as it was."""
    statement = acme.sign(
        Folder(FolderUid(new_uid()), acme.admin.user, False), acme.admin.user, acme.admin.identity
    )
    other = {
        "seq": statement.seq + 1,
        "prev_hash": bytes(32),
        "time": statement.time + 1,
        "body": encode(Folder(FolderUid(new_uid()), acme.admin.user, False)),
        "signer": new_uid(),
        "signature": bytes(64),
        "kind": Kind.APPLICATION,
    }[field]
    before = (acme.state.seq, acme.state.head)

    code = refusal(
        lambda: log.apply(acme.state, msgspec.structs.replace(statement, **{field: other}))
    )

    assert code in {Code.STATEMENT_CHAIN, Code.STATEMENT_NOT_ENTITLED, Code.STATEMENT_MALFORMED}
    assert (acme.state.seq, acme.state.head) == before
    log.apply(acme.state, statement)


def test_statements_out_of_order_are_refused(acme: Enterprise) -> None:
    """Leaving a statement out breaks the chain at the next one."""
    assert (
        refusal(lambda: log.replay([*acme.statements[:3], *acme.statements[4:]]))
        == Code.STATEMENT_CHAIN
    )


def test_the_root_signs_the_first_three_statements_only(acme: Enterprise) -> None:
    """A stolen root key makes no second administrator."""
    body = Administrator(acme.admin.user)

    assert refusal(lambda: acme.add(body, ROOT, acme.root)) == Code.STATEMENT_NOT_ENTITLED


def test_a_second_genesis_is_refused(acme: Enterprise) -> None:
    """The enterprise has one beginning."""
    body = Genesis(new_uid(), "Other", acme.root.public.raw)

    assert refusal(lambda: acme.add(body, ROOT, acme.root)) == Code.STATEMENT_NOT_ENTITLED


def admin_only(acme: Enterprise, user: Person) -> list[Body]:
    far = acme.time + 3600
    return [
        Administrator(user.user),
        Role(RoleUid(new_uid()), "Mine", {"ALLOW_LAUNCH_PAM_TUNNELS": True}),
        Membership(acme.role, user.user),
        Voucher(VoucherUid(new_uid()), "user", "x@acme.example", "", bytes(32), far, False),
        Revoke(Kind.USER, acme.admin.user, ""),
        Revoke(Kind.ADMINISTRATOR, acme.admin.user, ""),
        Revoke(Kind.ROLE, acme.role, ""),
        Revoke(Kind.MEMBERSHIP, acme.role, acme.admin.user),
        Revoke(Kind.DEVICE, acme.admin.device, ""),
    ]


@pytest.mark.parametrize("index", range(9))
def test_a_user_cannot_state_what_administrators_state(acme: Enterprise, index: int) -> None:
    """Each administrative statement by an ordinary user is refused, by an administrator taken."""
    user = acme.add_person("user@acme.example")
    body = admin_only(acme, user)[index]

    assert refusal(lambda: acme.by(user, body)) in {
        Code.STATEMENT_NOT_ENTITLED,
        Code.NOT_ADMINISTRATOR,
    }


@pytest.mark.parametrize("index", [0, 1, 2, 3, 6, 7, 8])
def test_an_administrator_states_them(acme: Enterprise, index: int) -> None:
    """The control for the refusals above."""
    user = acme.add_person("user@acme.example")
    body = admin_only(acme, user)[index]

    acme.by_admin(body)

    assert acme.statements[-1].parse_body() == body


def test_the_last_administrator_cannot_be_removed(acme: Enterprise) -> None:
    """An enterprise without an administrator could not be repaired."""
    body = Revoke(Kind.ADMINISTRATOR, acme.admin.user, "")

    assert refusal(lambda: acme.by_admin(body)) == Code.STATEMENT_NOT_ENTITLED

    other = acme.add_person("second@acme.example")
    acme.by_admin(Administrator(other.user))
    acme.by_admin(body)
    assert acme.state.administrators.get(acme.admin.user) is None


def test_an_invitation_makes_one_user_once(acme: Enterprise) -> None:
    """The second use of an invitation is refused."""
    voucher, key = acme.invite("new@acme.example")
    person = Person(UserUid(new_uid()), "new@acme.example")
    acme.add(acme._user(person), voucher, key)
    other = User(UserUid(new_uid()), "other@acme.example", bytes(32), person.box.public.raw)

    assert refusal(lambda: acme.add(other, voucher, key)) == Code.VOUCHER_USED


def test_an_invitation_is_for_its_email(acme: Enterprise) -> None:
    """An invitation for one address makes no account for another."""
    voucher, key = acme.invite("new@acme.example")
    person = Person(UserUid(new_uid()), "evil@acme.example")

    assert refusal(lambda: acme.add(acme._user(person), voucher, key)) == Code.VOUCHER_MISMATCH


def test_an_expired_invitation_is_refused(acme: Enterprise) -> None:
    """After its time an invitation makes no account."""
    voucher, key = acme.invite("new@acme.example", lasts=60)
    acme.time += 60
    person = Person(UserUid(new_uid()), "new@acme.example")

    assert refusal(lambda: acme.add(acme._user(person), voucher, key)) == Code.VOUCHER_EXPIRED


def test_a_gateway_comes_from_its_voucher_once(acme: Enterprise) -> None:
    """A one-time token certifies one gateway of its own application."""
    application = acme.add_application(acme.admin)
    other = acme.add_application(acme.admin)
    voucher, key = acme.gateway_voucher(application)

    assert (
        refusal(lambda: acme.add(acme.gateway(other, voucher), voucher, key))
        == Code.VOUCHER_MISMATCH
    )
    acme.add(acme.gateway(application, voucher), voucher, key)
    assert refusal(lambda: acme.add(acme.gateway(application, voucher), voucher, key)) in {
        Code.VOUCHER_USED,
        Code.STATEMENT_DUPLICATE,
    }


def test_the_server_cannot_certify_its_own_gateway(acme: Enterprise) -> None:
    """Without the voucher's key nobody makes a gateway, whatever the signer is called."""
    application = acme.add_application(acme.admin)
    voucher, _ = acme.gateway_voucher(application)
    own = SigningKey.generate()

    for signer in (voucher, acme.admin.user, ROOT, new_uid()):
        body = acme.gateway(application, voucher)
        assert refusal(lambda s=signer, b=body: acme.add(b, s, own)) == Code.STATEMENT_NOT_ENTITLED  # type: ignore[misc]  # bound as defaults


def test_an_invitation_certifies_no_gateway(acme: Enterprise) -> None:
    """A voucher serves its own purpose only."""
    application = acme.add_application(acme.admin)
    voucher, key = acme.invite("new@acme.example")

    assert (
        refusal(lambda: acme.add(acme.gateway(application, voucher), voucher, key))
        == Code.VOUCHER_MISMATCH
    )


def test_a_device_is_certified_by_its_user_only(acme: Enterprise) -> None:
    """Nobody adds a device to another person, not even an administrator."""
    user = acme.add_person("user@acme.example")
    device = Device(
        DeviceUid(new_uid()),
        user.user,
        "evil",
        SigningKey.generate().public.raw,
        user.box.public.raw,
    )

    assert refusal(lambda: acme.by_admin(device)) == Code.STATEMENT_NOT_ENTITLED
    acme.by(user, device)


def test_only_the_owner_shares_a_folder(acme: Enterprise) -> None:
    """A member without the share right hands nothing on, nor widens the own share."""
    owner, member = acme.add_person("o@acme.example"), acme.add_person("m@acme.example")
    folder = acme.add_folder(owner)
    acme.share(owner, folder, member.user, Right.VIEW)
    wider = Access(folder, "user", member.user, (Right.VIEW, Right.EDIT), 0, 0)

    assert refusal(lambda: acme.by(member, wider)) == Code.RIGHT_MISSING
    assert refusal(lambda: acme.by_admin(wider)) == Code.ACCESS_MISSING
    acme.by(owner, wider)


def test_a_personal_folder_is_never_shared(acme: Enterprise) -> None:
    """What is personal stays so."""
    folder = acme.add_folder(acme.admin, personal=True)
    other = acme.add_person("o@acme.example")
    body = Access(folder, "user", other.user, (Right.VIEW,), 0, 0)

    assert refusal(lambda: acme.by_admin(body)) == Code.STATEMENT_NOT_ENTITLED


def test_an_application_needs_the_policy(acme: Enterprise) -> None:
    """Without ALLOW_SECRETS_MANAGER nobody makes applications."""
    user = acme.add_person("user@acme.example")
    body = Application(ApplicationUid(new_uid()), user.user)
    assert refusal(lambda: acme.by(user, body)) == Code.POLICY_MISSING

    role = acme.add_role("Apps", {"ALLOW_SECRETS_MANAGER": True})
    acme.add_member(role, user)
    acme.by(user, body)


def test_names_and_emails_are_unique(acme: Enterprise) -> None:
    """Two roles never share a name, two users never an e-mail."""
    acme.add_role("Ops", {})
    voucher, _ = acme.invite("user@acme.example")
    acme.add_person("again@acme.example")

    assert refusal(lambda: acme.add_role("Ops", {})) == Code.STATEMENT_DUPLICATE
    assert refusal(lambda: acme.invite("again@acme.example")) == Code.STATEMENT_DUPLICATE
    assert acme.state.vouchers.get(voucher) is not None


@pytest.mark.parametrize(
    "body",
    [
        Role(RoleUid("short"), "x", {}),
        Role(RoleUid("A" * 22), "", {}),
        Role(RoleUid("A" * 22), " x", {}),
        Role(RoleUid("A" * 22), "x\x1b[2J", {}),
        Role(RoleUid("A" * 22), "x" * 129, {}),
        Role(RoleUid("A" * 22), "x", {"ALLOW_EVERYTHING": True}),
    ],
)
def test_malformed_roles_are_refused(acme: Enterprise, body: Role) -> None:
    """UIDs, names and keys of statements are checked by everyone who applies them."""
    assert refusal(lambda: acme.by_admin(body)) == Code.STATEMENT_MALFORMED


def test_a_body_of_another_form_is_refused(acme: Enterprise) -> None:
    """Trailing bytes, unknown fields and other kinds' bodies do not parse."""
    good = acme.sign(Role(RoleUid(new_uid()), "Ops", {}), acme.admin.user, acme.admin.identity)
    for body in (good.body + b"\x00", b"\x80", b"", encode({"role": "x", "name": "y", "more": 1})):
        bad = msgspec.structs.replace(good, body=body)
        assert refusal(bad.parse_body) == Code.STATEMENT_MALFORMED
    log.apply(acme.state, good)


def test_the_log_begins_with_genesis() -> None:
    """Nothing precedes the genesis statement."""
    key = SigningKey.generate()
    statement: Statement = sign_statement(
        Role(RoleUid(new_uid()), "x", {}), seq=0, prev_hash=bytes(32), time=1, signer=ROOT, key=key
    )

    assert refusal(lambda: log.apply(State(), statement)) == Code.STATEMENT_NOT_ENTITLED


def test_a_revoked_user_states_nothing_more(acme: Enterprise) -> None:
    """After a revoke the user's signature counts for nothing."""
    user = acme.add_person("user@acme.example")
    acme.revoke(Kind.USER, user.user)
    box = BoxPrivateKey.generate().public.raw
    body = Device(DeviceUid(new_uid()), user.user, "x", SigningKey.generate().public.raw, box)

    assert refusal(lambda: acme.by(user, body)) == Code.STATEMENT_NOT_ENTITLED


def test_revoking_nothing_is_refused(acme: Enterprise) -> None:
    """A revoke names something that holds."""
    assert refusal(lambda: acme.revoke(Kind.ROLE, new_uid())) == Code.OBJECT_UNKNOWN


def test_an_application_owner_removes_gateway_and_voucher(acme: Enterprise) -> None:
    """What belongs to an application its owner may end."""
    owner = acme.add_person("owner@acme.example")
    acme.add_member(acme.role, owner)
    application = acme.add_application(owner)
    key, voucher = SigningKey.generate(), VoucherUid(new_uid())
    acme.by(
        owner,
        Voucher(voucher, "gateway", "", application, key.public.raw, acme.time + 60, False),
    )
    gateway = acme.gateway(application, voucher)
    acme.add(gateway, voucher, key)

    acme.by(owner, Revoke(Kind.GATEWAY, gateway.gateway, ""))
    acme.by(owner, Revoke(Kind.VOUCHER, voucher, ""))
    acme.by(owner, Revoke(Kind.APPLICATION, application, ""))

    assert acme.state.gateways.get(gateway.gateway) is None


def test_a_uid_stands_for_one_thing(acme: Enterprise) -> None:
    """No device, folder or application takes the UID of a user, or its own a second time."""
    user = acme.add_person("user@acme.example")
    keys = (SigningKey.generate().public.raw, user.box.public.raw)
    for taken in (acme.admin.user, acme.admin.device, acme.role):
        device = Device(DeviceUid(taken), user.user, "evil", *keys)
        assert refusal(lambda d=device: acme.by(user, d)) == Code.STATEMENT_DUPLICATE  # type: ignore[misc]  # bound as default
        folder = Folder(FolderUid(taken), user.user, False)
        assert refusal(lambda f=folder: acme.by(user, f)) == Code.STATEMENT_DUPLICATE  # type: ignore[misc]  # bound as default
    acme.by(user, Device(DeviceUid(new_uid()), user.user, "good", *keys))


# Who shares a folder without owning it: what they have themselves, no more and no longer.

END = START + 3600
BOTH = (Right.VIEW, Right.SHARE)


class Scene:
    """Bob may view and share a folder of the administrator's for an hour; Carol has nothing."""

    def __init__(self) -> None:
        self.enterprise = Enterprise()
        self.bob = self.enterprise.add_person("bob@acme.example")
        self.carol = self.enterprise.add_person("carol@acme.example")
        self.folder: FolderUid = self.enterprise.add_folder(self.enterprise.admin)
        self.share(self.enterprise.admin, self.bob, *BOTH, not_after=END)

    def share(
        self, granter: Person, to: Person, *rights: Right, not_before: int = 0, not_after: int = 0
    ) -> None:
        self.enterprise.share(
            granter, self.folder, to.user, *rights, not_before=not_before, not_after=not_after
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_member_hands_on_what_they_have(scene: Scene) -> None:
    """The control: the same rights or fewer, until the same moment or before."""
    scene.share(scene.bob, scene.carol, *BOTH, not_after=END)
    scene.share(scene.bob, scene.carol, Right.VIEW, not_before=START, not_after=END - 1)

    found = scene.enterprise.state.accesses.get((scene.folder, scene.carol.user))
    assert found is not None
    assert found.rights == (Right.VIEW,)


@pytest.mark.parametrize("to_self", [True, False])
@pytest.mark.parametrize(
    ("rights", "not_after"),
    [
        ((*BOTH, Right.EDIT), END),
        ((Right.EDIT,), END),
        (BOTH, END + 1),
        (BOTH, 0),
        ((Right.VIEW,), 0),
    ],
)
def test_a_member_cannot_hand_on_more(
    scene: Scene, rights: tuple[Right, ...], not_after: int, to_self: bool
) -> None:
    """Neither to themselves, which would extend their own share, nor to a friend."""
    to = scene.bob if to_self else scene.carol

    with pytest.raises(Refused) as caught:
        scene.share(scene.bob, to, *rights, not_after=not_after)

    assert caught.value.code == Code.RIGHT_MISSING


def test_a_member_cannot_begin_earlier(scene: Scene) -> None:
    """A share that begins later begins later for those it is handed on to."""
    admin = scene.enterprise.admin
    scene.enterprise.time += 10
    scene.share(admin, scene.bob, *BOTH, not_before=START + 5)

    with pytest.raises(Refused) as caught:
        scene.share(scene.bob, scene.carol, Right.VIEW)

    assert caught.value.code == Code.RIGHT_MISSING
    scene.share(scene.bob, scene.carol, Right.VIEW, not_before=START + 5)
    # The owner is bound by nothing.
    scene.share(admin, scene.carol, Right.VIEW, Right.EDIT, Right.SHARE)


# --- Secrets Manager clients ---------------------------------------------------------------------


def client_of(application: ApplicationUid, key: bytes = b"", client_id: str = "C" * 88) -> Client:
    return Client(client_uid(client_id), application, client_id, key)


POINT = b"\x04" + bytes(64)


def test_client_is_announced_then_confirmed_once(acme: Enterprise) -> None:
    """The key comes with the second statement, and never changes after."""
    application = acme.add_application(acme.admin)
    acme.by_admin(client_of(application))
    acme.by_admin(client_of(application, POINT))

    stated = acme.state.clients.get(client_uid("C" * 88))
    assert stated is not None
    assert stated.ksm_key == POINT
    for again in (client_of(application), client_of(application, b"\x04" + bytes(63) + b"x")):
        assert refusal(partial(acme.by_admin, again)) == Code.STATEMENT_DUPLICATE


def test_client_is_not_announced_twice_nor_moved(acme: Enterprise) -> None:
    """A second announcement says nothing; another application is another's device."""
    application, other = acme.add_application(acme.admin), acme.add_application(acme.admin)
    acme.by_admin(client_of(application))

    for again in (client_of(application), client_of(other, POINT)):
        assert refusal(partial(acme.by_admin, again)) == Code.STATEMENT_DUPLICATE


def test_removed_client_stays_removed(acme: Enterprise) -> None:
    """Its owner ends it; a stranger can't; nobody brings it back."""
    owner, stranger = acme.add_person("o@acme.example"), acme.add_person("s@acme.example")
    for person in (owner, stranger):
        acme.add_member(acme.role, person)
    application = acme.add_application(owner)
    acme.by(owner, client_of(application))
    ends = Revoke(Kind.CLIENT, client_uid("C" * 88), "")

    assert refusal(lambda: acme.by(stranger, ends)) == Code.STATEMENT_NOT_ENTITLED
    acme.by(owner, ends)
    assert refusal(lambda: acme.by(owner, ends)) == Code.STATEMENT_NOT_ENTITLED
    assert (
        refusal(lambda: acme.by(owner, client_of(application, POINT))) == Code.STATEMENT_DUPLICATE
    )


def test_client_of_anothers_application_is_refused(acme: Enterprise) -> None:
    """Only the owner says which devices an application has."""
    stranger = acme.add_person("s@acme.example")
    acme.add_member(acme.role, stranger)
    application = acme.add_application(acme.admin)

    assert refusal(lambda: acme.by(stranger, client_of(application))) == Code.NOT_OWNER


@pytest.mark.parametrize(
    "change",
    [
        {"client": "A" * 22}, {"client_id": "C" * 87}, {"ksm_key": bytes(65)},
        {"ksm_key": b"\x04" + bytes(63)},
    ],
)  # fmt: skip
def test_malformed_client_is_refused(acme: Enterprise, change: dict[str, object]) -> None:
    """The UID follows from the client id; the key is a point or nothing yet."""
    body = client_of(acme.add_application(acme.admin), POINT)

    changed = msgspec.structs.replace(body, **change)

    assert refusal(lambda: acme.by_admin(changed)) == Code.STATEMENT_MALFORMED


def test_client_uids_never_begin_with_a_dash() -> None:
    """Whatever the client id, a command line takes the UID for no flag."""
    found = {client_uid(f"{number}") for number in range(2_000)}

    assert all(is_uid(uid) for uid in found)
    assert len(found) == 2_000


def shared_application(application: str, person: str, *rights: Right, **change: object) -> Access:
    """An application shared with a user."""
    access = Access(FolderUid(application), "user", person, rights, 0, 0)
    return msgspec.structs.replace(access, **change)


def test_an_application_admin_manages_clients_and_no_gateways(acme: Enterprise) -> None:
    """The owner shares it; an admin announces clients, may not share it on, and loses it again."""
    person = acme.add_person("p@acme.example")
    acme.add_member(acme.role, person)
    application = acme.add_application(acme.admin)
    assert refusal(lambda: acme.by(person, client_of(application))) == Code.NOT_OWNER

    acme.by_admin(shared_application(application, person.user, Right.VIEW))
    assert refusal(lambda: acme.by(person, client_of(application))) == Code.NOT_OWNER
    acme.by_admin(shared_application(application, person.user, Right.VIEW, Right.EDIT))
    acme.by(person, client_of(application))
    acme.by(person, Revoke(Kind.CLIENT, client_uid("C" * 88), ""))

    other = acme.add_person("o@acme.example")
    onward = shared_application(application, other.user, Right.VIEW)
    assert refusal(lambda: acme.by(person, onward)) == Code.STATEMENT_NOT_ENTITLED
    decision = decide(acme.state, person.user, Action.MANAGE_GATEWAY, application, now=acme.time)
    assert isinstance(decision, Refuse)
    acme.by_admin(Revoke(Kind.ACCESS, application, person.user))
    again = msgspec.structs.replace(
        client_of(application), client_id="D" * 88, client=client_uid("D" * 88)
    )
    assert refusal(lambda: acme.by(person, again)) == Code.NOT_OWNER


@pytest.mark.parametrize(
    "change",
    [
        {"rights": (Right.VIEW, Right.SHARE)}, {"rights": (Right.EDIT,)}, {"rights": ()},
        {"principal_kind": "application"}, {"not_after": 2**33}, {"not_before": 1},
    ],
)  # fmt: skip
def test_malformed_share_of_an_application_is_refused(
    acme: Enterprise, change: dict[str, object]
) -> None:
    """View, or view and edit, for a user, without end."""
    person = acme.add_person("p@acme.example")
    application = acme.add_application(acme.admin)

    body = shared_application(application, person.user, Right.VIEW, **change)

    assert refusal(lambda: acme.by_admin(body)) == Code.STATEMENT_MALFORMED


def test_an_application_is_shared_with_others_who_exist(acme: Enterprise) -> None:
    """Not with its owner, not with a stranger; and who it is shared with may give it back."""
    person = acme.add_person("p@acme.example")
    application = acme.add_application(acme.admin)
    own = shared_application(application, acme.admin.user, Right.VIEW)
    unknown = shared_application(application, "A" * 22, Right.VIEW)

    assert refusal(lambda: acme.by_admin(own)) == Code.STATEMENT_NOT_ENTITLED
    assert refusal(lambda: acme.by_admin(unknown)) == Code.OBJECT_UNKNOWN
    acme.by_admin(shared_application(application, person.user, Right.VIEW))
    acme.by(person, Revoke(Kind.ACCESS, application, person.user))
