"""
Is this command genuine, meant for me, and of now? The first half of verification; pure.

The checks come in the published order, and the first that fails ends it with its code:
size and schema, addressed to me, known action, device and its user at my head, signature, log
position, freshness, nonce. Rights, record, limits and target follow (`rights.py`, `records.py`).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from commander.authority.refusals import Code
from commander.authority.state import State
from commander.codec import decode
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import VerifyKey
from commander.errors import InvalidInput, Refused, SealBroken
from commander.gateway.limits import FUTURE_S, MAX_NONCES, NONCE_KEEP_S
from commander.ids import is_uid
from commander.tunnel.seal import MAX_GENERATION
from commander.wire.commands import (
    ATTACH_PATH,
    CHECK_TARGET,
    LIFETIME_S,
    PROBE_TUNNEL,
    START_TUNNEL,
    VERSION,
    Command,
    PathParameters,
    SignedCommand,
    TunnelParameters,
    open_command,
    verify_command,
)

MAX_HOST = 253
MAX_REASON = 512
HASH_BYTES = 32

Parameters = TunnelParameters | PathParameters
ACTIONS: dict[str, type[Parameters]] = {
    START_TUNNEL: TunnelParameters,
    ATTACH_PATH: PathParameters,
    CHECK_TARGET: TunnelParameters,
    PROBE_TUNNEL: TunnelParameters,
}
"""Every action that is known here, and what its parameters are."""


@dataclass(frozen=True)
class Opened:
    """A command that opened; nothing about it is believed yet."""

    command: Command
    signed: SignedCommand = field(repr=False)

    @property
    def secret(self) -> bytes:
        """The conversation secret, by which even a refusal is sealed."""
        return self.command.secret


@dataclass(frozen=True)
class Genuine:
    """A command whose device, signature, time and nonce are proved."""

    command: Command
    parameters: Parameters
    user: str


def open_sealed_command(
    data: bytes, key: BoxPrivateKey, *, gateway: str, conversation: str, sender: str
) -> Opened:
    """
    Open what the router delivered in the name of `sender`. Raises Refused(command-malformed).

    Its word on conversation and sender is part of what has to fit.
    """
    try:
        command, signed = open_command(
            data, key, uid=gateway, conversation=conversation, device=sender
        )
    except (SealBroken, InvalidInput):
        raise _refuse(
            Code.COMMAND_MALFORMED, "the command does not open or breaks its schema"
        ) from None
    return Opened(command, signed)


class NonceMemory:
    """
    Nonces of accepted commands, so that none counts twice.

    A nonce is forgotten two minutes after its command expired; from then on commands issued
    that early are refused whatever they carry, so a clock that is set back revives none.
    """

    def __init__(self) -> None:
        self._expiry: dict[bytes, tuple[int, int]] = {}
        self._forgotten_until = -1

    def take(self, nonce: bytes, *, issued_at: int, expires_at: int, now: float) -> None:
        """Use a nonce. Raises Refused(command-replayed, limit-reached)."""
        self._forget(now)
        if nonce in self._expiry or issued_at <= self._forgotten_until:
            raise _refuse(Code.COMMAND_REPLAYED, "the command was sent before")
        if len(self._expiry) >= MAX_NONCES:
            raise _refuse(Code.LIMIT_REACHED, "too many commands in two minutes")
        self._expiry[nonce] = (expires_at, issued_at)

    def _forget(self, now: float) -> None:
        while self._expiry:
            nonce, (expires_at, issued_at) = next(iter(self._expiry.items()))
            if now < expires_at + NONCE_KEEP_S:
                return
            self._forgotten_until = max(self._forgotten_until, issued_at)
            del self._expiry[nonce]


def check_command(
    opened: Opened,
    state: State,
    *,
    gateway: str,
    started_at: float,
    now: float,
    nonces: NonceMemory,
) -> Genuine:
    """
    Prove a command. Raises Refused with the published code of the first check that fails.

    After log-behind, or device-unknown with a position ahead of ours, fetch the log once and
    ask again: up to there nothing was remembered.
    """
    command = opened.command
    if command.gateway != gateway:
        raise _refuse(Code.COMMAND_NOT_FOR_ME, "the command names another gateway")
    if command.version != VERSION or command.action not in ACTIONS:
        raise _refuse(
            Code.COMMAND_UNKNOWN_ACTION, f"action {command.action[:40]!r} is not known here"
        )
    parameters = _read_parameters(command)
    user = _check_signer(opened, state)
    _check_position(command, state)
    _check_time(command, started_at=started_at, now=now)
    nonces.take(command.nonce, issued_at=command.issued_at, expires_at=command.expires_at, now=now)
    return Genuine(command, parameters, user)


def is_behind(error: Refused, opened: Opened, state: State) -> bool:
    """Tell whether fetching the log could change a refusal of `check_command`."""
    could = error.code in (Code.LOG_BEHIND, Code.DEVICE_UNKNOWN)
    return could and opened.command.log_seq > state.seq


def _refuse(code: Code, reason: str) -> Refused:
    return Refused(reason, code=code)


def _read_parameters(command: Command) -> Parameters:
    try:
        parameters = decode(ACTIONS[command.action], command.parameters)
    except InvalidInput:
        raise _refuse(Code.COMMAND_MALFORMED, "the parameters break their schema") from None
    if not (_is_in_range(command) and _is_sane(parameters, command)):
        raise _refuse(Code.COMMAND_MALFORMED, "a field of the command is out of range")
    return parameters


def _is_in_range(command: Command) -> bool:
    numbers = (
        command.record_revision, command.settings_revision, command.issued_at, command.expires_at,
        command.log_seq,
    )  # fmt: skip
    return (
        is_uid(command.record)
        and min(numbers) >= 0
        and max(numbers) < 2**53
        and len(command.log_hash) == HASH_BYTES
    )


def _is_sane(parameters: Parameters, command: Command) -> bool:
    if isinstance(parameters, PathParameters):
        return (
            is_uid(parameters.tunnel)
            and 1 <= parameters.generation <= MAX_GENERATION
            and 0 <= parameters.group <= MAX_GENERATION
            # Its keys and its relay are of a conversation of their own.
            and parameters.tunnel != command.conversation
        )
    return (
        0 <= parameters.target_port <= 65535
        # Longer names are a matter of the target rule, which has a code of its own.
        and len(parameters.target_host) <= 4 * MAX_HOST
        and max(len(parameters.reason), len(parameters.ticket)) <= MAX_REASON
    )


def _check_signer(opened: Opened, state: State) -> str:
    uid = opened.command.device
    device = state.devices.get(uid)
    if device is None:
        if state.devices.known(uid):
            raise _refuse(Code.DEVICE_REVOKED, f"device {uid} was revoked")
        raise _refuse(Code.DEVICE_UNKNOWN, f"device {uid[:22]} is not certified")
    try:
        verify_command(opened.signed, VerifyKey(device.sign_key))
    except (SealBroken, InvalidInput):
        raise _refuse(
            Code.SIGNATURE_BROKEN, f"the signature of device {uid} does not verify"
        ) from None
    if state.users.get(device.user) is None:
        raise _refuse(Code.USER_REVOKED, f"user {device.user} was removed")
    return device.user


def _check_position(command: Command, state: State) -> None:
    if command.log_seq > state.seq:
        raise _refuse(
            Code.LOG_BEHIND, f"position {command.log_seq} is not reached, only {state.seq}"
        )
    if not hmac.compare_digest(state.digests[command.log_seq], command.log_hash):
        raise _refuse(Code.LOG_FORKED, f"the device saw another log at position {command.log_seq}")


def _check_time(command: Command, *, started_at: float, now: float) -> None:
    lifetime = command.expires_at - command.issued_at
    if (
        not 0 < lifetime <= LIFETIME_S
        or abs(now - command.issued_at) > FUTURE_S
        or now >= command.expires_at
    ):
        raise _refuse(
            Code.COMMAND_EXPIRED,
            f"issued at {command.issued_at}, valid for {lifetime} s, and it is {int(now)} here",
        )
    # Whole seconds against a fraction: what was issued in the second we started in may
    # have been used before we started.
    if command.issued_at <= started_at:
        raise _refuse(Code.COMMAND_BEFORE_START, "issued before the gateway started; sign it again")
