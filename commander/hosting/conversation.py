"""
Asking a gateway for a tunnel: sign, seal, send, and open the reply. The client's side of `wire.commands`.

Nothing here trusts the router: a reply counts when the gateway signed it over this command and,
to accept, sealed it under this conversation's secret.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from commander.api.socket import Conversation, RouterSocket
from commander.authority.refusals import EXPLANATIONS, Code
from commander.clock import Clock
from commander.codec import Message, decode, encode
from commander.crypto.box import BoxPublicKey
from commander.crypto.signing import SigningKey, VerifyKey
from commander.errors import (
    CommanderError,
    InvalidInput,
    Refused,
    SealBroken,
    Tampered,
    TimedOut,
    Unreachable,
)
from commander.hosting.ends import explain_end
from commander.ids import new_uid
from commander.tunnel.codes import Role
from commander.tunnel.keys import ConversationKeys
from commander.tunnel.path import KIND_DIRECT, KIND_RELAY, KIND_TURN, KIND_WEBRTC
from commander.wire.commands import (
    ATTACH_PATH,
    COMMAND_LIMIT,
    LIFETIME_S,
    NONCE_BYTES,
    SECRET_BYTES,
    START_TUNNEL,
    VERSION,
    Command,
    Deliver,
    Offer,
    OfferAnswer,
    PathParameters,
    Reply,
    TunnelParameters,
    open_reply,
    seal_command,
)

# The gateway could not judge the command yet; signed anew it can.
_ONCE_MORE = {Code.COMMAND_BEFORE_START, Code.LOG_BEHIND, Code.RECORD_BEHIND}
_SERVER_CODES = frozenset(
    code for code, (said_by, _) in EXPLANATIONS.items() if "server" in said_by
)
MAX_TEXT = 500
ALL_KINDS = (KIND_RELAY, KIND_DIRECT, KIND_WEBRTC, KIND_TURN)
_M = TypeVar("_M", bound=Message)


@dataclass(frozen=True)
class TunnelRequest:
    """Everything a tunnel to one record needs, taken from the vault by the caller."""

    record: str
    title: str
    record_revision: int
    settings_revision: int
    remote: str
    gateway: str
    gateway_sign_key: bytes
    gateway_box_key: bytes
    device: str
    user: str
    device_key: SigningKey = field(repr=False)
    tunnel_seed: bytes = field(repr=False)
    parameters: TunnelParameters
    connect_hint: str = ""
    kinds: tuple[str, ...] = ALL_KINDS
    """Kinds of path that the record's settings allow; the gateway decides."""


@dataclass(frozen=True)
class Position:
    """Log position the client has seen, which the gateway must have too."""

    seq: int
    digest: bytes


@dataclass
class Accepted:
    """The gateway agreed: its answer and the keys of the conversation."""

    conversation: str
    keys: ConversationKeys
    answer: OfferAnswer


@dataclass
class Agreed:
    """The gateway carries a command out: its answer, unsealed, and the keys of the conversation."""

    conversation: str
    keys: ConversationKeys
    answer: bytes


async def ask_gateway(
    request: TunnelRequest,
    offer: Offer,
    router: RouterSocket,
    *,
    position: Callable[[], Position],
    clock: Clock,
    timeout_s: float,
    further: PathParameters | None = None,
    action: str = START_TUNNEL,
) -> Accepted:
    """
    Get a gateway's agreement to a tunnel, or to `further` paths of one that is open.

    `action` may be `tunnel.probe`, for a tunnel that ends at the gateway itself. Raises as `ask`.
    """
    agreed = await ask(
        request,
        action if further is None else ATTACH_PATH,
        request.parameters if further is None else further,
        offer,
        router,
        position=position,
        clock=clock,
        timeout_s=timeout_s,
    )
    return Accepted(agreed.conversation, agreed.keys, read_answer(OfferAnswer, agreed, request))


def read_answer(kind: type[_M], agreed: Agreed, request: TunnelRequest) -> _M:
    """Read what a gateway sealed for us. Raises Tampered when it is something else."""
    try:
        return decode(kind, agreed.answer, limit=COMMAND_LIMIT)
    except InvalidInput:
        raise _forged(request.gateway) from None


