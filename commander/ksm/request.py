"""
One request and its answer in the Secrets Manager wire format, both sides, without any IO.

    headers   PublicKeyId: decimal
              TransmissionKey: base64 of ECIES(server key, 32 random bytes), 125 bytes
              Authorization: Signature base64 of ECDSA-SHA256(DER) over raw transmission key | body
    body      AES-256-GCM(transmission key, JSON)        answer   the same framing and key, or empty

A server calls `open_request`, reads the client id in the payload, looks the client's key up and
calls `verify_signature` before it believes anything. Nothing in the format stops a replay: a
server remembers `OpenedRequest.fingerprint` for a while and makes writes idempotent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from commander.crypto import aead, kdf
from commander.errors import InvalidInput, SealBroken
from commander.ksm import base64_text, ecies
from commander.ksm.errors import UnknownServerKey
from commander.ksm.keys import (
    MAX_SIGNATURE_BYTES,
    MIN_SIGNATURE_BYTES,
    P256PrivateKey,
    P256PublicKey,
)

WRAPPED_KEY_BYTES = ecies.OVERHEAD_BYTES + aead.KEY_BYTES
MAX_REQUEST_BYTES = 1024 * 1024
MAX_ANSWER_BYTES = aead.MAX_BYTES
MAX_SERVER_KEYS = 8
MAX_KEY_ID = 2**31 - 1
PATH_PREFIX = "/api/rest/sm/v1/"

_KEY_ID = re.compile(r"[1-9][0-9]{0,9}\Z", re.ASCII)
_SCHEME = "Signature "
_HEADERS = ("publickeyid", "transmissionkey", "authorization")


@dataclass(frozen=True)
class OutgoingRequest:
    """A request ready to be posted; keep it for `open_answer`."""

    headers: dict[str, str]
    body: bytes
    transmission_key: bytes = field(repr=False)

    def open_answer(self, body: bytes) -> bytes:
        """Open an answer with status 200; an empty one stays empty. Raises SealBroken."""
        return open_response(self.transmission_key, body)


@dataclass(frozen=True)
class OpenedRequest:
    """A request that was sealed to this server; who sent it is unknown until verified."""

    key_id: int
    wrapped_key: bytes
    signature: bytes
    body: bytes
    payload: bytes = field(repr=False)
    transmission_key: bytes = field(repr=False)

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that are the same for a replay and for nothing else."""
        return kdf.sha256(self.wrapped_key)

    def verify_signature(self, sender: P256PublicKey) -> None:
        """Return when this sender signed the request. Raises SealBroken."""
        verify_signature(sender, self.signature, self.wrapped_key, self.body)

    def seal_answer(self, payload: bytes) -> bytes:
        """Seal the answer to this request; an empty payload gives an empty body."""
        return seal_response(self.transmission_key, payload)


def build_request(
    server_key: P256PublicKey, key_id: int, private_key: P256PrivateKey, payload: bytes
) -> OutgoingRequest:
    """Seal and sign a payload for one attempt; a second attempt needs a second request."""
    transmission_key = aead.new_key()
    wrapped_key = ecies.seal(server_key, transmission_key)
    body = aead.seal(transmission_key, payload)
    signature = private_key.sign(wrapped_key + body)
    headers = {
        "Content-Type": "application/octet-stream",
        "PublicKeyId": str(key_id),
        "TransmissionKey": base64_text.to_standard(wrapped_key),
        "Authorization": _SCHEME + base64_text.to_standard(signature),
    }
    return OutgoingRequest(headers, body, transmission_key)


def open_request(
    headers: Mapping[str, str], body: bytes, server_keys: Sequence[P256PrivateKey]
) -> OpenedRequest:
    """
    Open a request with any of the server's keys, present or retired, whatever id it names.

    Header names are compared without case, and the content type is not looked at. The
    sender is not proved yet: call `verify_signature`. Raises InvalidInput for a bad form,
    UnknownServerKey when no key fits, SealBroken when the body does not open.
    """
    key_id, wrapped_key, signature = _parse_headers(headers.items())
    if not aead.NONCE_BYTES + aead.TAG_BYTES < len(body) <= MAX_REQUEST_BYTES:
        raise InvalidInput(f"request body has {len(body)} bytes, not 29 to {MAX_REQUEST_BYTES}")
    transmission_key = _unwrap(wrapped_key, server_keys, key_id)
    payload = aead.open_sealed(transmission_key, body)
    return OpenedRequest(key_id, wrapped_key, signature, body, payload, transmission_key)


def verify_signature(
    sender: P256PublicKey, signature: bytes, wrapped_key: bytes, body: bytes
) -> None:
    """
    Return when the sender signed this raw transmission key and body. Raises SealBroken.

    The kept request is proof of who wrote something, so this also takes stored parts.
    """
    if len(wrapped_key) != WRAPPED_KEY_BYTES:
        raise SealBroken
    sender.verify(signature, wrapped_key + body)


def seal_response(transmission_key: bytes, payload: bytes) -> bytes:
    """Seal an answer; an empty payload gives an empty body, as SDKs expect."""
    if len(payload) > MAX_ANSWER_BYTES - aead.NONCE_BYTES - aead.TAG_BYTES:
        raise InvalidInput(f"answer is longer than {MAX_ANSWER_BYTES} bytes")
    return aead.seal(transmission_key, payload) if payload else b""


def open_response(transmission_key: bytes, body: bytes) -> bytes:
    """Open an answer; an empty body gives an empty payload. Raises SealBroken."""
    return aead.open_sealed(transmission_key, body) if body else b""


def _parse_headers(headers: Iterable[tuple[str, str]]) -> tuple[int, bytes, bytes]:
    found: dict[str, str] = {}
    for name, value in headers:
        known = name.lower()
        if known not in _HEADERS:
            continue
        # A header that is there twice could be read one way here and another way before us.
        if known in found:
            raise InvalidInput(f"header {known} is there twice")
        found[known] = value
    key_id, wrapped_key, authorization = (found.get(name, "") for name in _HEADERS)
    if not authorization.startswith(_SCHEME):
        raise InvalidInput("header authorization is not a signature")
    return (
        _parse_key_id(key_id),
        base64_text.from_any(
            wrapped_key,
            what="header transmissionkey",
            least=WRAPPED_KEY_BYTES,
            most=WRAPPED_KEY_BYTES,
        ),
        base64_text.from_any(
            authorization.removeprefix(_SCHEME),
            what="header authorization",
            least=MIN_SIGNATURE_BYTES,
            most=MAX_SIGNATURE_BYTES,
        ),
    )


def _parse_key_id(text: str) -> int:
    if not _KEY_ID.match(text) or int(text) > MAX_KEY_ID:
        raise InvalidInput("header publickeyid is not a key number")
    return int(text)


def _unwrap(wrapped_key: bytes, server_keys: Sequence[P256PrivateKey], key_id: int) -> bytes:
    for key in server_keys[:MAX_SERVER_KEYS]:
        try:
            return ecies.open_sealed(key, wrapped_key)
        except SealBroken:
            continue
    raise UnknownServerKey(key_id)
