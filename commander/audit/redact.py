"""
Events for readers: each value as far as the reader may see it, one event one line.

Secret values are never shown. Where values must be compared without being shown (which
events have the same address?), a key of the enterprise turns them into short codes.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import msgspec

from commander.audit.chain import Entry
from commander.audit.classes import Sensitivity, classify
from commander.audit.events import KINDS, Event
from commander.crypto import kdf
from commander.errors import InvalidInput

HIDDEN = {Sensitivity.SENSITIVE: "<sensitive>", Sensitivity.SECRET: "<secret>"}
_CODE_BYTES = 12
_CLASSES = {kind: classify(kind) for kind in KINDS.values()}


def redact(
    event: Event, *, show: Sensitivity = Sensitivity.PUBLIC, matching_key: bytes | None = None
) -> dict[str, object]:
    """
    The fields of an event as plain data, with what is above `show` hidden.

    With a `matching_key` (32 bytes, one per enterprise) hidden sensitive values become codes
    that are equal where the values are. Secret values stay hidden even if `show` names them.
    """
    classes = _CLASSES.get(type(event)) or classify(type(event))
    return {
        name: _shown(name, value, classes[name], show, matching_key)
        for name, value in msgspec.structs.asdict(event).items()
    }


def _shown(
    name: str, value: object, mark: Sensitivity, show: Sensitivity, matching_key: bytes | None
) -> object:
    if mark is Sensitivity.SECRET:
        return HIDDEN[mark]
    if mark > show and value not in ("", b""):
        return HIDDEN[mark] if matching_key is None else _code(matching_key, name, value)
    return value.hex() if isinstance(value, bytes) else value


def _code(key: bytes, name: str, value: object) -> str:
    tag = kdf.mac(key, "audit-match", name, repr(value))
    return "hmac:" + base64.urlsafe_b64encode(tag[:_CODE_BYTES]).decode()


def describe(
    entry: Entry, *, show: Sensitivity = Sensitivity.PUBLIC, matching_key: bytes | None = None
) -> dict[str, object]:
    """An entry as plain data; an event of an unknown kind is shown without its fields."""
    shown: dict[str, object] = {
        "producer": entry.producer,
        "sequence": entry.sequence,
        "time": _iso_utc(entry.time_ms),
        "kind": entry.kind,
    }
    try:
        return shown | redact(entry.event(), show=show, matching_key=matching_key)
    except InvalidInput:
        return shown | {"unreadable": f"{len(entry.body)} bytes"}


def line(
    entry: Entry, *, show: Sensitivity = Sensitivity.PUBLIC, matching_key: bytes | None = None
) -> str:
    """One line of ASCII JSON, whatever a value holds: no line break or escape gets through."""
    return json.dumps(describe(entry, show=show, matching_key=matching_key), ensure_ascii=True)


def _iso_utc(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
