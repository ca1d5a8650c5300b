"""
Reading records by the Secrets Manager wire format, and believing none of it before it is proved.

    get_secret(record, what it links to) -> folder key under the application key -> record key ->
    seal (author, right, chain after the pinned one) -> payload and settings
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from commander.authority.refusals import Code
from commander.authority.state import State
from commander.codec import decode
from commander.crypto import aead
from commander.errors import CommanderError, InvalidInput, Refused, SealBroken
from commander.gateway.pins import Pins, RecordPin
from commander.gateway.questions import Questions
from commander.gateway.switches import OpenRecord, linked_uids
from commander.ids import is_uid
from commander.ksm.payloads import GetSecretRequest, GetSecretResponse, Record
from commander.vault.opening import open_payload, open_record_key, open_settings
from commander.wire.device_writes import DeviceWrite
from commander.wire.seals import (
    FIRST_PREVIOUS,
    RecordSeal,
    RecordVersion,
    SettingsVersion,
    Signed,
    device_of,
    read_record_seal,
    read_settings_seal,
    verify_record,
    verify_settings,
)

_log = logging.getLogger(__name__)
SEAL_LIMIT = 4096
MAX_ASKED = 4096

Fetch = Callable[[GetSecretRequest], Awaitable[GetSecretResponse]]
"""Asks the server; raises CommanderError."""
Found = OpenRecord | Refused


@dataclass(frozen=True)
class Sealed:
    """A record as it came, with the folder key it should open with."""

    uid: str
    version: RecordVersion
    settings: SettingsVersion | None
    folder_key: bytes = field(repr=False)

    def newest_position(self) -> int:
        """The log position that is needed to judge its seals."""
        newest = read_record_seal(self.version.seal).log_seq
        if self.settings is not None:
            newest = max(newest, read_settings_seal(self.settings.seal).log_seq)
        return newest


def take_apart(answer: GetSecretResponse, app_key: bytes) -> dict[str, Sealed | Refused]:
    """Sort an answer by record; what can't be read becomes the refusal it will be. Pure."""
    found: dict[str, Sealed | Refused] = {}
    for folder in answer.folders or ():
        try:
            folder_key = aead.open_sealed(app_key, folder.folder_key)
        except SealBroken:
            # An empty key opens nothing, so each record below gives its own refusal.
            folder_key = b""
        for record in folder.records or ():
            try:
                found[record.record_uid] = _sealed(record, folder_key)
            except InvalidInput as error:
                found[record.record_uid] = Refused(error.message, code=Code.SEAL_BROKEN)
    return found


def _sealed(record: Record, folder_key: bytes) -> Sealed:
    seals = record.commander
    if seals is msgspec.UNSET:
        raise InvalidInput(f"the server gave no seal of record {record.record_uid}")
    write = None
    if seals.write is not msgspec.UNSET:
        write = decode(DeviceWrite, seals.write)
    version = RecordVersion(
        decode(Signed, seals.seal, limit=SEAL_LIMIT), record.record_key, record.data, write
    )
    settings = None
    if seals.settings is not None and seals.settings_seal is not None:
        signed = decode(Signed, seals.settings_seal, limit=SEAL_LIMIT)
        settings = SettingsVersion(signed, seals.settings)
    return Sealed(record.record_uid, version, settings, folder_key)


def open_sealed_record(state: State, sealed: Sealed, pin: RecordPin | None) -> OpenRecord:
    """Prove and open a record. Raises Refused with the code of what is wrong. Pure."""
    pinned = read_record_seal(pin.record) if pin else None
    pinned_hash = pin.record.digest() if pin else FIRST_PREVIOUS
    seal = verify_record(state, sealed.version, pinned=pinned, pinned_hash=pinned_hash)
    if seal.record != sealed.uid:
        raise Refused(f"record {seal.record} stands in for {sealed.uid}", code=Code.SEAL_BROKEN)
    if seal.deleted:
        raise _unknown(sealed.uid)
    _check_confirmed(state, sealed.version)
    record_key = open_record_key(sealed.folder_key, sealed.version, seal)
    data = open_payload(record_key, sealed.version, seal)
    if sealed.settings is None:
        if pin is not None and pin.settings is not None:
            raise Refused(
                f"the settings of record {sealed.uid} were there before", code=Code.SEAL_REVISION
            )
        return OpenRecord(seal, data, record_key, None, None)
    return _open_with_settings(
        state, sealed.settings, seal, OpenRecord(seal, data, record_key, None, None), pin
    )


def _check_confirmed(state: State, version: RecordVersion) -> None:
    """
    Refuse what a device wrote whose key nobody has confirmed.

    Its key is the server's word until then; a server could sign an old password as new with a key
    of its own, and there is no person here who would see it marked.
    """
    author = device_of(state, version)
    if author is not None and not author.is_confirmed:
        raise Refused(
            f"the newest revision is by client {author.client}, which nobody has confirmed",
            code=Code.SEAL_AUTHOR,
            hint="an administrator of the application runs: secrets-manager client confirm",
        )


