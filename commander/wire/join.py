"""
Join strings: what a person pastes once. `base64url(MessagePack)` with a readable prefix.

It carries the server's address, a one-time secret, the fingerprint of the enterprise root (once
there is one) and of the server's CA, so that the first connection is verified by fingerprint.
"""

from __future__ import annotations

from typing import Literal

from commander.codec import Message, decode, encode
from commander.crypto.encoding import from_base64url, to_base64url
from commander.errors import InvalidInput

PREFIX = "join1."
LIMIT = 2048
FINGERPRINT_BYTES = 32
JoinKind = Literal["setup", "invite", "gateway", "login"]


class Join(Message, frozen=True):
    """
    The parts of a join string.

    `secret` is the set-up secret, the invitation's secret or the gateway's one-time token
    (32 bytes), empty for "login". `root` is empty only for "setup". `ca` is the SHA-256 of the
    server's CA certificate in DER, empty when the server has a publicly trusted certificate.
    """

    kind: JoinKind
    server: str
    secret: bytes
    root: bytes
    ca: bytes


def write_join(join: Join) -> str:
    """Write the string a person pastes."""
    return PREFIX + to_base64url(encode(join))


def read_join(text: str, kind: JoinKind) -> Join:
    """Read a pasted string. Raises InvalidInput that says what is wrong, never quoting the secret."""
    bare = text.strip()
    if not bare.startswith(PREFIX) or len(bare) > LIMIT:
        raise InvalidInput(
            "this is not a join string", hint=f"copy it whole: it begins with {PREFIX!r}"
        )
    try:
        join = decode(Join, from_base64url(bare[len(PREFIX) :]), limit=LIMIT)
    except InvalidInput:
        raise InvalidInput("the join string is damaged", hint="copy it again, whole") from None
    if join.kind != kind:
        raise InvalidInput(f"this join string is for {join.kind!r}, not for {kind!r}")
    sizes = {0, FINGERPRINT_BYTES}
    if len(join.root) not in sizes or len(join.ca) not in sizes or len(join.secret) not in sizes:
        raise InvalidInput("the join string is damaged", hint="copy it again, whole")
    if (kind == "login") == bool(join.secret) or (kind == "setup") == bool(join.root):
        raise InvalidInput("the join string is damaged", hint="copy it again, whole")
    return join
