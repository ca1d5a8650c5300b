"""Reading the audit log page by page, and whose key signs what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from commander.audit.chain import Entry
from commander.crypto.signing import VerifyKey
from commander.errors import InvalidInput, Tampered
from commander.vault.session import Vault
from commander.wire.calls import AUDIT_READ, PAGE_EVENTS, AuditAnswer, AuditRead


@dataclass(frozen=True)
class StoredEntry:
    """An entry at its position in the server's store; None when it cannot be read."""

    position: int
    entry: Entry | None


@dataclass(frozen=True)
class LogFilter:
    """Which entries to read; empty text and 0 mean any; times in seconds."""

    since: int = 0
    until: int = 0
    producer: str = ""
    kind: str = ""
    user: str = ""
    record: str = ""


async def read_log(
    vault: Vault, wanted: LogFilter | None = None
) -> AsyncIterator[list[StoredEntry]]:
    """
    Pages of entries in stored order; signatures are not checked.

    Raises Tampered for an answer of another server than the pinned one, or one that goes round
    in circles, Refused for a user who is no administrator.
    """
    chosen, after, more = wanted or LogFilter(), 0, True
    while more:
        request = AuditRead(
            after, chosen.since, chosen.until, chosen.producer, chosen.kind, chosen.user,
            chosen.record, PAGE_EVENTS,
        )  # fmt: skip
        answer = await vault.remote.call(AUDIT_READ, request)
        _check_server(vault, answer)
        page = [StoredEntry(position, _parse(raw)) for position, raw in answer.events]
        for stored in page:
            if stored.position <= after:
                raise Tampered(f"the server gave audit position {stored.position} after {after}")
            after = stored.position
        if answer.more and not page:
            raise Tampered("the server says that there are more audit events and gives none")
        more = answer.more
        yield page


def _check_server(vault: Vault, answer: AuditAnswer) -> None:
    pinned = vault.login.device.server
    if (answer.server, answer.server_key) != (pinned.server, pinned.sign_key):
        raise Tampered(
            "the audit log names another server key than the pinned one",
            hint="do not use this server; tell an administrator",
        )


def _parse(raw: bytes) -> Entry | None:
    try:
        return Entry.parse(raw)
    except InvalidInput:
        return None


def producer_key(vault: Vault, producer: str) -> VerifyKey | None:
    """The key of the server, a gateway or a device, also of a revoked one; None for a stranger."""
    pinned = vault.login.device.server
    if producer == pinned.server:
        return VerifyKey(pinned.sign_key)
    known = vault.state.gateways.latest(producer) or vault.state.devices.latest(producer)
    return VerifyKey(known.sign_key) if known else None


def producer_name(vault: Vault, producer: str, gateways: dict[str, str]) -> str:
    """What people call a producer; `gateways` are names by UID."""
    if producer == vault.login.device.server.server:
        return "server"
    if vault.state.gateways.latest(producer) is not None:
        return f"gateway {gateways.get(producer) or producer}"
    device = vault.state.devices.latest(producer)
    return f"device {device.name}" if device else producer
