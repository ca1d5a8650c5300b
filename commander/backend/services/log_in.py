"""`login/challenge` and `login`: a signature of the password's key over a fresh challenge."""

from __future__ import annotations

import binascii
import hmac
import secrets
from dataclasses import dataclass

from commander.audit.events import LoginFailed, LoginSucceeded, clip
from commander.authority.email import normal_email
from commander.authority.refusals import Code
from commander.backend.core import Caller, Core
from commander.backend.limits import CHALLENGE_S, source_of
from commander.backend.services import sessions
from commander.backend.storage import accounts
from commander.backend.storage.accounts import Account
from commander.crypto.box import BoxPublicKey
from commander.crypto.encoding import from_base64url, to_base64url
from commander.crypto.kdf import derive, mac
from commander.crypto.signing import SigningKey, VerifyKey
from commander.errors import InvalidInput, Refused, SealBroken
from commander.ids import encode_uid, is_uid
from commander.wire.calls import ChallengeAnswer, ChallengeRequest, LoginAnswer, LoginRequest
from commander.wire.proofs import verify_login, verify_login_device

_ID_BYTES = 16
_TIME_BYTES = 8
_MAC_BYTES = 32
_LOGIN_BYTES = _ID_BYTES + _TIME_BYTES + _MAC_BYTES
# Stands in for the key of an account that does not exist, so that both take as long.
_NOBODY = SigningKey.generate().public


@dataclass(frozen=True)
class _Attempt:
    """A login whose challenge is good; `key` is whose failures are counted."""

    request: LoginRequest
    challenge: bytes
    account: Account | None
    key: str
    device_known: bool


async def challenge(core: Core, caller: Caller, request: ChallengeRequest) -> ChallengeAnswer:
    """
    A challenge for an e-mail, whether there is such an account or not.

    Nothing is stored: the login's name carries its own end and a MAC.
    """
    email = _normal(request.email)
    end = core.now() + CHALLENGE_S
    bare = secrets.token_bytes(_ID_BYTES) + end.to_bytes(_TIME_BYTES, "big")
    login = bare + mac(core.challenge_key, "login-name", bare, email)
    return ChallengeAnswer(to_base64url(login), _challenge_of(core, login))


async def log_in(core: Core, caller: Caller, request: LoginRequest) -> LoginAnswer:
    """
    Check both signatures over the challenge, and begin a session.

    Raises Refused (login-failed, login-delayed, device-revoked), always in the same form for
    accounts that exist and those that do not.
    """
    core.guards.logins.check(source_of(caller.address), core.clock.now())
    challenge_bytes = _open_challenge(core, request)
    _check_form(request)
    attempt = await _attempt(core, request, challenge_bytes)
    try:
        return await _judge(core, caller, attempt)
    except Refused as error:
        await core.note(
            LoginFailed(
                error.code,
                attempt.account.user if attempt.account else "",
                request.device,
                clip(request.email),
                caller.address,
            )
        )
        raise


def _normal(email: str) -> str:
    try:
        return normal_email(email)
    except InvalidInput as error:
        raise Refused(error.message, code=Code.REQUEST_MALFORMED) from None


def _challenge_of(core: Core, login: bytes) -> bytes:
    return derive(core.challenge_key, "login-challenge", login)


def _open_challenge(core: Core, request: LoginRequest) -> bytes:
    """The challenge, used up by this. Raises Refused(login-failed) when it is not open."""
    try:
        login = from_base64url(request.login[:128])
    except (InvalidInput, binascii.Error):
        login = b""
    bare, tag = login[:-_MAC_BYTES], login[-_MAC_BYTES:]
    email = _normal(request.email)
    expected = mac(core.challenge_key, "login-name", bare, email)
    if len(login) != _LOGIN_BYTES or not hmac.compare_digest(tag, expected):
        raise _failed("the login was not begun here")
    end, now = int.from_bytes(bare[_ID_BYTES:], "big"), core.clock.now()
    if now >= end or not core.guards.challenges.use(login, now=now, until=end):
        raise _failed("the challenge is too old or was used")
    return _challenge_of(core, login)


def _failed(reason: str) -> Refused:
    return Refused(reason, code=Code.LOGIN_FAILED, hint="log in again")


def _check_form(request: LoginRequest) -> None:
    try:
        BoxPublicKey(request.device_box_key)
        VerifyKey(request.device_sign_key)
    except (InvalidInput, ValueError):
        raise Refused("the device's keys are malformed", code=Code.REQUEST_MALFORMED) from None
    if not is_uid(request.device) or not 16 <= len(request.nonce) <= 64:
        raise Refused("the login is malformed", code=Code.REQUEST_MALFORMED)


async def _attempt(core: Core, request: LoginRequest, challenge_bytes: bytes) -> _Attempt:
    email = _normal(request.email)
    async with core.database.reading() as connection:
        account = await accounts.by_email(connection, email)
    device = core.state.devices.get(request.device)
    is_known = (
        device is not None
        and account is not None
        and (device.user, device.sign_key) == (account.user, request.device_sign_key)
        and _device_signed(core, request, challenge_bytes)
    )
    key = f"device {request.device}" if is_known else f"account {email}"
    return _Attempt(request, challenge_bytes, account, key, is_known)


def _device_signed(core: Core, request: LoginRequest, challenge_bytes: bytes) -> bool:
    try:
        verify_login_device(request, challenge=challenge_bytes, server=core.identity.uid)
    except (SealBroken, InvalidInput):
        return False
    return True


async def _judge(core: Core, caller: Caller, attempt: _Attempt) -> LoginAnswer:
    delays, now = core.guards.delays, core.clock.monotonic()
    wait = delays.wait_s(attempt.key, now)
    if wait > 0:
        raise Refused(
            f"too many failed logins; wait {wait:.0f} s", code=Code.LOGIN_DELAYED, hint="wait"
        )
    try:
        account = _verify(core, attempt)
    except Refused:
        delays.failed(attempt.key, now)
        raise
    delays.succeeded(attempt.key)
    if core.state.devices.known(attempt.request.device) and not attempt.device_known:
        raise Refused(
            f"device {attempt.request.device} was revoked, or is another's",
            code=Code.DEVICE_REVOKED,
            hint="remove device.json to make this a new device",
        )
    return await _begin(core, caller, attempt, account)


def _verify(core: Core, attempt: _Attempt) -> Account:
    account = attempt.account
    key = VerifyKey(account.login_key) if account else _NOBODY
    try:
        verify_login(
            attempt.request, challenge=attempt.challenge, server=core.identity.uid, login=key
        )
    except (SealBroken, InvalidInput):
        account = None
    if account is None or core.state.users.get(account.user) is None:
        raise Refused(
            "e-mail, password or account secret is wrong", code=Code.LOGIN_FAILED, hint="try again"
        )
    return account


async def _begin(core: Core, caller: Caller, attempt: _Attempt, account: Account) -> LoginAnswer:
    request = attempt.request
    async with core.database.transaction() as transaction:
        connection = transaction.connection
        name, expires = await sessions.begin(
            core,
            connection,
            user=account.user,
            device=request.device,
            device_key=request.device_sign_key,
        )
        shown = encode_uid(sessions.digest_of(name)[:16])
        await core.record(
            connection, LoginSucceeded(account.user, request.device, shown, caller.address)
        )
    return LoginAnswer(
        name,
        account.user,
        expires,
        account.wrapped_data_key,
        account.wrapped_identity,
        attempt.device_known,
    )
