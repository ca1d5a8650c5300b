"""
Every native call: its path, its request and its response. One place for client and server.

A call is POSTed to `/api/v1/<path>` inside the layer of `wire.requests`. `proof` says who may
call: "device" (signed by a certified device with a session), "gateway" (signed by a certified
gateway), "either", or "own" (the body carries its own proof and the request is unsigned).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from commander.authority.statements import Statement
from commander.codec import Message
from commander.wire.seals import FolderVersion, KeyGrant, RecordVersion, SettingsVersion

_Q = TypeVar("_Q", bound=Message)
_A = TypeVar("_A", bound=Message)
PREFIX = "/api/v1/"
INFO_PATH = "/api/v1/server"  # GET, plain JSON of ServerInfo: only public keys and the CA
ROUTER_PATH = "/api/v1/router"
RELAY_PATH = "/api/v1/relay/"
# Offered by the client and chosen by the server at each upgrade; anything else is refused.
ROUTER_SUBPROTOCOL = "commander.router.v1"
RELAY_SUBPROTOCOL = "commander.relay.v2"
HEALTH_PATH = "/health"
PAGE_STATEMENTS = 500
PAGE_CHANGES = 1000
PAGE_EVENTS = 500


@dataclass(frozen=True)
class Call(Generic[_Q, _A]):
    """A call's name and types."""

    path: str
    request: type[_Q]
    answer: type[_A]
    proof: Literal["device", "gateway", "either", "own"]


class Empty(Message, frozen=True):
    """Nothing to say."""


class ServerInfo(Message, frozen=True):
    """
    What a server says of itself before anyone trusts it (plain JSON; bytes as base64).

    `ca` is PEM; `signature` of `sign_key` covers every other field (purpose "server-info").
    """

    server: str
    version: str
    ca: str
    sign_key: bytes
    box_key: bytes
    ksm_key_id: int
    ksm_key: bytes
    has_enterprise: bool
    time: int
    signature: bytes


# --- everything a client changes goes through one transaction ------------------------------------


class NewApplication(Message, frozen=True):
    """
    Display data of an application under its key: GCM(AK, {"title", "type"}).

    `owner_key` is the public point of `ksm.owner.owner_key`, which devices are given.
    """

    application: str
    revision: int
    data: bytes
    owner_key: bytes = b""


class ApplicationFolderKey(Message, frozen=True):
    """A folder key for an application: GCM(AK, FK)."""

    application: str
    folder: str
    epoch: int
    key: bytes


class FolderCopy(Message, frozen=True):
    """
    A folder in the form SDKs read (`ksm.folder_names`), beside its sealed form.

    For a domain folder `parent` and `key` are empty and `data` is under the folder's own key;
    for a folder in it `key` is under the domain's key and `data` under `key`. `parent` is "" for
    a folder directly in the domain.
    """

    folder: str
    domain: str
    parent: str
    key: bytes
    data: bytes


class NewAttachment(Message, frozen=True):
    """
    An attachment whose bytes are to come (`ATTACHMENTS` says where to), in the form SDKs read.

    `link_key` is GCM(record key, file key), `data` GCM(file key, {"name", "title", "type", "size",
    "lastModified"}), `size` that of the sealed bytes.
    """

    file: str
    record: str
    link_key: bytes
    data: bytes
    size: int


class OldAttachment(Message, frozen=True):
    """An attachment that is removed."""

    file: str
    record: str


class NewClient(Message, frozen=True):
    """
    A client (device) of an application waiting for its one-time token, or one already bound.

    `client_id` is the base64 HMAC of the token; `app_key` is GCM(token, AK) or empty when
    `public_key` (P-256 point, 65 bytes) binds it at once; `name` is GCM(AK, name).
    `voucher` names the log's voucher for gateways, else is empty.
    """

    client_id: str
    application: str
    kind: Literal["client", "gateway"]
    voucher: str
    name: bytes
    app_key: bytes
    public_key: bytes
    token_expires: int
    access_expires: int
    ip_lock: bool


class NewInvitation(Message, frozen=True):
    """An invitation's row; the secret itself never reaches the server."""

    voucher: str
    email: str
    expires: int


class Commit(Message, frozen=True):
    """All or nothing: the server applies every part in one transaction or refuses with a code."""

    statements: tuple[Statement, ...] = ()
    grants: tuple[KeyGrant, ...] = ()
    folders: tuple[FolderVersion, ...] = ()
    records: tuple[RecordVersion, ...] = ()
    settings: tuple[SettingsVersion, ...] = ()
    applications: tuple[NewApplication, ...] = ()
    folder_keys: tuple[ApplicationFolderKey, ...] = ()
    clients: tuple[NewClient, ...] = ()
    removed_clients: tuple[str, ...] = ()
    invitations: tuple[NewInvitation, ...] = ()
    folder_copies: tuple[FolderCopy, ...] = ()
    attachments: tuple[NewAttachment, ...] = ()
    removed_attachments: tuple[OldAttachment, ...] = ()


