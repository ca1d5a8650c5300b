"""`audit-log`: events with the names of what they are about."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping

from commander.audit.chain import Entry
from commander.audit.classes import Sensitivity
from commander.audit.events import KINDS
from commander.audit.redact import describe
from commander.audit.sealed import PREFIX as SEALED
from commander.audit.sealed import open_value
from commander.authority.decide import Action
from commander.clock import parse_iso
from commander.errors import NotFound, SealBroken, Tampered, UsageError
from commander.ids import is_uid
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Plain, Table
from commander.vault.session import Vault
from plugins.audit.reading import (
    LogFilter,
    StoredEntry,
    producer_key,
    producer_name,
    read_log,
)
from plugins.pam.gateway.known import find_gateway, list_gateways

MAX_LIMIT = 100_000
_AGO = re.compile(r"([0-9]{1,6})([mhdw])\Z", re.ASCII)
_AGO_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_COLUMNS = (
    Column("time"),
    Column("event"),
    Column("user"),
    Column("record"),
    Column("producer"),
    Column("details"),
    Column("user_uid", detail=True),
    Column("record_uid", detail=True),
    Column("producer_uid", detail=True),
    Column("sequence", detail=True),
    Column("position", detail=True),
    Column("signature", detail=True),
)
_SHOWN = ("producer", "sequence", "time", "kind", "user", "record")


async def audit_log(context: Context, arguments: Arguments) -> Table:
    """Read what fits the filters, page by page; keeps no more than --limit."""
    vault, limit = context.vault, arguments.integer("limit")
    if not 1 <= limit <= MAX_LIMIT:
        raise UsageError(f"--limit {limit} is not 1 to {MAX_LIMIT}")
    await vault.refresh()
    vault.require(Action.ADMINISTER)
    wanted = await _filter(context, arguments)
    kept: deque[StoredEntry] = deque(maxlen=limit)
    count = 0
    async for page in read_log(vault, wanted):
        kept.extend(page)
        count += len(page)
        context.console.progress(f"{count} events")
    if count > limit:
        context.console.notice(f"the newest {limit} of {count} events; --limit shows more")
    names = {gateway.uid: gateway.name for gateway in await list_gateways(context) if gateway.uid}
    return Table(_COLUMNS, [_row(vault, stored, names) for stored in kept], empty="No events.")


async def _filter(context: Context, arguments: Arguments) -> LogFilter:
    vault = context.vault
    since, until = (arguments.text_or_none(key) for key in ("since", "until"))
    record, producer = (arguments.text_or_none(key) for key in ("record", "producer"))
    user = arguments.text_or_none("user")
    return LogFilter(
        since=read_moment(since, vault.now) if since else 0,
        until=read_moment(until, vault.now) if until else 0,
        producer=await _producer(context, producer) if producer else "",
        kind=_kind(arguments.text_or_none("event") or ""),
        user=_user(vault, user) if user else "",
        record=_record(context, record) if record else "",
    )


def read_moment(text: str, now: float) -> int:
    """Seconds since 1970 of an ISO time, or of so long ago. Raises InvalidInput."""
    ago = _AGO.match(text)
    if ago is not None:
        return max(0, int(now) - int(ago[1]) * _AGO_SECONDS[ago[2]])
    return int(parse_iso(text))


def _kind(kind: str) -> str:
    if kind and kind not in KINDS:
        raise UsageError(f"{kind[:40]!r} is no kind of event", hint=f"one of {', '.join(KINDS)}")
    return kind


def _user(vault: Vault, text: str) -> str:
    # Events outlive accounts: the UID of one that was ended is looked for as it is.
    if is_uid(text) and vault.state.users.known(text):
        return text
    return vault.people.find_user(text).user


def _record(context: Context, text: str) -> str:
    try:
        return context.vault.find_record(text, base=context.location.folder).uid
    except NotFound:
        if is_uid(text):
            return text
        raise


async def _producer(context: Context, text: str) -> str:
    vault = context.vault
    if text == "server":
        return vault.login.device.server.server
    if is_uid(text):
        return text
    found = await find_gateway(context, text)
    if not found.uid:
        raise NotFound(f"gateway {found.name!r} has not been started yet and wrote nothing")
    return found.uid


def _row(vault: Vault, stored: StoredEntry, gateways: dict[str, str]) -> dict[str, Plain]:
    entry = stored.entry
    if entry is None:
        raise Tampered(
            f"the audit event at position {stored.position} cannot be read",
            hint="audit verify tells what is wrong with the log",
        )
    values = describe(entry, show=Sensitivity.SENSITIVE)
    user, record = str(values.get("user", "")), str(values.get("record", ""))
    known_user, known_record = vault.state.users.latest(user), vault.view.records.get(record)
    return {
        "time": str(values["time"]),
        "event": entry.kind,
        "user": known_user.email if known_user else "",
        "record": known_record.data.title if known_record else "",
        "producer": producer_name(vault, entry.producer, gateways),
        "details": _details(values, known_record.key if known_record else b""),
        "user_uid": user,
        "record_uid": record,
        "producer_uid": entry.producer,
        "sequence": entry.sequence,
        "position": stored.position,
        "signature": _signature(vault, entry),
    }


def _details(values: Mapping[str, object], record_key: bytes) -> dict[str, Plain]:
    shown: dict[str, Plain] = {}
    for name, value in values.items():
        if name in _SHOWN or value in ("", 0):
            continue
        text = value if isinstance(value, int | str) else str(value)
        if isinstance(text, str) and text.startswith(SEALED):
            text = _opened(text, str(values.get("conversation", "")), record_key)
        shown[name] = text
    return shown


def _opened(value: str, conversation: str, record_key: bytes) -> str:
    """A value that who may read the record may read; others see that there is one."""
    try:
        return open_value(record_key, conversation, value) if record_key else "(sealed)"
    except SealBroken:
        return "(does not open)"


def _signature(vault: Vault, entry: Entry) -> str:
    key = producer_key(vault, entry.producer)
    if key is None:
        return "unknown"
    try:
        entry.verify(key)
    except SealBroken:
        return "forged"
    return "valid"
