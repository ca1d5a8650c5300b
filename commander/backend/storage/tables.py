"""
The tables. Bytes that clients signed are kept exactly as they came (`raw`).

`change` is the value of the global cursor at which a row last became new to somebody; `size` is
the length of `raw`, so that a page of an answer can be planned without reading payloads.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

metadata = MetaData()


def _uid(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, String(22), primary_key=key, nullable=False)


def _text(name: str, length: int, *, key: bool = False) -> Column[str]:
    return Column(name, String(length), primary_key=key, nullable=False)


def _number(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=False, autoincrement=False)


def _bytes(name: str, *, key: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, primary_key=key, nullable=False)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


server = Table(
    "server", metadata,
    _number("id", key=True), _uid("uid"), _bytes("sign_key"), _bytes("box_key"),
    _number("ksm_key_id"), _bytes("ksm_key"), _bytes("setup_hash"), _number("created"),
)  # fmt: skip

changes = Table("changes", metadata, _number("id", key=True), _number("cursor"))

statements = Table(
    "statements", metadata, _number("seq", key=True), _bytes("digest"), _number("size"),
    _bytes("raw"),
)  # fmt: skip

accounts = Table(
    "accounts", metadata,
    _uid("user", key=True), _text("email", 254), _bytes("login_key"),
    _bytes("wrapped_data_key"), _bytes("wrapped_identity"), _number("created"),
    UniqueConstraint("email", name="accounts_email"),
)  # fmt: skip

sessions = Table(
    "sessions", metadata,
    _bytes("digest", key=True), _uid("user"), _uid("device"), _bytes("device_key"), _number("created"),
    _number("last_used"), Index("sessions_device", "device"),
)  # fmt: skip

nonces = Table(
    "nonces", metadata,
    _uid("principal", key=True), _bytes("nonce", key=True), _number("expires"),
    Index("nonces_expires", "expires"),
)  # fmt: skip

grants = Table(
    "grants", metadata,
    _text("kind", 16, key=True), _uid("object", key=True), _number("epoch", key=True),
    _uid("recipient", key=True), _uid("granter", key=True), _number("change"), _number("size"),
    _bytes("raw"), Index("grants_recipient", "recipient", "change"),
)  # fmt: skip


def _heads(name: str) -> Table:
    """The newest revision of each object; `folder` is the domain folder that decides rights."""
    return Table(
        name, metadata,
        _uid("uid", key=True), _uid("folder"), _number("revision"), _bytes("digest"),
        _flag("deleted"), _number("size"), _number("change"),
        Index(f"{name}_folder", "folder", "change"), Index(f"{name}_change", "change"),
    )  # fmt: skip


def _revisions(name: str, heads: str) -> Table:
    return Table(
        name, metadata,
        _uid("uid", key=True), _number("revision", key=True), _bytes("raw"),
        ForeignKeyConstraint(["uid"], [f"{heads}.uid"], name=f"{name}_of"),
    )  # fmt: skip


folders = _heads("folders")
folder_revisions = _revisions("folder_revisions", "folders")
records = _heads("records")
record_revisions = _revisions("record_revisions", "records")
settings = _heads("settings")
settings_revisions = _revisions("settings_revisions", "settings")

# A share that begins later: its folder's objects become new for the user at that time.
later_shares = Table(
    "later_shares", metadata, _uid("folder", key=True), _uid("user", key=True), _number("begins"),
)  # fmt: skip

applications = Table(
    "applications", metadata,
    _uid("application", key=True), _number("revision"), _bytes("data"), _number("change"),
    Column("owner_key", LargeBinary, nullable=False, server_default=text("x''")),
)  # fmt: skip

application_keys = Table(
    "application_keys", metadata,
    _uid("application", key=True), _uid("folder", key=True), _number("epoch", key=True),
    _bytes("key"),
)  # fmt: skip

clients = Table(
    "clients", metadata,
    _text("client_id", 88, key=True), _uid("application"), _text("kind", 16), _text("voucher", 22),
    _bytes("name"), _bytes("app_key"), _bytes("public_key"), _number("created"),
    _number("token_expires"), _number("access_expires"), _number("first_access"),
    _number("last_access"), _flag("ip_lock"), _text("address", 64),
    Index("clients_application", "application"),
)  # fmt: skip

# Folders in the form SDKs read; `key` and `data` are opaque here.
folder_copies = Table(
    "folder_copies", metadata,
    _uid("folder", key=True), _uid("domain"), _text("parent", 22), _bytes("key"), _bytes("data"),
    Index("folder_copies_domain", "domain"),
)  # fmt: skip

# Updates that a device has begun and not completed; nobody reads them until then.
staged_updates = Table(
    "staged_updates", metadata,
    _uid("record", key=True), _text("client_id", 88, key=True), _number("expires"), _bytes("raw"),
    Index("staged_updates_expires", "expires"), Index("staged_updates_client", "client_id"),
)  # fmt: skip

# Attachments; the bytes are a file beside the store once `uploaded`.
attachments = Table(
    "attachments", metadata,
    _uid("uid", key=True), _uid("record"), _bytes("link_key"), _bytes("data"), _number("size"),
    _flag("uploaded"), _number("created"),
    Index("attachments_record", "record"),
)  # fmt: skip

invitations = Table(
    "invitations", metadata,
    _uid("voucher", key=True), _text("email", 254), _number("expires"), _number("created"),
)  # fmt: skip

audit = Table(
    "audit", metadata,
    # SQLite counts a key up only when its type is exactly INTEGER.
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    _text("producer", 64), _number("sequence"), _number("time_ms"), _text("kind", 40),
    _text("user", 64), _text("record", 64), _number("size"), _bytes("raw"),
    UniqueConstraint("producer", "sequence", name="audit_chain"),
    Index("audit_time", "time_ms"),
)  # fmt: skip