class CommitAnswer(Message, frozen=True):
    """Where log and vault are now."""

    log_seq: int
    cursor: int


# --- accounts ------------------------------------------------------------------------------------


class NewAccount(Message, frozen=True):
    """What the server keeps of an account: nothing in it can be used to guess the password."""

    email: str
    user: str
    login_key: bytes
    wrapped_data_key: bytes
    wrapped_identity: bytes


class SetupRequest(Message, frozen=True):
    """
    First account of an empty server. `secret` is the join string's.

    `commit` holds genesis, user, administrator, device, role, membership, personal folder ...
    `device` signs nothing here: its certificate is in `commit`.
    """

    secret: bytes
    account: NewAccount
    commit: Commit


class InvitationRequest(Message, frozen=True):
    """The holder of an invitation asks for the log; `proof` is the voucher key's signature (purpose "invitation", voucher, time)."""

    voucher: str
    time: int
    proof: bytes


class LogAnswer(Message, frozen=True):
    """Statements after a position, at most a page, and the head."""

    statements: tuple[Statement, ...]
    head_seq: int
    head_hash: bytes


class AcceptRequest(Message, frozen=True):
    """An invited person makes the account; `commit` begins with the `user` statement signed by the voucher key."""

    voucher: str
    account: NewAccount
    commit: Commit


class SessionAnswer(Message, frozen=True):
    """A session of the device; idle and absolute end in seconds since 1970."""

    session: str
    user: str
    expires: int


class ChallengeRequest(Message, frozen=True):
    """Begin a login; unknown accounts get the same answer."""

    email: str


class ChallengeAnswer(Message, frozen=True):
    """Valid for 60 s, once."""

    login: str
    challenge: bytes


class LoginRequest(Message, frozen=True):
    """
    Finish a login: the login key signs (purpose "login": email, login, challenge, device,
    device keys, server UID, client nonce); the device key signs the same (purpose "login-device").
    """

    login: str
    email: str
    device: str
    device_sign_key: bytes
    device_box_key: bytes
    nonce: bytes
    signature: bytes
    device_signature: bytes


class LoginAnswer(Message, frozen=True):
    """Session and the account's wrapped keys; `device_known` False: certify it before anything else."""

    session: str
    user: str
    expires: int
    wrapped_data_key: bytes
    wrapped_identity: bytes
    device_known: bool


class SessionState(Message, frozen=True):
    """Who the session is for."""

    user: str
    device: str
    expires: int
    idle_s: int


# --- log, vault ----------------------------------------------------------------------------------


class LogRequest(Message, frozen=True):
    """Statements after `since` (-1 for all)."""

    since: int


class SyncRequest(Message, frozen=True):
    """What changed for this user since a cursor (0 for all)."""

    cursor: int


class ApplicationRow(Message, frozen=True, omit_defaults=True):
    """
    An application the user can open: display data and the folder keys it has.

    `owner_key` is what the server gives to devices; check it against `ksm.owner.owner_key`.
    """

    application: str
    data: bytes
    folder_keys: tuple[ApplicationFolderKey, ...]
    owner_key: bytes = b""
    revision: int = 0


class SyncAnswer(Message, frozen=True):
    """
    Changes in order; `more` when a page was full. Objects of folders the user lost are not
    listed: the client drops what `decide` no longer lets it see.
    """

    cursor: int
    more: bool
    grants: tuple[KeyGrant, ...]
    folders: tuple[FolderVersion, ...]
    records: tuple[RecordVersion, ...]
    settings: tuple[SettingsVersion, ...]
    applications: tuple[ApplicationRow, ...]


class HistoryRequest(Message, frozen=True):
    """All stored revisions of a record."""

    record: str


class HistoryAnswer(Message, frozen=True):
    """Oldest first."""

    records: tuple[RecordVersion, ...]


# --- applications, gateways ----------------------------------------------------------------------


class ClientRow(Message, frozen=True):
    """A client of an application as the server knows it; times 0 = never."""

    client_id: str
    application: str
    kind: Literal["client", "gateway"]
    voucher: str
    name: bytes
    bound: bool
    created: int
    token_expires: int
    access_expires: int
    first_access: int
    last_access: int
    ip_lock: bool
    address: str
    public_key: bytes = b""


class AttachmentsRequest(Message, frozen=True):
    """The attachments of a record."""

    record: str


