from __future__ import annotations

import re
import unicodedata

from commander.errors import InvalidInput

MAX_EMAIL = 254
_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f\"'<>(),:;\\\[\]]+@[^\s@\x00-\x1f\x7f\"'<>(),:;\\\[\]]+\Z")


def normal_email(text: str) -> str:
    """
    The form accounts are known by: NFKC, case-folded, trimmed, at most 254 characters.

    Raises InvalidInput when it is no e-mail address. Normalise before counting or comparing,
    so that look-alikes of one name are one account.
    """
    if len(text) > 4 * MAX_EMAIL:
        raise InvalidInput("the e-mail is too long")
    normal = unicodedata.normalize("NFKC", text).strip().casefold()
    normal = unicodedata.normalize("NFKC", normal)
    if len(normal) > MAX_EMAIL or not _EMAIL.match(normal):
        raise InvalidInput(f"{text[:60]!r} is not an e-mail address", hint="write name@example.org")
    return normal


def is_normal_email(text: str) -> bool:
    """Tell whether a text is an e-mail address in its normal form."""
    try:
        return normal_email(text) == text
    except InvalidInput:
        return False
