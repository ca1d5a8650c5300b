"""
Commands from a client device to a gateway, their replies, and what travels inside them.

    sealed  = HPKE to the gateway's certified box key (context: gateway, conversation, device)
              of SignedCommand{Command bytes, device signature}
    reply   = ReplyEnvelope{Reply bytes sealed under a key derived from the conversation secret
              (clear and coded when the secret could not be opened), gateway signature}

The router sees addressee, conversation id and sizes. `offer` and `answer` are sealed once more
under keys that need the record's tunnel seed.
"""

from __future__ import annotations

import msgspec

from commander.codec import Message, decode, encode
from commander.crypto import aead
from commander.crypto.box import BoxPrivateKey, BoxPublicKey
from commander.crypto.encoding import encode as canonical
from commander.crypto.kdf import derive, sha256
from commander.crypto.signing import SigningKey, VerifyKey
from commander.errors import InvalidInput, SealBroken

VERSION = 1
COMMAND_LIMIT = 64 * 1024
LIFETIME_S = 60
SECRET_BYTES = 32
NONCE_BYTES = 16
START_TUNNEL = "tunnel.start"
ATTACH_PATH = "tunnel.path"
CHECK_TARGET = "tunnel.check"
PROBE_TUNNEL = "tunnel.probe"
PROBE_PROGRAM = "diagnose"
"""What the streams of a probe tunnel name as their program."""


class TunnelParameters(Message, frozen=True):
    """
    What `tunnel.start`, `tunnel.check` and `tunnel.probe` ask for; empty host and port 0 mean the
    record's own.
    """

    target_host: str
    target_port: int
    reason: str
    ticket: str


class PathParameters(Message, frozen=True):
    """
    What `tunnel.path` asks for: further paths of the tunnel that `tunnel` (the conversation of its
    `tunnel.start`) names. Their generations count from `generation`, in the order of the offer's
    kinds. Command and offer have a conversation and secret of their own. `group` is that of carriers
    that live, which the new ones join; 0 for a group of their own.
    """

    tunnel: str
    generation: int
    group: int = 0


class Command(Message, frozen=True):
    """One request to one gateway, valid for at most 60 s, once."""

    version: int
    action: str
    gateway: str
    device: str
    conversation: str
    record: str
    record_revision: int
    settings_revision: int
    issued_at: int
    expires_at: int
    nonce: bytes
    log_seq: int
    log_hash: bytes
    secret: bytes
    parameters: bytes
    offer: bytes


class SignedCommand(Message, frozen=True):
    """The exact command bytes and the device's signature."""

    command: bytes
    signature: bytes


class Offer(Message, frozen=True, omit_defaults=True):
    """
    Kinds of path the client can use, and what each needs: a WebRTC description, and where a
    direct connection may go. What is empty is left out, so programs that know no direct path
    read every offer without one.
    """

    kinds: tuple[str, ...]
    webrtc: bytes
    direct: bytes = b""


class OfferAnswer(Message, frozen=True, omit_defaults=True):
    """What the gateway chose to try, and what each kind needs; `direct` as in the offer."""

    kinds: tuple[str, ...]
    webrtc: bytes
    target: str
    direct: bytes = b""


class CheckAnswer(Message, frozen=True):
    """
    What came of connecting a target once, for `tunnel.check`: `code` is empty, or the label of a
    reset code. Nothing that the target said.
    """

    code: str
    connect_ms: int


class Reply(Message, frozen=True):
    """Accepted with a sealed answer, or refused with a code and a sentence."""

    conversation: str
    command_hash: bytes
    accepted: bool
    code: str
    reason: str
    answer: bytes


class ReplyEnvelope(Message, frozen=True):
    """A reply, sealed when the gateway knows the conversation secret, and signed by the gateway."""

    sealed: bool
    reply: bytes
    signature: bytes


def seal_command(command: Command, device: SigningKey, gateway: BoxPublicKey) -> bytes:
    """Sign and seal a command; what is sent through the router."""
    body = encode(command)
    signed = SignedCommand(body, device.sign("command", body))
    return gateway.seal(
        encode(signed), "command", command.gateway, command.conversation, command.device
    )