class AttachmentRow(Message, frozen=True):
    """
    An attachment as the server has it; keys and data as in `NewAttachment`.

    `place` is a short-lived path: to GET the bytes from when they are `uploaded`, else to POST them
    to (multipart, part "file"), and empty for who may not.
    """

    file: str
    link_key: bytes
    data: bytes
    size: int
    uploaded: bool
    place: str


class AttachmentsAnswer(Message, frozen=True):
    """All attachments of the record, oldest first."""

    attachments: tuple[AttachmentRow, ...]


class ClientsRequest(Message, frozen=True):
    """Clients of one application."""

    application: str


class ClientsAnswer(Message, frozen=True):
    """All of them."""

    clients: tuple[ClientRow, ...]


class GatewayRow(Message, frozen=True):
    """A gateway's connection; `name` under the application key comes with its client row."""

    gateway: str
    online: bool
    version: str
    address: str
    connected_at: int


class GatewaysAnswer(Message, frozen=True):
    """Gateways of applications the caller may see."""

    gateways: tuple[GatewayRow, ...]


class EnrolBegin(Message, frozen=True):
    """A gateway with a one-time token asks for the log; the voucher key signs (purpose "enrol", client id, time)."""

    client_id: str
    time: int
    proof: bytes


class EnrolRequest(Message, frozen=True):
    """The `gateway` statement signed by the voucher key; binding happens in the same transaction."""

    client_id: str
    statement: Statement


class EnrolAnswer(Message, frozen=True):
    """GCM(token, AK) and the application owner's P-256 key (empty: none)."""

    app_key: bytes
    owner_key: bytes
    log_seq: int


# --- WebRTC --------------------------------------------------------------------------------------


class IceServerRow(Message, frozen=True):
    """A STUN or TURN server (`wire.ice` has the form of `url`); STUN has no credential."""

    url: str
    username: str
    password: str


class IceAnswer(Message, frozen=True):
    """
    Servers for one attempt at a WebRTC path, at most 8, in the server's order of preference.

    `relay_only`: the server's owner wants no address of either end shown to the other.
    `expires`, seconds since 1970: no TURN server takes the credentials for a new relay after it.
    """

    servers: tuple[IceServerRow, ...]
    relay_only: bool
    expires: int


# --- audit ---------------------------------------------------------------------------------------


class AuditAppend(Message, frozen=True):
    """Signed, chained events of the caller, in order; already stored ones are skipped."""

    events: tuple[bytes, ...]


class AuditAppendAnswer(Message, frozen=True):
    """The last sequence number stored for this producer."""

    stored_seq: int


class AuditRead(Message, frozen=True):
    """Events after a position, filtered; empty text and 0 mean any."""

    after: int
    since: int
    until: int
    producer: str
    kind: str
    user: str
    record: str
    limit: int


class AuditAnswer(Message, frozen=True):
    """Pairs of position and event bytes; `keys` are the server's own verify keys by producer UID."""

    events: tuple[tuple[int, bytes], ...]
    more: bool
    server: str
    server_key: bytes


SETUP = Call("setup", SetupRequest, SessionAnswer, "own")
INVITATION = Call("account/invitation", InvitationRequest, LogAnswer, "own")
ACCEPT = Call("account/accept", AcceptRequest, SessionAnswer, "own")
LOGIN_CHALLENGE = Call("login/challenge", ChallengeRequest, ChallengeAnswer, "own")
LOGIN = Call("login", LoginRequest, LoginAnswer, "own")
LOGOUT = Call("logout", Empty, Empty, "device")
SESSION = Call("session", Empty, SessionState, "device")
LOG = Call("log", LogRequest, LogAnswer, "either")
COMMIT = Call("commit", Commit, CommitAnswer, "device")
SYNC = Call("sync", SyncRequest, SyncAnswer, "device")
HISTORY = Call("history", HistoryRequest, HistoryAnswer, "device")
ATTACHMENTS = Call("attachments", AttachmentsRequest, AttachmentsAnswer, "device")
CLIENTS = Call("clients", ClientsRequest, ClientsAnswer, "device")
GATEWAYS = Call("gateways", Empty, GatewaysAnswer, "device")
ICE = Call("ice", Empty, IceAnswer, "either")
ENROL_BEGIN = Call("gateway/enrol-begin", EnrolBegin, LogAnswer, "own")
ENROL = Call("gateway/enrol", EnrolRequest, EnrolAnswer, "own")
AUDIT_APPEND = Call("audit/append", AuditAppend, AuditAppendAnswer, "either")
AUDIT_READ = Call("audit/read", AuditRead, AuditAnswer, "device")
