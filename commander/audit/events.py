"""
What is written to the audit log: one frozen type per kind of event, one form in bytes.

Times and producers stand in the entry around an event (chain.py). Events name objects by
UID, never by title; texts that a stranger chooses (a program's name, an address, a reason)
go through `clip`. A kind is never changed or reused; a new field means a new kind.
"""

from __future__ import annotations

from typing import Any

import msgspec

from commander import codec
from commander.audit.classes import (
    MAX_TEXT,
    PublicCount,
    PublicHash,
    PublicText,
    PublicUid,
    SealedText,
    SensitiveCount,
    SensitiveText,
)
from commander.errors import InvalidInput

MAX_EVENT_BYTES = 8 * 1024


class Event(codec.Message, frozen=True):
    """Base of all events. Empty text, 0 or empty bytes mean that the value is not known."""


class CommandRefused(Event, frozen=True):
    """A gateway or the server refused a command; `code` is of the published table."""

    code: PublicText
    action: PublicText
    conversation: PublicUid
    user: PublicUid
    device: PublicUid
    gateway: PublicUid
    record: PublicUid
    reason: SensitiveText


class TunnelIntent(Event, frozen=True):
    """A tunnel is about to open; durable before the first byte goes to the target."""

    conversation: PublicUid
    user: PublicUid
    device: PublicUid
    gateway: PublicUid
    record: PublicUid
    configuration: PublicUid
    log_seq: PublicCount
    target_host: SensitiveText
    target_port: SensitiveCount


class TunnelReason(Event, frozen=True):
    """Why a user wanted a tunnel, as typed: before the intent of its conversation; sealed values."""

    conversation: PublicUid
    user: PublicUid
    device: PublicUid
    record: PublicUid
    reason: SealedText
    ticket: SealedText


class TunnelOutcome(Event, frozen=True):
    """
    A tunnel ended. `path` is what carried it last, `programs` are those that used it where
    known; `code` "unknown" is what recovery writes for an intent that has no outcome.
    """

    conversation: PublicUid
    user: PublicUid
    record: PublicUid
    code: PublicText
    path: PublicText
    duration_ms: PublicCount
    bytes_to_target: PublicCount
    bytes_from_target: PublicCount
    streams: PublicCount
    streams_refused: PublicCount
    programs: SensitiveText
    reason: SensitiveText


class PathAttached(Event, frozen=True):
    """
    A further path carries a live tunnel: every right was asked for again. `attempt` is the
    conversation of the command that asked for it, `conversation` the tunnel's.
    """

    conversation: PublicUid
    attempt: PublicUid
    user: PublicUid
    device: PublicUid
    gateway: PublicUid
    record: PublicUid
    path: PublicText
    generation: PublicCount
    log_seq: PublicCount


class TunnelPaths(Event, frozen=True):
    """
    Beside the outcome of a tunnel that was without any path for a while: the kinds that it had,
    `interrupted_ms` is the time without any until a resume, `reason` why it was lost last.
    """

    conversation: PublicUid
    user: PublicUid
    record: PublicUid
    paths: PublicText
    links: PublicCount
    interruptions: PublicCount
    resumes: PublicCount
    interrupted_ms: PublicCount
    reason: SensitiveText


class TargetCheck(Event, frozen=True):
    """A gateway is about to connect a record's target once, for a diagnosis; no byte is sent to it."""

    conversation: PublicUid
    user: PublicUid
    device: PublicUid
    gateway: PublicUid
    record: PublicUid
    configuration: PublicUid
    log_seq: PublicCount
    target_host: SensitiveText
    target_port: SensitiveCount


class StreamRefused(Event, frozen=True):
    """
    Connections to a tunnel's local port were refused, as when they came from another `os_user` of
    the client's machine; `stream` is how many, by the client's word.
    """

    conversation: PublicUid
    stream: PublicCount
    record: PublicUid
    code: PublicText
    os_user: SensitiveText
    program: SensitiveText


