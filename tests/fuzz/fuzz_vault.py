"""What a server hands to a vault, and what is typed or decrypted there; only documented errors may come out."""

from __future__ import annotations

import asyncio
import contextlib
from functools import cache

from commander.codec import decode, encode
from commander.crypto import aead
from commander.errors import InvalidInput, Refused, Tampered
from commander.vault.accounts import AccountSecret, Identity, unwrap_identity
from commander.vault.attachments import open_row, safe_name
from commander.vault.opening import open_folder_name, open_payload, open_settings
from commander.vault.record_types import parse_assignment, read_value
from commander.vault.replica import Snapshot
from commander.vault.session import Vault
from commander.vault.sync import merge_changes, merge_log, restore
from commander.wire import calls
from commander.wire.pam import ResourceSettings
from commander.wire.records import RecordData
from commander.wire.seals import (
    FolderVersion,
    SettingsVersion,
    read_folder_seal,
    read_record_seal,
)
from tests.support.memory_server import MemoryServer
from tests.support.sdk_world import make_sdk_world

NAME = "vault"
_KEY = bytes(32)


class _World:
    """A vault with one of everything, and what its server would say."""

    def __init__(self, vault: Vault, server: MemoryServer) -> None:
        self.identity: Identity = vault.login.identity
        self.root = vault.login.device.root
        self.snapshot: Snapshot = vault._replica.snapshot()
        state = server.state()
        self.log = calls.LogAnswer(tuple(server.stored.statements), state.seq, state.head)
        self.changes = server.changes(vault.user, 0)


@cache
def _world() -> _World:
    return asyncio.run(_make())


async def _make() -> _World:
    world = await make_sdk_world()
    vault = world.vault
    data = RecordData.create("login", "Orders")
    await vault.create_record(data, world.folder, settings=ResourceSettings(protocol="ssh"))
    inner = await vault.create_folder("Inner", world.folder)
    # What a Secrets Manager device wrote, in each form.
    world.update(world.create("By a device", password="1"), password="2")
    world.add_file(world.create("With a file", inner=inner.uid))
    world.rename(inner.uid, "Renamed")
    await vault.sync()
    return _World(vault, world.server)


def seeds() -> list[bytes]:
    """A whole log, a whole sync, texts that people type."""
    world = _world()
    return [
        encode(world.log),
        encode(world.changes),
        AccountSecret(bytes(16)).text.encode(),
        b'pamHostname=$JSON:{"hostName":"a","port":"22"}',
        b'{"title":"a","type":"login","fields":[{"type":"login","value":["x"]}]}',
        b'{"name":"Shared","parent":""}',
    ]


def fuzz(data: bytes) -> None:
    """Read the input as everything it could be."""
    _as_answers(data)
    _as_text(data.decode("utf-8", "replace"))
    _as_plaintext(data)


def _as_answers(data: bytes) -> None:
    world = _world()
    with contextlib.suppress(InvalidInput, Tampered, Refused):
        log = decode(calls.LogAnswer, data)
        merge_log(restore(world.snapshot, world.identity), log, fingerprint=world.root)
    with contextlib.suppress(InvalidInput):
        changes = decode(calls.SyncAnswer, data)
        replica = restore(world.snapshot, world.identity)
        before = set(replica.records)
        problems = merge_changes(replica, changes)
        if problems and set(replica.records) != before:
            raise AssertionError("a bad object took something away")


def _as_text(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        AccountSecret.parse(text)
    with contextlib.suppress(InvalidInput):
        read_value(parse_assignment(text))


def _as_plaintext(data: bytes) -> None:
    """A member may have sealed anything."""
    world = _world()
    sealed = aead.seal(_KEY, data)
    record = world.snapshot.records[0]
    seal = read_record_seal(record.seal)
    with contextlib.suppress(Refused):
        open_payload(_KEY, type(record)(record.seal, b"", sealed), seal)
    with contextlib.suppress(Refused):
        open_settings(_KEY, seal.record, SettingsVersion(record.seal, sealed))
    opened = next(iter(restore(world.snapshot, world.identity).records.values()))
    row = calls.AttachmentRow(
        "A" * 22, aead.seal(opened.key, _KEY), sealed, len(data), True, data.decode("latin-1")
    )
    with contextlib.suppress(Tampered):
        safe_name(open_row(opened, row.file, row))
    folder = world.snapshot.folders[0]
    with contextlib.suppress(Refused):
        open_folder_name(_KEY, FolderVersion(folder.seal, data), read_folder_seal(folder.seal))
    with contextlib.suppress(Tampered):
        unwrap_identity(_KEY, b"\x01" + data, user="u", email="e")
