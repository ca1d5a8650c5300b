"""One line about a record, without secrets; pure."""

from __future__ import annotations

from commander.errors import InvalidInput
from commander.wire.records import RecordData


def describe(data: RecordData) -> str:
    """Login and target, as far as there are any: `app @ db.example:5432`."""
    login = data.text("login")
    target = target_of(data) or data.text("url") or data.text("rbiUrl")
    return " @ ".join(part for part in (login, target) if part)


def target_of(data: RecordData) -> str:
    """`host:port` of a resource, or ""."""
    try:
        host, port = data.host_and_port()
    except InvalidInput:
        return "(not valid)"
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port else shown
