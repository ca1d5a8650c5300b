"""
How a login outlives its process, so that one-shot commands work after one `login`.

    <runtime>/unlock.json   random unlock key, when it was last used; gone at reboot
    <home>/session.bin      AES-256-GCM(unlock key, session, DK, wrapped identity)

Either file alone opens nothing. After `idle_s` without a command the login is locked and both
files are removed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import msgspec

from commander.clock import Clock, iso_utc
from commander.codec import Message, decode, encode
from commander.config.paths import Paths
from commander.crypto import aead
from commander.crypto.encoding import encode as canonical
from commander.errors import CommanderError, InvalidInput, NotLoggedIn, SealBroken
from commander.files import make_private_directory, read_private, write_private
from commander.vault.accounts import Identity, unwrap_identity, wrap_identity
from commander.vault.device import DeviceFile, read_device

_log = logging.getLogger(__name__)
VERSION = 1
LIMIT = 64 * 1024
# A login used less than this ago is not written again, to spare the disk.
TOUCH_S = 20
# How far a clock may have gone back before a login no longer counts as used just now.
CLOCK_SLACK_S = 120


class _UnlockFile(Message, frozen=True):
    version: int
    key: bytes
    used: int


class _KeptSession(Message, frozen=True):
    session: str
    expires: int
    data_key: bytes
    identity: bytes


@dataclass(frozen=True)
class Unlocked:
    """A login in memory: what the vault and the client of the server are made of."""

    device: DeviceFile
    session: str
    expires: int
    data_key: bytes = field(repr=False)
    identity: Identity = field(repr=False)


def keep_login(paths: Paths, login: Unlocked, clock: Clock) -> None:
    """Write both files."""
    device = login.device
    identity = wrap_identity(login.data_key, login.identity, user=device.user, email=device.email)
    kept = _KeptSession(login.session, login.expires, login.data_key, identity)
    key = aead.new_key()
    make_private_directory(paths.home)
    make_private_directory(paths.runtime)
    write_private(
        paths.session_file, aead.seal(key, encode(kept), canonical("kept-session", device.device))
    )
    _write_unlock(paths, _UnlockFile(VERSION, key, int(clock.now())))


def resume_login(paths: Paths, clock: Clock) -> Unlocked:
    """
    Go on with a kept login and note that it was used.

    Raises NotLoggedIn when there is none, it was idle too long or the session has ended.
    """
    device = read_device(paths.device_file)
    try:
        unlock = _read_unlock(paths)
        sealed = read_private(paths.session_file, limit=LIMIT)
        raw = aead.open_sealed(unlock.key, sealed, canonical("kept-session", device.device))
        kept = decode(_KeptSession, raw, limit=LIMIT)
    except FileNotFoundError:
        raise _locked("not logged in") from None
    except (SealBroken, InvalidInput):
        forget_login(paths)
        raise _locked("the kept login cannot be read") from None
    if clock.now() >= kept.expires:
        forget_login(paths)
        raise _locked("the session has ended")
    _check_idle(paths, device, unlock, clock.now())
    _touch(paths, unlock, clock)
    identity = unwrap_identity(kept.data_key, kept.identity, user=device.user, email=device.email)
    return Unlocked(device, kept.session, kept.expires, kept.data_key, identity)


def check_login(paths: Paths, clock: Clock) -> None:
    """
    Note that a session that lasts is used once more.

    Raises NotLoggedIn when it was idle too long, or was locked or ended by another process.
    """
    device = read_device(paths.device_file)
    try:
        unlock = _read_unlock(paths)
    except FileNotFoundError:
        raise _locked("the vault was locked meanwhile") from None
    except InvalidInput:
        forget_login(paths)
        raise _locked("the kept login cannot be read") from None
    _check_idle(paths, device, unlock, clock.now())
    _touch(paths, unlock, clock)


def _touch(paths: Paths, unlock: _UnlockFile, clock: Clock) -> None:
    if clock.now() - unlock.used <= TOUCH_S:
        return
    try:
        _write_unlock(paths, _UnlockFile(VERSION, unlock.key, int(clock.now())))
    except CommanderError as error:
        # A full disk locks this login earlier than it should; it stops no command.
        _log.warning("that this login is used could not be noted: %s", error)


def forget_login(paths: Paths) -> None:
    """Lock: remove both files; idempotent."""
    paths.unlock_file.unlink(missing_ok=True)
    paths.session_file.unlink(missing_ok=True)


def _check_idle(paths: Paths, device: DeviceFile, unlock: _UnlockFile, now: float) -> None:
    idle = now - unlock.used
    if idle < -CLOCK_SLACK_S:
        forget_login(paths)
        raise _locked(
            f"locked: the clock of this machine went back, from {iso_utc(unlock.used)}, when the "
            f"login was last used, to {iso_utc(now)}"
        )
    if idle > device.idle_s:
        forget_login(paths)
        raise _locked(f"locked after {device.idle_s // 60} minutes without a command")


def _read_unlock(paths: Paths) -> _UnlockFile:
    try:
        found = msgspec.json.decode(read_private(paths.unlock_file, limit=LIMIT), type=_UnlockFile)
    except (msgspec.MsgspecError, ValueError):
        raise InvalidInput(f"{paths.unlock_file} is damaged") from None
    if found.version != VERSION or len(found.key) != aead.KEY_BYTES:
        raise InvalidInput(f"{paths.unlock_file} is of another version")
    return found


def _write_unlock(paths: Paths, unlock: _UnlockFile) -> None:
    write_private(paths.unlock_file, msgspec.json.encode(unlock))


def _locked(reason: str) -> NotLoggedIn:
    return NotLoggedIn(reason, hint="log in: commander login")
