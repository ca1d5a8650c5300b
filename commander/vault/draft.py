"""
A change being built: statements at the current head and seals after the pinned ones.

A draft is made anew for every attempt, so a builder must read what it changes from the draft's
replica, never from before. No IO; the caller gives the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from commander.authority.refusals import Code
from commander.authority.statements import Body, Statement, sign_statement
from commander.crypto import aead
from commander.crypto.box import BoxPublicKey
from commander.crypto.kdf import sha256
from commander.crypto.signing import SigningKey
from commander.errors import NotFound, Refused
from commander.ids import DeviceUid, FolderUid, RecordUid, UserUid
from commander.ksm import folder_names
from commander.vault.opening import seal_folder_name, seal_payload, seal_settings
from commander.vault.replica import Replica
from commander.vault.state import Place
from commander.wire import calls
from commander.wire.pam import PamSettings
from commander.wire.records import RecordData
from commander.wire.seals import (
    FolderSeal,
    FolderVersion,
    GrantSeal,
    KeyGrant,
    RecordSeal,
    RecordVersion,
    SettingsSeal,
    SettingsVersion,
    Signed,
    grant_context,
    record_commitment,
    sign_seal,
)


@dataclass(frozen=True)
class Author:
    """Who signs: the user (statements, grants) and the device (records, settings, folders)."""

    user: UserUid
    device: DeviceUid
    user_key: SigningKey = field(repr=False)
    device_key: SigningKey = field(repr=False)


class Draft:
    """One transaction in the making; `commit` gives what is sent."""

    def __init__(self, replica: Replica, author: Author, *, now: float) -> None:
        self.replica = replica
        self.author = author
        self.time = int(now)
        self._seq = replica.state.seq
        self._head = replica.state.head
        self._keys: dict[tuple[str, str], bytes] = {}
        self._record_keys: dict[str, bytes] = {}
        self._pins: dict[str, Signed] = {}
        self.statements: list[Statement] = []
        self.grants: list[KeyGrant] = []
        self.folders: list[FolderVersion] = []
        self.records: list[RecordVersion] = []
        self.settings: list[SettingsVersion] = []
        self.applications: list[calls.NewApplication] = []
        self.folder_keys: list[calls.ApplicationFolderKey] = []
        self.clients: list[calls.NewClient] = []
        self.removed_clients: list[str] = []
        self.invitations: list[calls.NewInvitation] = []
        self.folder_copies: list[calls.FolderCopy] = []
        self.attachments: list[calls.NewAttachment] = []
        self.removed_attachments: list[calls.OldAttachment] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing would change."""
        return self.commit() == calls.Commit()

    def commit(self) -> calls.Commit:
        """What is sent to the server."""
        return calls.Commit(
            statements=tuple(self.statements),
            grants=tuple(self.grants),
            folders=tuple(self.folders),
            records=tuple(self.records),
            settings=tuple(self.settings),
            applications=tuple(self.applications),
            folder_keys=tuple(self.folder_keys),
            clients=tuple(self.clients),
            removed_clients=tuple(self.removed_clients),
            invitations=tuple(self.invitations),
            folder_copies=tuple(self.folder_copies),
            attachments=tuple(self.attachments),
            removed_attachments=tuple(self.removed_attachments),
        )

    def is_landed(self) -> bool:
        """Tell, after a sync, whether the server has taken this very draft (its answer was lost)."""
        digests = self.replica.state.digests
        for statement in self.statements:
            if statement.seq >= len(digests) or digests[statement.seq] != statement.digest():
                return False
        for name, signed in self._pins.items():
            if self.replica.pins.get(name) != signed:
                return False
        return bool(self.statements or self._pins)

    # --- statements and keys ---------------------------------------------------------------------

    def state(self, body: Body, *, signer: str = "", key: SigningKey | None = None) -> Statement:
        """Add a statement, signed by the user unless another signer is given."""
        statement = sign_statement(
            body,
            seq=self._seq + 1,
            prev_hash=self._head,
            time=self.time,
            signer=signer or self.author.user,
            key=key or self.author.user_key,
        )
        self.statements.append(statement)
        self._seq = statement.seq
        self._head = statement.digest()
        return statement

    def key_of(self, kind: str, uid: str) -> bytes:
        """A folder or application key, also one made in this draft. Raises NotFound."""
        key = self._keys.get((kind, uid)) or self.replica.keys.get((kind, uid))
        if key is None:
            raise NotFound(f"this user has no key of {kind} {uid}")
        return key

    def add_key(self, kind: str, uid: str) -> bytes:
        """Make a key and grant it to oneself."""
        key = self._keys[(kind, uid)] = aead.new_key()
        public = self.replica.identity.box.public
        self.grant(kind, uid, self.author.user, public)
        return key

    def grant(self, kind: str, uid: str, recipient: UserUid, box_key: BoxPublicKey) -> None:
        """Hand a key to a user; the access statement comes before it in the draft."""
        empty = GrantSeal(kind, uid, 1, recipient, b"", self.author.user, self._seq, self.time)
        box = box_key.seal(self.key_of(kind, uid), "key-grant", *grant_context(empty))
        seal = GrantSeal(
            kind, uid, 1, recipient, sha256(box), self.author.user, self._seq, self.time
        )
        self.grants.append(KeyGrant(sign_seal(seal, self.author.user_key), box))

    # --- folders ---------------------------------------------------------------------------------

    def put_folder(
        self, uid: FolderUid, domain: FolderUid, name: str, parent: str, *, deleted: bool = False
    ) -> None:
        """Write a folder's name and place, or its end."""
        payload = seal_folder_name(self.key_of("folder", domain), uid, name, parent)
        revision, digest = self._next(f"folder/{uid}", *_pin(self.replica.folder_pin(uid)))
        seal = FolderSeal(
            uid, domain, revision, digest, sha256(payload), self.author.device, self._seq,
            self.time, deleted,
        )  # fmt: skip
        signed = self._sign(f"folder/{uid}", seal)
        self.folders.append(FolderVersion(signed, payload))
        if not deleted and self._is_read_by_devices(domain):
            self.copy_folder(uid, domain, name, parent)

    def _is_read_by_devices(self, domain: str) -> bool:
        members = self.replica.state.folder_members(domain)
        return any(access.principal_kind == "application" for access in members)

    def copy_folder(self, uid: str, domain: str, name: str, parent: str) -> None:
        """
        Write a folder beside its sealed form as Secrets Manager devices read it.

        Our clients never read it. Of a folder that a device made the key changes with this, which
        devices learn with the name (`opening.open_folder_name`).
        """
        domain_key = self.key_of("folder", domain)
        if uid == domain:
            sealed, key = b"", domain_key
        else:
            key = folder_names.sub_folder_key(domain_key, uid)
            sealed = folder_names.seal_key(domain_key, key)
        data = folder_names.seal_name(key, name)
        self.folder_copies.append(calls.FolderCopy(uid, domain, parent, sealed, data))

    # --- records ---------------------------------------------------------------------------------

    def record_key(self, uid: str) -> bytes:
        """The key of a record, made in this draft when the record is new."""
        record = self.replica.records.get(uid)
        if record is not None:
            return record.key
        return self._record_keys.setdefault(uid, aead.new_key())

    def put_record(self, uid: RecordUid, data: RecordData, place: Place) -> None:
        """Write a record's next revision."""
        payload = seal_payload(self.record_key(uid), data)
        self._put_record(uid, payload, place, deleted=False)

    def delete_record(self, uid: RecordUid) -> None:
        """End a record: a last seal with nothing in it."""
        record = self.replica.records[uid]
        self._put_record(uid, b"", Place(record.domain, record.inner_folder), deleted=True)

    def _put_record(self, uid: RecordUid, payload: bytes, place: Place, *, deleted: bool) -> None:
        key = self.record_key(uid)
        revision, digest = self._next(f"record/{uid}", *_pin(self.replica.record_pin(uid)))
        seal = RecordSeal(
            uid, place.domain, place.inner, revision, digest, sha256(payload),
            record_commitment(key, uid, revision), self.author.device, self._seq, self.time,
            deleted,
        )  # fmt: skip
        signed = self._sign(f"record/{uid}", seal)
        wrapped = aead.seal(self.key_of("folder", place.domain), key)
        self.records.append(RecordVersion(signed, wrapped, payload))

    def put_settings(self, uid: RecordUid, domain: FolderUid, settings: PamSettings) -> None:
        """Write the next revision of a record's PAM settings."""
        payload = seal_settings(self.record_key(uid), uid, settings)
        revision, digest = self._next(f"settings/{uid}", *_pin(self.replica.settings_pin(uid)))
        seal = SettingsSeal(
            uid, domain, revision, digest, sha256(payload), self.author.device, self._seq, self.time
        )
        signed = self._sign(f"settings/{uid}", seal)
        self.settings.append(SettingsVersion(signed, payload))

    def _next(self, name: str, revision: int, digest: bytes) -> tuple[int, bytes]:
        if name in self._pins:
            raise Refused(f"{name} is written twice in one change", code=Code.SEAL_REVISION)
        return revision + 1, digest

    def _sign(self, name: str, seal: RecordSeal | SettingsSeal | FolderSeal) -> Signed:
        signed = sign_seal(seal, self.author.device_key)
        self._pins[name] = signed
        return signed


def _pin(
    pin: tuple[RecordSeal | SettingsSeal | FolderSeal | None, bytes],
) -> tuple[int, bytes]:
    seal, digest = pin
    return (seal.revision if seal else 0), digest
