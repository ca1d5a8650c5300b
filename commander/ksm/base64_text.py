"""
The base64 rule that suits every Secrets Manager SDK.

Out: the standard alphabet with padding (`to_standard`), except `appData`, which is
url-safe without padding (`crypto.encoding.to_base64url`). In: either alphabet, padded
or not, and nothing else: no white space, no stray bits, no mixture.
"""

from __future__ import annotations

import base64
import binascii

from commander.errors import InvalidInput


def to_standard(raw: bytes) -> str:
    """Write bytes in the standard alphabet with padding."""
    return base64.b64encode(raw).decode()


def from_any(text: str, *, what: str, most: int, least: int = 0) -> bytes:
    """
    Read base64 of either alphabet, padded or not, that stands for `least` to `most` bytes.

    Raises InvalidInput, naming `what` and never the value, which may be a key.
    """
    # The length is looked at first, so that a long text costs no memory.
    if len(text) > 4 * ((most + 2) // 3):
        raise InvalidInput(f"{what} is longer than {most} bytes")
    try:
        raw = _decode(text)
    except (ValueError, binascii.Error):
        raise InvalidInput(f"{what} is not base64") from None
    if not least <= len(raw) <= most:
        raise InvalidInput(f"{what} has {len(raw)} bytes, not {_span(least, most)}")
    return raw


def _decode(text: str) -> bytes:
    bare = text.rstrip("=")
    whole = bare + "=" * (-len(bare) % 4)
    if text not in (bare, whole):
        raise ValueError("wrong padding")
    is_url_safe = "-" in text or "_" in text
    raw = base64.b64decode(whole.encode("ascii"), altchars=b"-_" if is_url_safe else b"+/")
    # Going back to text is the check: it refuses stray bits, white space and
    # alphabets mixed in one text, all of which the decoder lets pass.
    if base64.b64encode(raw, b"-_" if is_url_safe else b"+/").decode() != whole:
        raise ValueError("not canonical")
    return raw


def _span(least: int, most: int) -> str:
    return str(most) if least == most else f"{least} to {most}"
