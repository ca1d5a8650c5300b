"""
This device's copy of the vault: the log's state, verified versions, and what they hold, opened.

Only `vault.sync` changes it, and only with what it has verified. Everything here is in memory;
`vault.store` keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from commander.authority.log import apply
from commander.authority.state import State
from commander.authority.statements import Statement
from commander.codec import Message
from commander.ids import ApplicationUid, FolderUid, RecordUid, UserUid
from commander.vault.accounts import Identity
from commander.vault.sdk_writes import SeenDevices
from commander.wire.calls import ApplicationRow
from commander.wire.records import RecordData
from commander.wire.seals import (
    FIRST_PREVIOUS,
    FolderSeal,
    FolderVersion,
    KeyGrant,
    RecordSeal,
    RecordVersion,
    SettingsSeal,
    SettingsVersion,
    Signed,
    read_folder_seal,
    read_record_seal,
    read_settings_seal,
)

VERSION = 1


class Snapshot(Message, frozen=True, omit_defaults=True):
    """
    What is stored of a replica; `pins` outlive the versions they name.

    A later field has a default and is left out with it, so that older stores are read.
    """

    version: int
    user: str
    cursor: int
    statements: tuple[Statement, ...]
    grants: tuple[KeyGrant, ...]
    folders: tuple[FolderVersion, ...]
    records: tuple[RecordVersion, ...]
    settings: tuple[SettingsVersion, ...]
    applications: tuple[ApplicationRow, ...]
    pins: dict[str, Signed]
    device_keys: dict[str, bytes] = msgspec.field(default_factory=dict)
    device_requests: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class OpenRecord:
    """A record, verified and decrypted."""

    uid: RecordUid
    domain: FolderUid
    inner_folder: str
    revision: int
    author: str
    time: int
    data: RecordData = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class OpenFolder:
    """A folder with its name; a domain folder is its own `domain`."""

    uid: FolderUid
    domain: FolderUid
    name: str
    parent: str
    revision: int

    @property
    def is_domain(self) -> bool:
        """Whether it is a shared folder or the personal root, not a folder within one."""
        return self.uid == self.domain


@dataclass(frozen=True)
class OpenApplication:
    """An application whose key this user has."""

    uid: ApplicationUid
    title: str
    folders: tuple[FolderUid, ...]
    key: bytes = field(repr=False)


@dataclass
class Pin:
    """The newest seal seen of an object."""

    signed: Signed
    revision: int

    @property
    def digest(self) -> bytes:
        """What the next revision has to name."""
        return self.signed.digest()


class Replica:
    """The verified copy; see the module. `identity` opens the key grants to this user."""

    def __init__(self, user: UserUid, identity: Identity) -> None:
        self.user = user
        self.identity = identity
        self.state = State()
        self.statements: list[Statement] = []
        self.cursor = 0
        self.grants: dict[tuple[str, str], KeyGrant] = {}
        self.epochs: dict[tuple[str, str], int] = {}
        self.keys: dict[tuple[str, str], bytes] = {}
        self.folder_versions: dict[str, FolderVersion] = {}
        self.record_versions: dict[str, RecordVersion] = {}
        self.settings_versions: dict[str, SettingsVersion] = {}
        self.application_rows: dict[str, ApplicationRow] = {}
        self.folders: dict[str, OpenFolder] = {}
        self.records: dict[str, OpenRecord] = {}
        self.applications: dict[str, OpenApplication] = {}
        self.pins: dict[str, Signed] = {}
        self.devices = SeenDevices()
        # Where each folder was before the merge in hand: a deletion is judged by that.
        self.parents: dict[str, str] = {}
        # Grows with every change, so that indexes made of the replica know when they are old.
        self.generation = 0

    def append(self, statement: Statement) -> None:
        """Verify the log's next statement and keep it. Raises Refused."""
        apply(self.state, statement)
        self.statements.append(statement)
        self.generation += 1

    def folder_key(self, folder: str) -> bytes | None:
        """The key of a domain folder."""
        return self.keys.get(("folder", folder))

    def record_pin(self, record: str) -> tuple[RecordSeal | None, bytes]:
        """The newest seal seen of a record and its digest."""
        signed = self.pins.get(f"record/{record}")
        return (read_record_seal(signed), signed.digest()) if signed else (None, FIRST_PREVIOUS)

    def settings_pin(self, record: str) -> tuple[SettingsSeal | None, bytes]:
        """The newest seal seen of a record's PAM settings and its digest."""
        signed = self.pins.get(f"settings/{record}")
        return (read_settings_seal(signed), signed.digest()) if signed else (None, FIRST_PREVIOUS)

    def folder_pin(self, folder: str) -> tuple[FolderSeal | None, bytes]:
        """The newest seal seen of a folder and its digest."""
        signed = self.pins.get(f"folder/{folder}")
        return (read_folder_seal(signed), signed.digest()) if signed else (None, FIRST_PREVIOUS)

    def snapshot(self) -> Snapshot:
        """What to store."""
        return Snapshot(
            version=VERSION,
            user=self.user,
            cursor=self.cursor,
            statements=tuple(self.statements),
            grants=tuple(self.grants.values()),
            folders=tuple(self.folder_versions.values()),
            records=tuple(self.record_versions.values()),
            settings=tuple(self.settings_versions.values()),
            applications=tuple(self.application_rows.values()),
            pins=dict(self.pins),
            device_keys=dict(self.devices.keys),
            device_requests=self.devices.stored(),
        )
