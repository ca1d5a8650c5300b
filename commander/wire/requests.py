"""
The layer under every native call: a transmission key inside TLS, and a device's signature.

    request  = 0x01 | u32 length of box | box(HPKE to the server: transmission key)
               | AES-256-GCM(key, SignedRequest, aad = method, path, box)
    response = AES-256-GCM(derive(key, "response"), Answer, aad = SHA-256(request))

So a response can't be moved to another request, and a recorded request opens nothing later
than the server's box key.
"""

from __future__ import annotations

import secrets

from commander.codec import Message, decode, encode
from commander.crypto import aead
from commander.crypto.box import OVERHEAD_BYTES, BoxPrivateKey, BoxPublicKey
from commander.crypto.encoding import encode as canonical
from commander.crypto.kdf import derive, sha256
from commander.crypto.signing import SigningKey, VerifyKey
from commander.errors import InvalidInput, SealBroken

VERSION = b"\x01"
KEY_BYTES = 32
BOX_BYTES = OVERHEAD_BYTES + KEY_BYTES
REQUEST_LIMIT = 32 * 1024 * 1024
NONCE_BYTES = 16
FRESH_S = 120
PURPOSE = "request"
HEADER = "x-commander-authorization"


class SignedRequest(Message, frozen=True):
    """
    Who asks, and proof. `principal` is a device or gateway UID; empty with an empty signature for
    the calls that carry a proof of their own (set-up, invitation, login, enrolment).
    """

    principal: str
    session: str
    time: int
    nonce: bytes
    body: bytes
    signature: bytes


class Answer(Message, frozen=True):
    """`ok` with the call's own response, or an error of the published table."""

    ok: bool
    body: bytes
    code: str
    message: str
    hint: str


def sign_request(
    key: SigningKey, *, method: str, path: str, principal: str, session: str, time: int, body: bytes
) -> SignedRequest:
    """Sign a request with a device's or gateway's key under a fresh nonce."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    fields = (method, path, "", sha256(body), principal, session, time, nonce)
    return SignedRequest(principal, session, time, nonce, body, key.sign(PURPOSE, *fields))


def unsigned_request(*, time: int, body: bytes) -> SignedRequest:
    """A request whose body carries its own proof."""
    return SignedRequest("", "", time, secrets.token_bytes(NONCE_BYTES), body, b"")


def verify_request(
    request: SignedRequest, key: VerifyKey, *, method: str, path: str, query: str = ""
) -> None:
    """Check the signature over method, path, query, body, session, time and nonce. Raises SealBroken."""
    if len(request.nonce) != NONCE_BYTES or request.time < 0:
        raise SealBroken
    fields = (
        method, path, query, sha256(request.body), request.principal, request.session,
        request.time, request.nonce,
    )  # fmt: skip
    key.verify(request.signature, PURPOSE, *fields)


def seal_request(
    server: BoxPublicKey, request: SignedRequest, *, method: str, path: str
) -> tuple[bytes, bytes]:
    """Return the bytes to send and the transmission key that opens the answer."""
    key = aead.new_key()
    box = server.seal(key, "transmission-key", method, path)
    body = aead.seal(key, encode(request), canonical("request-body", method, path, box))
    return VERSION + len(box).to_bytes(4, "big") + box + body, key


def open_request(
    private: BoxPrivateKey, data: bytes, *, method: str, path: str
) -> tuple[SignedRequest, bytes]:
    """
    Open what `seal_request` made; also returns the transmission key.

    Raises SealBroken or InvalidInput; tell the caller one and the same thing for both.
    """
    start = 5 + BOX_BYTES
    if len(data) < start or data[:1] != VERSION or data[1:5] != BOX_BYTES.to_bytes(4, "big"):
        raise SealBroken
    box = data[5:start]
    key = private.open(box, "transmission-key", method, path)
    body = aead.open_sealed(key, data[start:], canonical("request-body", method, path, box))
    return decode(SignedRequest, body, limit=REQUEST_LIMIT), key


def seal_answer(key: bytes, request: bytes, answer: Answer) -> bytes:
    """Encrypt an answer so that it fits this request only."""
    bound = canonical("answer", sha256(request))
    return aead.seal(derive(key, "response"), encode(answer), bound)


def open_answer(key: bytes, request: bytes, data: bytes) -> Answer:
    """Open an answer. Raises SealBroken for one of another request, InvalidInput for a bad form."""
    bound = canonical("answer", sha256(request))
    return decode(
        Answer, aead.open_sealed(derive(key, "response"), data, bound), limit=aead.MAX_BYTES
    )


def write_header(request: SignedRequest) -> str:
    """The value of the header that authorises a WebSocket upgrade (the body is empty)."""
    return encode(request).hex()


def read_header(text: str) -> SignedRequest:
    """Read the header. Raises InvalidInput."""
    if len(text) > 2048:
        raise InvalidInput("the authorization header is too long")
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raise InvalidInput("the authorization header is malformed") from None
    request = decode(SignedRequest, raw, limit=1024)
    if request.body:
        raise InvalidInput("the authorization header has a body")
    return request
