"""Fingerprints of clients' keys, as two people compare them. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re

from commander.errors import InvalidInput

GROUPS, GROUP = 8, 4
_SEPARATORS = re.compile(r"[\s:-]")


def fingerprint(public_key: bytes) -> str:
    """The first 128 bits of SHA-256 over the 65-byte point, in eight groups of hex."""
    digits = hashlib.sha256(public_key).hexdigest()
    return "-".join(digits[at : at + GROUP] for at in range(0, GROUPS * GROUP, GROUP))


def is_fingerprint_of(text: str, public_key: bytes) -> bool:
    """Compare what somebody typed. Raises InvalidInput for what is no whole fingerprint."""
    typed = _SEPARATORS.sub("", text).lower()
    if not re.fullmatch(f"[0-9a-f]{{{GROUPS * GROUP}}}", typed):
        raise InvalidInput(
            f"{text[:60]!r} is no fingerprint", hint=f"{GROUPS} groups of {GROUP} hex digits"
        )
    return hmac.compare_digest(typed, _SEPARATORS.sub("", fingerprint(public_key)))