def _open_with_settings(
    state: State,
    version: SettingsVersion,
    seal: RecordSeal,
    record: OpenRecord,
    pin: RecordPin | None,
) -> OpenRecord:
    before = pin.settings if pin else None
    settings_seal = verify_settings(
        state,
        version,
        record=seal,
        pinned=read_settings_seal(before) if before else None,
        pinned_hash=before.digest() if before else FIRST_PREVIOUS,
    )
    settings = open_settings(record.record_key, seal.record, version)
    return OpenRecord(seal, record.data, record.record_key, settings_seal, settings)


class RecordReader:
    """
    Reads records for commands and for the watch over live tunnels.

    `catch_up` brings the log to a position that a seal needs; it is called once at most per
    reading. Pins are kept in the order in which answers were judged. Readings at the same time
    are one question to the server, each sent after all of them had begun.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        client_id: bytes,
        app_key: bytes,
        pins: Pins,
        state: Callable[[], State],
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._fetch = fetch
        self._client_id = client_id
        self._app_key = app_key
        self._pins = pins
        self._state = state
        self._catch_up = catch_up
        self._links: dict[str, tuple[str, ...]] = {}
        self._questions = Questions(self._ask)

    async def read(self, uid: str) -> tuple[OpenRecord, dict[str, Found]]:
        """
        A record and everything its settings link to. Raises Refused.

        What it linked to last time is asked for in the same question.
        """
        found = await self.read_many((uid, *self._links.get(uid, ())))
        record = found[uid]
        if isinstance(record, Refused):
            raise record
        links = linked_uids(record)
        missing = [link for link in links if link not in found]
        if missing:
            found |= await self.read_many(missing)
        self._remember_links(uid, links)
        return record, {link: found[link] for link in links}

    async def read_many(self, uids: Sequence[str]) -> dict[str, Found]:
        """
        Every asked record, or why it may not be used (record-unknown when the server has none).

        Raises Refused(records-unavailable) when the server can't be asked.
        """
        asked = tuple(dict.fromkeys(uid for uid in uids if is_uid(uid)))[:MAX_ASKED]
        found = await self._answers(asked) if asked else {}
        # Another question may have seen and pinned a newer revision while this one was on its
        # way; asked again, an honest server gives that one.
        stale = tuple(uid for uid, one in found.items() if _code_of(one) == Code.SEAL_REVISION)
        if stale:
            found |= await self._answers(stale)
        return found | {uid: _unknown(uid) for uid in uids if uid not in found}

    async def _answers(self, asked: tuple[str, ...]) -> dict[str, Found]:
        found = await self._questions.ask(asked)
        return {uid: found[uid] for uid in asked}

    async def _ask(self, asked: tuple[str, ...]) -> dict[str, Found]:
        request = GetSecretRequest(client_id=self._client_id, records=asked, seals=True)
        try:
            answer = await self._fetch(request)
        except CommanderError as error:
            raise Refused(
                f"the gateway could not read the record: {error.message}",
                code=Code.RECORDS_UNAVAILABLE,
            ) from error
        sealed = take_apart(answer, self._app_key)
        if any(_needs(part) > self._state().seq for part in sealed.values()):
            await self._catch_up()
        found = {uid: self._judge(sealed.get(uid) or _unknown(uid)) for uid in asked}
        await self._save_pins()
        return found

    async def _save_pins(self) -> None:
        try:
            await self._pins.save()
        except CommanderError as error:
            # What is not remembered could be rolled back unnoticed after a restart.
            _log.error("%s", error)
            raise Refused(
                "the gateway cannot write its disk", code=Code.STORE_UNAVAILABLE
            ) from error

    def _judge(self, sealed: Sealed | Refused) -> Found:
        if isinstance(sealed, Refused):
            return sealed
        try:
            record = open_sealed_record(self._state(), sealed, self._pins.record(sealed.uid))
        except Refused as error:
            _log.warning("record %s is not used: %s (%s)", sealed.uid, error.message, error.code)
            return error
        settings = sealed.settings.seal if sealed.settings else None
        try:
            self._pins.pin_record(sealed.uid, RecordPin(sealed.version.seal, settings))
        except InvalidInput as error:
            return Refused(error.message, code=Code.LIMIT_REACHED)
        return record

    def _remember_links(self, uid: str, links: tuple[str, ...]) -> None:
        if uid not in self._links and len(self._links) >= MAX_ASKED:
            self._links.pop(next(iter(self._links)))
        self._links[uid] = links


def _code_of(found: Found) -> str:
    return found.code if isinstance(found, Refused) else ""


def _needs(sealed: Sealed | Refused) -> int:
    try:
        return -1 if isinstance(sealed, Refused) else sealed.newest_position()
    except Refused:
        return -1


def _unknown(uid: str) -> Refused:
    return Refused(
        f"record {uid[:22]} is not of this gateway's application", code=Code.RECORD_UNKNOWN
    )