class Enrolled(Event, frozen=True):
    """A gateway, application client, user or device was enrolled (`what` names which)."""

    what: PublicText
    subject: PublicUid
    application: PublicUid
    voucher: PublicUid
    user: PublicUid
    address: SensitiveText


class TokenRefused(Event, frozen=True):
    """A one-time token or invitation was refused: unknown, expired, used, of another address."""

    code: PublicText
    what: PublicText
    token_fingerprint: PublicHash
    application: PublicUid
    address: SensitiveText


class SetupConsumed(Event, frozen=True):
    """The set-up join string was used, or used again (`code` says so when it was refused)."""

    code: PublicText
    user: PublicUid
    device: PublicUid
    root_fingerprint: PublicHash
    address: SensitiveText


class LoginSucceeded(Event, frozen=True):
    """A session was opened."""

    user: PublicUid
    device: PublicUid
    session: PublicUid
    address: SensitiveText


class LoginFailed(Event, frozen=True):
    """A login was refused; `account` is what was typed, so it may be anything."""

    code: PublicText
    user: PublicUid
    device: PublicUid
    account: SensitiveText
    address: SensitiveText


class DeviceWrote(Event, frozen=True):
    """A Secrets Manager device of an application changed something; `what` is the endpoint."""

    what: PublicText
    client: PublicUid
    application: PublicUid
    record: PublicUid
    address: SensitiveText


class LogHeadChanged(Event, frozen=True):
    """The producer now follows another head of the authority log."""

    seq: PublicCount
    head: PublicHash
    tunnels_checked: PublicCount
    tunnels_killed: PublicCount


class TunnelKilled(Event, frozen=True):
    """A live tunnel was ended by policy; `code` says by which refusal."""

    conversation: PublicUid
    user: PublicUid
    record: PublicUid
    code: PublicText
    log_seq: PublicCount
    reason: SensitiveText


KINDS: dict[str, type[Event]] = {
    "command-refused": CommandRefused,
    "tunnel-intent": TunnelIntent,
    "tunnel-reason": TunnelReason,
    "tunnel-outcome": TunnelOutcome,
    "path-attached": PathAttached,
    "tunnel-paths": TunnelPaths,
    "target-check": TargetCheck,
    "stream-refused": StreamRefused,
    "enrolled": Enrolled,
    "token-refused": TokenRefused,
    "setup-consumed": SetupConsumed,
    "device-wrote": DeviceWrote,
    "login-succeeded": LoginSucceeded,
    "login-failed": LoginFailed,
    "log-head-changed": LogHeadChanged,
    "tunnel-killed": TunnelKilled,
}
_NAMES = {kind: name for name, kind in KINDS.items()}


def kind_of(event: Event) -> str:
    """The name under which an event is stored and searched."""
    return _NAMES[type(event)]


def encode_event(event: Event) -> bytes:
    """
    Write an event in its only form.

    Raises InvalidInput when a value is over its limit: what readers would refuse is
    never written. `clip` texts from outside first.
    """
    data = codec.encode(event)
    codec.decode(type(event), data, limit=MAX_EVENT_BYTES)
    return data


def decode_event(kind: str, data: bytes) -> Event:
    """Read an event. Raises InvalidInput, also for a kind this version does not know."""
    known = KINDS.get(kind)
    if known is None:
        raise InvalidInput(f"audit event kind {kind[:40]!r} is unknown", hint="update commander")
    return codec.decode(known, data, limit=MAX_EVENT_BYTES)


def clip(text: str, limit: int = MAX_TEXT) -> str:
    """Make any text fit into an event: cut it, and show what is not printable as U+FFFD."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:limit])


def subject_of(event: Event) -> tuple[str, str]:
    """The user and the record an event is about ("" for none), for indexes and filters."""
    fields: dict[str, Any] = msgspec.structs.asdict(event)
    return fields.get("user", ""), fields.get("record", "")
