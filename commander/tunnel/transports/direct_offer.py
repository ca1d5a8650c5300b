"""
What the ends of a direct path tell each other: offer, answer, and the greeting of a connection. Pure.

Offer and answer travel sealed in the conversation. The greeting is the first thing on each TCP
connection; the caller sends it, the called end answers with its own, and only then HELLO follows:

    greeting = 00 "cmdrdt" | version u8 (1) | role u8 | carrier u8 | name 16 | MAC 32      58 bytes
    name = first half of MAC(token, "direct-name"), MAC = MAC(token, "direct-greeting", role, carrier)

It proves only that a connection belongs to this offer, so that strangers cost nothing more; who
the ends are is proved by HELLO.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import struct
from collections.abc import Container, Iterable, Sequence
from typing import Final

from commander.codec import Message, decode, encode
from commander.crypto.kdf import mac
from commander.errors import InvalidInput, SealBroken
from commander.tunnel.addresses import Address, special_kind, unwrap

VERSION: Final = 1
TOKEN_BYTES: Final = 32
PROOF_BYTES: Final = 32
MAX_ADDRESSES: Final = 8
MAX_HOST: Final = 253
LEAST_PORT: Final = 1024
"""No end is asked to connect to a port at which a system's own services listen."""
LIMIT: Final = 1024
CALLER: Final = 1
CALLED: Final = 2
NAME_BYTES: Final = 16
_MAGIC: Final = b"\0cmdrdt"
_GREETING: Final = struct.Struct(">7sBBB16s32s")
GREETING_BYTES: Final = _GREETING.size
GREETING_START: Final = _MAGIC + bytes([VERSION])
_NAME_AT: Final = 10
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})


class DirectOffer(Message, frozen=True):
    """The client's one-shot port: addresses are packed, 4 or 16 bytes each, the likeliest first."""

    version: int
    token: bytes
    port: int
    addresses: tuple[bytes, ...]
    same_host: bytes


class DirectAnswer(Message, frozen=True):
    """Where the gateway listens, or an empty host and port 0: then it connects to the client."""

    version: int
    host: str
    port: int
    same_host: bytes


def read_offer(data: bytes) -> DirectOffer:
    """Read and check an offer. Raises InvalidInput."""
    offer = decode(DirectOffer, data, limit=LIMIT)
    if offer.version != VERSION or len(offer.token) != TOKEN_BYTES:
        raise InvalidInput("the direct offer has another version or a token of another length")
    if not LEAST_PORT <= offer.port <= 65535:
        raise InvalidInput(f"the direct offer has port {offer.port}, not one from {LEAST_PORT} on")
    if not 0 < len(offer.addresses) <= MAX_ADDRESSES:
        raise InvalidInput(f"the direct offer has {len(offer.addresses)} addresses, not 1 to 8")
    if len(set(offer.addresses)) != len(offer.addresses):
        raise InvalidInput("the direct offer names an address twice")
    if any(len(address) not in (4, 16) for address in offer.addresses):
        raise InvalidInput("the direct offer has an address of another length")
    _check_proof(offer.same_host)
    return offer


def read_answer(data: bytes) -> DirectAnswer:
    """Read and check an answer. Raises InvalidInput."""
    answer = decode(DirectAnswer, data, limit=LIMIT)
    if answer.version != VERSION or len(answer.host) > MAX_HOST or not answer.host.isascii():
        raise InvalidInput("the direct answer has another version or no proper host")
    if not answer.host.isprintable() or bool(answer.host) != bool(answer.port):
        raise InvalidInput("the direct answer has no proper host")
    if not 0 <= answer.port <= 65535:
        raise InvalidInput("the direct answer has no proper port")
    _check_proof(answer.same_host)
    return answer


def write_offer(
    ticket: Ticket, port: int, addresses: Sequence[str], *, host_identity: bytes
) -> bytes:
    """The bytes for `Offer.direct`; addresses past the eighth are left out."""
    packed = tuple(ipaddress.ip_address(text).packed for text in addresses)[:MAX_ADDRESSES]
    proof = ticket.same_host_proof(CALLED, host_identity)
    return encode(DirectOffer(VERSION, ticket.token, port, packed, proof))


def write_answer(ticket: Ticket, host: str, port: int, *, host_identity: bytes) -> bytes:
    """The bytes for `OfferAnswer.direct`."""
    proof = ticket.same_host_proof(CALLER, host_identity) if host else b""
    return encode(DirectAnswer(VERSION, host, port, proof))


def _check_proof(proof: bytes) -> None:
    if len(proof) not in (0, PROOF_BYTES):
        raise InvalidInput("the proof of the same host has another length")


class Ticket:
    """One offer's secret: who knows it may use the port, each carrier once."""

    def __init__(self, token: bytes = b"") -> None:
        self.token = token or secrets.token_bytes(TOKEN_BYTES)
        self.name = mac(self.token, "direct-name")[:NAME_BYTES]

    def greeting(self, role: int, carrier: int) -> bytes:
        """The first bytes of a connection, from its caller or its called end."""
        return _GREETING.pack(_MAGIC, VERSION, role, carrier, self.name, self._proof(role, carrier))

    def check(self, greeting: bytes, *, role: int, carriers: int) -> int:
        """Which carrier an end of this role greets for. Raises SealBroken for anything else."""
        if len(greeting) != GREETING_BYTES:
            raise SealBroken
        magic, version, found, carrier, name, proof = _GREETING.unpack(greeting)
        if (magic, version, found, name) != (_MAGIC, VERSION, role, self.name):
            raise SealBroken
        if not hmac.compare_digest(proof, self._proof(role, carrier)) or carrier >= carriers:
            raise SealBroken
        number: int = carrier
        return number

    def same_host_proof(self, role: int, host_identity: bytes) -> bytes:
        """Shows to who is on the same host, and to nobody else, that we are; empty if unknown."""
        if not host_identity:
            return b""
        return mac(self.token, "direct-same-host", role, host_identity)

    def is_same_host(self, proof: bytes, role: int, host_identity: bytes) -> bool:
        """Whether an end of this role showed that it is on the host that we are on."""
        own = self.same_host_proof(role, host_identity)
        return bool(own) and hmac.compare_digest(proof, own)

    def _proof(self, role: int, carrier: int) -> bytes:
        return mac(self.token, "direct-greeting", role, carrier)


def greeting_name(greeting: bytes) -> bytes:
    """The name of the ticket that a whole greeting claims to belong to."""
    return greeting[_NAME_AT : _NAME_AT + NAME_BYTES]


def choose_candidates(
    addresses: Iterable[Address], *, is_same_host: bool, own: Container[str] = ()
) -> list[str]:
    """
    Which of the named addresses may be connected, in their order.

    Never special ones; 127.0.0.1, ::1 and addresses of our `own` only where the other end showed
    that it is on this host, so that nobody can look around on ours.
    """
    chosen = []
    for address in addresses:
        plain = unwrap(address)
        is_here = str(plain) in own or str(plain) in _LOOPBACK
        if is_same_host if is_here else not special_kind(plain):
            chosen.append(str(plain))
    return list(dict.fromkeys(chosen))[:MAX_ADDRESSES]
