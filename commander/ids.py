"""
Identifiers: 16 random bytes as 22 characters of unpadded base64url that never start with "-".

The first byte is below 0xF8, so that no identifier can be taken for a flag and
Secrets Manager SDKs, which avoid the same range, accept ours and we theirs.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from typing import NewType

from commander.errors import InvalidInput

Uid = NewType("Uid", str)
UserUid = NewType("UserUid", str)
DeviceUid = NewType("DeviceUid", str)
RecordUid = NewType("RecordUid", str)
FolderUid = NewType("FolderUid", str)
ApplicationUid = NewType("ApplicationUid", str)
GatewayUid = NewType("GatewayUid", str)
RoleUid = NewType("RoleUid", str)
VoucherUid = NewType("VoucherUid", str)
ClientUid = NewType("ClientUid", str)
ConversationId = NewType("ConversationId", str)

UID_BYTES = 16
_UID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}\Z")


def new_uid() -> str:
    """Make an identifier; wrap it in the NewType it is for."""
    raw = bytearray(secrets.token_bytes(UID_BYTES))
    while raw[0] >= 0xF8:
        raw[0] = secrets.randbelow(0xF8)
    return encode_uid(bytes(raw))


def encode_uid(raw: bytes) -> str:
    """Write 16 bytes as an identifier."""
    assert len(raw) == UID_BYTES
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def is_uid(text: str) -> bool:
    """Tell whether a text has the form of an identifier (canonical last character included)."""
    if not _UID.match(text):
        return False
    return encode_uid(base64.urlsafe_b64decode(text + "==")) == text


def parse_uid(text: str) -> str:
    """Return the identifier with padding removed. Raises InvalidInput when it has another form."""
    bare = text.rstrip("=")
    try:
        ok = len(text) <= 24 and is_uid(bare)
    except (ValueError, binascii.Error):
        ok = False
    if not ok:
        raise InvalidInput(f"{text[:40]!r} is not a UID", hint="a UID has 22 characters")
    return bare