async def ask(
    request: TunnelRequest,
    action: str,
    parameters: Message,
    offer: Offer,
    router: RouterSocket,
    *,
    position: Callable[[], Position],
    clock: Clock,
    timeout_s: float,
) -> Agreed:
    """
    Send a gateway a command about a record, in a conversation and with a secret of its own.

    Asked once more when the gateway could not judge it yet. Raises Refused with the gateway's
    code, Unreachable when gateway or server is away, TimedOut, Tampered for a reply that the
    gateway did not make.
    """
    for may_repeat in (True, False):
        try:
            return await _ask_once(
                request,
                _Wanted(action, encode(parameters), encode(offer)),
                router,
                position=position(),
                clock=clock,
                timeout_s=timeout_s,
            )
        except Refused as refusal:
            if not may_repeat or refusal.code not in _ONCE_MORE:
                raise
    raise AssertionError("the second attempt returns or raises")


@dataclass(frozen=True)
class _Wanted:
    """What a command asks for, in bytes."""

    action: str
    parameters: bytes
    offer: bytes


async def _ask_once(
    request: TunnelRequest,
    wanted: _Wanted,
    router: RouterSocket,
    *,
    position: Position,
    clock: Clock,
    timeout_s: float,
) -> Agreed:
    uid, secret = new_uid(), secrets.token_bytes(SECRET_BYTES)
    keys = ConversationKeys(
        secret,
        request.tunnel_seed,
        client_device=request.device,
        gateway=request.gateway,
        conversation_id=uid,
        record=request.record,
        user=request.user,
    )
    signalling = keys.signalling(Role.CLIENT)
    wanted = replace(wanted, offer=signalling.seal(wanted.offer))
    command = _command(request, wanted, uid, secret, position, now=int(clock.now()))
    data = seal_command(command, request.device_key, BoxPublicKey(request.gateway_box_key))
    async with router.conversation(uid) as conversation:
        await conversation.send(request.gateway, data)
        payload = await _receive(conversation, request.gateway, timeout_s)
    reply = _open(payload, request, secret, uid, data)
    if not reply.accepted:
        raise _refusal(reply, request.title)
    try:
        return Agreed(uid, keys, signalling.open(reply.answer))
    except SealBroken:
        raise _forged(request.gateway) from None


def _command(
    request: TunnelRequest,
    wanted: _Wanted,
    uid: str,
    secret: bytes,
    position: Position,
    *,
    now: int,
) -> Command:
    return Command(
        version=VERSION,
        action=wanted.action,
        gateway=request.gateway,
        device=request.device,
        conversation=uid,
        record=request.record,
        record_revision=request.record_revision,
        settings_revision=request.settings_revision,
        issued_at=now,
        expires_at=now + LIFETIME_S,
        nonce=secrets.token_bytes(NONCE_BYTES),
        log_seq=position.seq,
        log_hash=position.digest,
        secret=secret,
        parameters=wanted.parameters,
        offer=wanted.offer,
    )


async def _receive(conversation: Conversation, gateway: str, timeout_s: float) -> bytes:
    try:
        message = await conversation.receive(timeout_s=timeout_s)
    except TimeoutError:
        raise TimedOut(
            f"gateway {gateway} did not answer in {timeout_s:g} s",
            hint="look at the gateway's log; pam gateway list shows whether it is online",
        ) from None
    if isinstance(message, Deliver):
        if message.sender != gateway:
            raise _forged(gateway)
        return message.payload
    if message.code == Code.GATEWAY_OFFLINE:
        raise Unreachable(
            f"gateway {gateway} is not connected",
            code=message.code,
            hint="start it; pam gateway list shows which are online",
        )
    raise _from_router(message.code, message.message)


def _open(data: bytes, request: TunnelRequest, secret: bytes, uid: str, command: bytes) -> Reply:
    try:
        gateway = VerifyKey(request.gateway_sign_key)
        return open_reply(data, gateway, secret=secret, conversation=uid, command=command)
    except (SealBroken, InvalidInput):
        raise _forged(request.gateway) from None


def _refusal(reply: Reply, title: str) -> Refused:
    ending = explain_end(reply.code, record=title)
    return Refused(reply.reason or ending.sentence, code=reply.code, hint=ending.hint)


def _from_router(code: str, message: str) -> CommanderError:
    """Nobody signed this: it may say what the server judges itself, and never speak for a gateway."""
    if code not in _SERVER_CODES or code == Code.PEER_UNKNOWN:
        return Unreachable(
            message[:MAX_TEXT] or "the router did not pass the command on",
            code=code if code == Code.PEER_UNKNOWN else "",
            hint="try again",
        )
    return Refused(message[:MAX_TEXT], code=code, hint=explain_end(code).hint)


def _forged(gateway: str) -> Tampered:
    return Tampered(
        f"the reply in the name of gateway {gateway} is not its own: somebody between altered it",
        hint="do not go on; tell an administrator",
    )
