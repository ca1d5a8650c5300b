"""Sessions of devices: begun by set-up, acceptance and login; ended by time, logout or revocation."""

from __future__ import annotations

import secrets
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from commander.authority.refusals import Code
from commander.authority.state import State
from commander.backend.core import Caller, Core
from commander.backend.limits import SESSION_IDLE_S, SESSION_LIFE_S
from commander.backend.storage import accounts
from commander.backend.storage.accounts import SessionRow
from commander.crypto.encoding import to_base64url
from commander.crypto.kdf import sha256
from commander.errors import Refused
from commander.wire.calls import Empty, SessionState

NAME_BYTES = 32
# How exact the stored time of last use is: a write for every request would cost too much.
_TOUCH_S = 60


async def begin(
    core: Core, connection: AsyncConnection, *, user: str, device: str, device_key: bytes
) -> tuple[str, int]:
    """Store a new session; returns its secret name and its end."""
    name, now = to_base64url(secrets.token_bytes(NAME_BYTES)), core.now()
    row = SessionRow(digest_of(name), user, device, device_key, now, now)
    await accounts.end_old_sessions(
        connection, created_before=now - SESSION_LIFE_S, used_before=now - SESSION_IDLE_S
    )
    await accounts.add_session(connection, row)
    return name, now + SESSION_LIFE_S


def digest_of(name: str) -> bytes:
    """What is stored of a session's name."""
    return sha256(name.encode())


async def find(core: Core, name: str, device: str) -> SessionRow:
    """
    The living session of a device; noted as used.

    Raises Refused (session-unknown, session-expired).
    """
    row = await _read(core, digest_of(name))
    if row is None or row.device != device:
        raise Refused("no such session", code=Code.SESSION_UNKNOWN, hint="log in")
    now = core.now()
    if now >= row.created + SESSION_LIFE_S or now >= row.last_used + SESSION_IDLE_S:
        raise Refused("the session ended", code=Code.SESSION_EXPIRED, hint="log in")
    if now - row.last_used >= _TOUCH_S:
        row = await _touch(core, row, now)
    return row


async def _read(core: Core, digest: bytes) -> SessionRow | None:
    row, ends = core.sessions.get(digest), core.sessions.ends
    if row is None:
        async with core.database.reading() as connection:
            row = await accounts.session(connection, digest)
        if row is not None:
            core.sessions.keep(row, ends=ends)
    return row


async def _touch(core: Core, row: SessionRow, now: int) -> SessionRow:
    touched, ends = replace(row, last_used=now), core.sessions.ends
    try:
        async with core.database.transaction(aside=True) as transaction:
            await accounts.touch_session(transaction.connection, row.digest, now=now)
            transaction.on_commit(lambda: core.sessions.keep(touched, ends=ends))
    except Refused:
        return row  # a full disk must not keep people from reading
    return touched


async def still_there(connection: AsyncConnection, caller: Caller) -> None:
    """
    Raise Refused(session-unknown) when the session was ended since the request came in.

    Asked inside a write's transaction: nothing is written after a logout was answered.
    """
    if await accounts.session(connection, caller.session) is None:
        raise Refused("the session was ended", code=Code.SESSION_UNKNOWN, hint="log in")


def check_device(state: State, row: SessionRow) -> None:
    """
    Raise Refused unless the session's device may still act for its user.

    A device that is not certified yet may: its first commit certifies it.
    """
    if state.users.get(row.user) is None:
        raise Refused(f"user {row.user} was removed", code=Code.USER_REVOKED)
    device = state.devices.get(row.device)
    if device is None and state.devices.known(row.device):
        raise Refused(f"device {row.device} was revoked", code=Code.DEVICE_REVOKED)
    if device is not None and (device.user, device.sign_key) != (row.user, row.device_key):
        raise Refused(f"device {row.device} is another's", code=Code.DEVICE_UNKNOWN)


async def show(core: Core, caller: Caller, request: Empty) -> SessionState:
    """Say who the session is for."""
    row = await _read(core, caller.session)
    if row is None:
        raise Refused("the session was ended", code=Code.SESSION_UNKNOWN, hint="log in")
    return SessionState(row.user, row.device, row.created + SESSION_LIFE_S, SESSION_IDLE_S)


async def log_out(core: Core, caller: Caller, request: Empty) -> Empty:
    """End the caller's session; no later request of it succeeds."""
    async with core.database.transaction() as transaction:
        await accounts.end_session(transaction.connection, caller.session)
        transaction.on_commit(lambda: core.sessions.drop(caller.session))
    return Empty()
