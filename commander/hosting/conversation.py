"""
Asking a gateway for a tunnel: sign, seal, send, and open the reply. The client's side of `wire.commands`.

Nothing here trusts the router: a reply counts when the gateway signed it over this command and,
to accept, sealed it under this conversation's secret.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from commander.api.socket import Conversation, RouterSocket
from commander.authority.refusals import EXPLANATIONS, Code
from commander.clock import Clock
from commander.codec import decode, encode
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
from commander.ids import new_uid
from commander.tunnel.codes import Role
from commander.tunnel.keys import ConversationKeys
from commander.wire.commands import (
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


async def ask_gateway(
    request: TunnelRequest,
    offer: Offer,
    router: RouterSocket,
    *,
    position: Callable[[], Position],
    clock: Clock,
    timeout_s: float,
) -> Accepted:
    """
    Get a gateway's agreement to a tunnel.

    Raises Refused with the gateway's code, Unreachable when gateway or server is away, TimedOut,
    Tampered for a reply that the gateway did not make.
    """
    for may_repeat in (True, False):
        try:
            return await _ask_once(
                request, offer, router, position=position(), clock=clock, timeout_s=timeout_s
            )
        except Refused as refusal:
            if not may_repeat or refusal.code not in _ONCE_MORE:
                raise
    raise AssertionError("the second attempt returns or raises")


async def _ask_once(
    request: TunnelRequest,
    offer: Offer,
    router: RouterSocket,
    *,
    position: Position,
    clock: Clock,
    timeout_s: float,
) -> Accepted:
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
    sealed_offer = signalling.seal(encode(offer))
    command = _command(request, uid, secret, position, sealed_offer, now=int(clock.now()))
    data = seal_command(command, request.device_key, BoxPublicKey(request.gateway_box_key))
    async with router.conversation(uid) as conversation:
        await conversation.send(request.gateway, data)
        payload = await _receive(conversation, request.gateway, timeout_s)
    reply = _open(payload, request, secret, uid, data)
    if not reply.accepted:
        raise _refusal(reply)
    try:
        answer = decode(OfferAnswer, signalling.open(reply.answer), limit=COMMAND_LIMIT)
    except (SealBroken, InvalidInput):
        raise _forged(request.gateway) from None
    return Accepted(uid, keys, answer)


def _command(
    request: TunnelRequest, uid: str, secret: bytes, position: Position, offer: bytes, *, now: int
) -> Command:
    return Command(
        version=VERSION,
        action=START_TUNNEL,
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
        parameters=encode(request.parameters),
        offer=offer,
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


def _refusal(reply: Reply) -> Refused:
    try:
        hint = EXPLANATIONS[Code(reply.code)][1]
    except ValueError:
        is_fault = reply.code == CommanderError.default_code
        hint = "look at its log" if is_fault else "the gateway is newer than this program"
    return Refused(reply.reason or reply.code, code=reply.code, hint=hint)


def _from_router(code: str, message: str) -> CommanderError:
    """Nobody signed this: it may say what the server judges itself, and never speak for a gateway."""
    if code not in _SERVER_CODES or code == Code.PEER_UNKNOWN:
        return Unreachable(
            message[:MAX_TEXT] or "the router did not pass the command on",
            code=code if code == Code.PEER_UNKNOWN else "",
            hint="try again",
        )
    return Refused(message[:MAX_TEXT], code=code)


def _forged(gateway: str) -> Tampered:
    return Tampered(
        f"the reply in the name of gateway {gateway} is not its own: somebody between altered it",
        hint="do not go on; tell an administrator",
    )
