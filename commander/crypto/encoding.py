"""
The one canonical encoder of everything that is signed, MACed, associated or bound.

    bytes = u32 len | "commander/v1/<purpose>" | u32 len | field | u32 len | field ...

All lengths are big-endian. Fields are bytes; text is UTF-8; numbers are 8 bytes
big-endian; so two different field lists never give the same bytes.
"""

from __future__ import annotations

import base64
import binascii

from commander.errors import InvalidInput

DOMAIN = "commander/v1/"
Field = bytes | str | int


def encode(purpose: str, *fields: Field) -> bytes:
    """Bind fields to a purpose; a signature for one purpose is never valid for another."""
    parts = [(DOMAIN + purpose).encode()]
    for field in fields:
        if isinstance(field, str):
            parts.append(field.encode())
        elif isinstance(field, int):
            parts.append(field.to_bytes(8, "big"))
        else:
            parts.append(bytes(field))
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def to_base64url(raw: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Strict inverse of `to_base64url`: no padding, no white space, no stray bits."""
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        raise InvalidInput("text is not base64url") from None
    if to_base64url(raw) != text:
        raise InvalidInput("text is not canonical base64url")
    return raw
