"""
The authority log's statements: who is who, and who may do what, each signed and chained.

A statement is `{seq, prev_hash, kind, time, body, signer, signature}`; `body` is the exact
MessagePack that was signed. `signer` is "root", a user or a voucher. Times are whole seconds
since 1970 UTC; `not_after` 0 means without end.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from commander.authority.refusals import Code
from commander.codec import Message, decode, encode
from commander.crypto.encoding import encode as canonical
from commander.crypto.kdf import sha256
from commander.crypto.signing import SigningKey, VerifyKey
from commander.errors import InvalidInput, Refused, SealBroken
from commander.ids import (
    UID_BYTES,
    ApplicationUid,
    ClientUid,
    DeviceUid,
    FolderUid,
    GatewayUid,
    RoleUid,
    UserUid,
    VoucherUid,
    encode_uid,
)

BODY_LIMIT = 16 * 1024
STATEMENT_LIMIT = BODY_LIMIT + 1024
ROOT = "root"
FIRST_PREVIOUS = bytes(32)
MAX_NAME = 128


class Kind(StrEnum):
    """What a statement says."""

    GENESIS = "genesis"
    USER = "user"
    DEVICE = "device"
    ADMINISTRATOR = "administrator"
    ROLE = "role"
    MEMBERSHIP = "membership"
    FOLDER = "folder"
    ACCESS = "access"
    APPLICATION = "application"
    VOUCHER = "voucher"
    GATEWAY = "gateway"
    CLIENT = "client"
    REVOKE = "revoke"


class Right(StrEnum):
    """What an access statement lets a principal do in a folder."""

    VIEW = "view"
    EDIT = "edit"
    SHARE = "share"


class Genesis(Message, frozen=True):
    """The enterprise and its root key; its hash is the root fingerprint everyone pins."""

    enterprise: str
    name: str
    root_key: bytes


class User(Message, frozen=True):
    """A person: e-mail in normal form, identity signing key and box key."""

    user: UserUid
    email: str
    sign_key: bytes
    box_key: bytes


class Device(Message, frozen=True):
    """A device of a user, certified by the user's identity key."""

    device: DeviceUid
    user: UserUid
    name: str
    sign_key: bytes
    box_key: bytes


class Administrator(Message, frozen=True):
    """The user may manage users, roles and vouchers."""

    user: UserUid


class Role(Message, frozen=True):
    """A role with all the policies it grants; a later statement for the same UID replaces it."""

    role: RoleUid
    name: str
    enforcements: dict[str, bool]


class Membership(Message, frozen=True):
    """The user has the role."""

    role: RoleUid
    user: UserUid


class Folder(Message, frozen=True):
    """A domain folder: a shared folder, or a user's personal root. Its owner has every right."""

    folder: FolderUid
    owner: UserUid
    personal: bool


class Access(Message, frozen=True):
    """A principal may use a folder; a later statement for the same pair replaces it."""

    folder: FolderUid
    principal_kind: Literal["user", "application"]
    principal: str
    rights: tuple[Right, ...]
    not_before: int
    not_after: int


class Application(Message, frozen=True):
    """A Secrets Manager application."""

    application: ApplicationUid
    owner: UserUid


class Voucher(Message, frozen=True):
    """Lets the holder of a one-time secret make one `user` or `gateway` statement."""

    voucher: VoucherUid
    purpose: Literal["user", "gateway"]
    email: str
    application: str
    public_key: bytes
    not_after: int
    ip_lock: bool


class Gateway(Message, frozen=True):
    """A gateway of an application, certified by its voucher or by the application's owner."""

    gateway: GatewayUid
    application: ApplicationUid
    voucher: str
    client_id: str
    sign_key: bytes
    box_key: bytes
    ksm_key: bytes


class Client(Message, frozen=True):
    """
    A Secrets Manager device of an application.

    `ksm_key` is empty while the device still has its one-time token: then its first use gives
    the key, unconfirmed. A second statement names the key and confirms the device.
    """

    client: ClientUid
    application: ApplicationUid
    client_id: str
    ksm_key: bytes


class Revoke(Message, frozen=True):
    """Ends an earlier statement; `principal` is needed for access (and membership: the user)."""

    kind: Kind
    target: str
    principal: str


Body = (
    Genesis | User | Device | Administrator | Role | Membership | Folder | Access
    | Application | Voucher | Gateway | Client | Revoke
)  # fmt: skip

_BODIES: dict[Kind, type[Message]] = {
    Kind.GENESIS: Genesis,
    Kind.USER: User,
    Kind.DEVICE: Device,
    Kind.ADMINISTRATOR: Administrator,
    Kind.ROLE: Role,
    Kind.MEMBERSHIP: Membership,
    Kind.FOLDER: Folder,
    Kind.ACCESS: Access,
    Kind.APPLICATION: Application,
    Kind.VOUCHER: Voucher,
    Kind.GATEWAY: Gateway,
    Kind.CLIENT: Client,
    Kind.REVOKE: Revoke,
}
_KINDS = {body: kind for kind, body in _BODIES.items()}


class Statement(Message, frozen=True):
    """One link of the chain, as stored and sent."""

    seq: int
    prev_hash: bytes
    kind: Kind
    time: int
    body: bytes
    signer: str
    signature: bytes

    def parse_body(self) -> Body:
        """Read the body by its kind. Raises Refused(statement-malformed)."""
        try:
            return decode(_BODIES[self.kind], self.body, limit=BODY_LIMIT)  # type: ignore[return-value]  # _BODIES maps each kind to a member of Body
        except InvalidInput as error:
            raise Refused(str(error), code=Code.STATEMENT_MALFORMED) from None

    def digest(self) -> bytes:
        """The hash that the next statement names."""
        return sha256(
            canonical(
                "statement-hash", self.seq, self.prev_hash, self.kind, self.time, self.body,
                self.signer, self.signature,
            )
        )  # fmt: skip

    def verify(self, key: VerifyKey) -> None:
        """Raise Refused(statement-not-entitled) unless `key` signed this."""
        try:
            key.verify(
                self.signature, "statement", self.seq, self.prev_hash, self.kind, self.time,
                self.body, self.signer,
            )  # fmt: skip
        except SealBroken:
            raise Refused(
                f"statement {self.seq} is not signed by {self.signer}",
                code=Code.STATEMENT_NOT_ENTITLED,
            ) from None


def sign_statement(
    body: Body, *, seq: int, prev_hash: bytes, time: int, signer: str, key: SigningKey
) -> Statement:
    """Make the statement that follows `prev_hash`."""
    kind = _KINDS[type(body)]
    raw = encode(body)
    signature = key.sign("statement", seq, prev_hash, kind, time, raw, signer)
    return Statement(seq, prev_hash, kind, time, raw, signer, signature)


def root_fingerprint(root_key: bytes) -> bytes:
    """What invitations, gateway tokens and the emergency kit pin: 32 bytes."""
    return sha256(canonical("root-fingerprint", root_key))


def client_uid(client_id: str) -> ClientUid:
    """The UID that the log and seals know a Secrets Manager client by; its client id gives it."""
    raw = bytearray(sha256(canonical("client-uid", client_id))[:UID_BYTES])
    # Identifiers leave out the first bytes that would begin with "-".
    raw[0] &= 0x7F
    return ClientUid(encode_uid(bytes(raw)))
