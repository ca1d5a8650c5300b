"""A small enterprise built statement by statement, for tests that need an authority log."""

from __future__ import annotations

from dataclasses import dataclass, field

from commander.authority import log
from commander.authority.policies import POLICIES
from commander.authority.state import State
from commander.authority.statements import (
    ROOT,
    Access,
    Administrator,
    Application,
    Body,
    Device,
    Folder,
    Gateway,
    Genesis,
    Kind,
    Membership,
    Revoke,
    Right,
    Role,
    Statement,
    User,
    Voucher,
    sign_statement,
)
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.ids import (
    ApplicationUid,
    DeviceUid,
    FolderUid,
    GatewayUid,
    RoleUid,
    UserUid,
    VoucherUid,
    new_uid,
)

START = 1_800_000_000


@dataclass
class Person:
    """A user with the keys of the identity and one device."""

    user: UserUid
    email: str
    identity: SigningKey = field(default_factory=SigningKey.generate)
    box: BoxPrivateKey = field(default_factory=BoxPrivateKey.generate)
    device: DeviceUid = field(default_factory=lambda: DeviceUid(new_uid()))
    device_key: SigningKey = field(default_factory=SigningKey.generate)
    device_box: BoxPrivateKey = field(default_factory=BoxPrivateKey.generate)


class Enterprise:
    """The log, its state, and one `admin` with the Administrators role and a device."""

    def __init__(self) -> None:
        self.time = START
        self.root = SigningKey.generate()
        self.state = State()
        self.statements: list[Statement] = []
        self.add(Genesis(new_uid(), "Acme", self.root.public.raw), ROOT, self.root)
        self.admin = Person(UserUid(new_uid()), "admin@acme.example")
        self.add(self._user(self.admin), ROOT, self.root)
        self.add(Administrator(self.admin.user), ROOT, self.root)
        self.role = self.add_role("Administrators", dict.fromkeys(POLICIES, True))
        self.add_member(self.role, self.admin)
        self.add_device(self.admin)

    @staticmethod
    def _user(person: Person) -> User:
        return User(person.user, person.email, person.identity.public.raw, person.box.public.raw)

    def sign(self, body: Body, signer: str, key: SigningKey) -> Statement:
        """Make the next statement without applying it."""
        return sign_statement(
            body,
            seq=self.state.seq + 1,
            prev_hash=self.state.head,
            time=self.time,
            signer=signer,
            key=key,
        )

    def add(self, body: Body, signer: str, key: SigningKey) -> Statement:
        """Make and apply the next statement."""
        statement = self.sign(body, signer, key)
        log.apply(self.state, statement)
        self.statements.append(statement)
        return statement

    def by_admin(self, body: Body) -> Statement:
        """Let the administrator state something."""
        return self.add(body, self.admin.user, self.admin.identity)

    def by(self, person: Person, body: Body) -> Statement:
        """Let a person state something."""
        return self.add(body, person.user, person.identity)

    def add_role(self, name: str, enforcements: dict[str, bool]) -> RoleUid:
        """Add a role."""
        role = RoleUid(new_uid())
        self.by_admin(Role(role, name, enforcements))
        return role

    def add_member(self, role: RoleUid, person: Person) -> None:
        """Give a person a role."""
        self.by_admin(Membership(role, person.user))

    def invite(self, email: str, *, lasts: int = 3600) -> tuple[VoucherUid, SigningKey]:
        """Make an invitation; returns the voucher and its key."""
        key, voucher = SigningKey.generate(), VoucherUid(new_uid())
        not_after = self.time + lasts
        self.by_admin(Voucher(voucher, "user", email, "", key.public.raw, not_after, False))
        return voucher, key

    def add_person(self, email: str) -> Person:
        """Invite a person, accept, certify a device."""
        voucher, key = self.invite(email)
        person = Person(UserUid(new_uid()), email)
        self.add(self._user(person), voucher, key)
        self.add_device(person)
        return person

    def add_device(self, person: Person) -> None:
        """Certify a new device of a person."""
        person.device = DeviceUid(new_uid())
        device = Device(
            person.device,
            person.user,
            "laptop",
            person.device_key.public.raw,
            person.device_box.public.raw,
        )
        self.by(person, device)

    def add_folder(self, owner: Person, *, personal: bool = False) -> FolderUid:
        """Make a domain folder."""
        folder = FolderUid(new_uid())
        self.by(owner, Folder(folder, owner.user, personal))
        return folder

    def share(
        self,
        owner: Person,
        folder: FolderUid,
        principal: str,
        *rights: Right,
        kind: str = "user",
        not_before: int = 0,
        not_after: int = 0,
    ) -> None:
        """Share a folder with a user or application."""
        assert kind in ("user", "application")
        access = Access(folder, kind, principal, rights, not_before, not_after)  # type: ignore[arg-type]  # asserted above
        self.by(owner, access)

    def add_application(self, owner: Person) -> ApplicationUid:
        """Make an application."""
        application = ApplicationUid(new_uid())
        self.by(owner, Application(application, owner.user))
        return application

    def gateway_voucher(
        self, application: ApplicationUid, *, lasts: int = 3600
    ) -> tuple[VoucherUid, SigningKey]:
        """Make a gateway voucher; returns it and its key."""
        key, voucher = SigningKey.generate(), VoucherUid(new_uid())
        not_after = self.time + lasts
        self.by_admin(
            Voucher(voucher, "gateway", "", application, key.public.raw, not_after, False)
        )
        return voucher, key

    @staticmethod
    def gateway(application: ApplicationUid, voucher: str) -> Gateway:
        """A gateway certificate's body with fresh keys."""
        return Gateway(
            GatewayUid(new_uid()),
            application,
            voucher,
            "A" * 88,
            SigningKey.generate().public.raw,
            BoxPrivateKey.generate().public.raw,
            b"\x04" + bytes(64),
        )

    def revoke(self, kind: Kind, target: str, principal: str = "") -> None:
        """Let the administrator end something."""
        self.by_admin(Revoke(kind, target, principal))