def open_command(
    data: bytes, gateway: BoxPrivateKey, *, uid: str, conversation: str, device: str
) -> tuple[Command, SignedCommand]:
    """
    Open a command that came from `device` (as the router said) in `conversation`.

    The router's word is only context: the caller verifies the signature with `verify_command`.
    Raises SealBroken or InvalidInput.
    """
    if len(data) > COMMAND_LIMIT:
        raise InvalidInput("the command is too large")
    signed = decode(
        SignedCommand, gateway.open(data, "command", uid, conversation, device), limit=COMMAND_LIMIT
    )
    command = decode(Command, signed.command, limit=COMMAND_LIMIT)
    if (command.conversation, command.device) != (conversation, device):
        raise SealBroken
    if len(command.secret) != SECRET_BYTES or len(command.nonce) != NONCE_BYTES:
        raise InvalidInput("the command's secret or nonce has another length")
    return command, signed


def verify_command(signed: SignedCommand, key: VerifyKey) -> None:
    """Check the device's signature. Raises SealBroken."""
    key.verify(signed.signature, "command", signed.command)


def command_hash(data: bytes) -> bytes:
    """What a reply names: the hash of the sealed command as it travelled."""
    return sha256(canonical("command-hash", data))


def seal_reply(reply: Reply, gateway: SigningKey, *, secret: bytes | None) -> bytes:
    """Seal (when the secret is known) and sign a reply."""
    body = encode(reply)
    if secret is not None:
        body = aead.seal(derive(secret, "reply"), body, canonical("reply", reply.conversation))
    sealed = secret is not None
    envelope = ReplyEnvelope(sealed, body, gateway.sign("reply", int(sealed), body))
    return encode(envelope)


def open_reply(
    data: bytes, gateway: VerifyKey, *, secret: bytes, conversation: str, command: bytes
) -> Reply:
    """
    Open a reply to our sealed `command`. A clear reply can only refuse.

    Raises SealBroken or InvalidInput for anything the gateway did not say to this command.
    """
    envelope = decode(ReplyEnvelope, data, limit=COMMAND_LIMIT)
    gateway.verify(envelope.signature, "reply", int(envelope.sealed), envelope.reply)
    body = envelope.reply
    if envelope.sealed:
        body = aead.open_sealed(derive(secret, "reply"), body, canonical("reply", conversation))
    reply = decode(Reply, body, limit=COMMAND_LIMIT)
    if reply.conversation != conversation or reply.command_hash != command_hash(command):
        raise SealBroken
    if reply.accepted and not envelope.sealed:
        raise SealBroken
    return reply


class StreamMeta(Message, frozen=True, omit_defaults=True):
    """
    What a client says of a connection when it opens a stream.

    `program` is for audit, never for a decision. `port` asks for one of the further ports that the
    record's settings name; 0, which is left out, for the tunnel's own. `turned_away` tells, on a
    stream that leads nowhere, that so many connections of the local user `uid` (-1: not seen) were
    closed at the client before a byte of them was forwarded.
    """

    program: str
    port: int = 0
    turned_away: int = 0
    uid: int = 0


# --- between client, router and gateway, on the control WebSocket -------------------------------

ROUTED_LIMIT = COMMAND_LIMIT + 4096


class Send(Message, frozen=True, tag="send"):
    """From a client or gateway: pass `payload` to `to` within a conversation."""

    conversation: str
    to: str
    payload: bytes


class Deliver(Message, frozen=True, tag="deliver"):
    """From the router: `sender` (authenticated by the router) sent this."""

    conversation: str
    sender: str
    payload: bytes


class Undeliverable(Message, frozen=True, tag="undeliverable"):
    """From the router: the last `Send` of this conversation was not passed on."""

    conversation: str
    code: str
    message: str


class Head(Message, frozen=True, tag="head"):
    """From the router: the log has a new head; a hint to fetch it."""

    seq: int
    digest: bytes


class Hello(Message, frozen=True, tag="hello"):
    """First message of a client or gateway: which version it runs."""

    version: str
    name: str


Routed = Send | Deliver | Undeliverable | Head | Hello
_routed: msgspec.msgpack.Decoder[Routed] = msgspec.msgpack.Decoder(Routed)


def read_routed(data: bytes) -> Routed:
    """Read a control message. Raises InvalidInput."""
    if len(data) > ROUTED_LIMIT:
        raise InvalidInput("the message is too large")
    try:
        return _routed.decode(data)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput(f"the message is malformed: {error}") from None
