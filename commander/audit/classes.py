"""How far a value in an event may travel; what is not classified is secret."""

from __future__ import annotations

import enum
from typing import Annotated, get_args, get_type_hints

import msgspec


class Sensitivity(enum.IntEnum):
    """Who may see a value: anyone who reads logs, auditors only, nobody."""

    PUBLIC = 0
    SENSITIVE = 1
    SECRET = 2


MAX_TEXT = 512
# 512 characters of four bytes, padded, sealed, in base64; two of them fit into an event.
MAX_SEALED = 3072
_TEXT = msgspec.Meta(max_length=MAX_TEXT)
_UID = msgspec.Meta(max_length=64)
_COUNT = msgspec.Meta(ge=0, le=2**63 - 1)
_HASH = msgspec.Meta(max_length=64)

# Types of event fields. An event uses these and no bare types; a bare type is secret.
PublicText = Annotated[str, Sensitivity.PUBLIC, _TEXT]
PublicUid = Annotated[str, Sensitivity.PUBLIC, _UID]
PublicCount = Annotated[int, Sensitivity.PUBLIC, _COUNT]
PublicHash = Annotated[bytes, Sensitivity.PUBLIC, _HASH]
SensitiveText = Annotated[str, Sensitivity.SENSITIVE, _TEXT]
SealedText = Annotated[str, Sensitivity.SENSITIVE, msgspec.Meta(max_length=MAX_SEALED)]
SensitiveCount = Annotated[int, Sensitivity.SENSITIVE, _COUNT]


def classify(kind: type[msgspec.Struct]) -> dict[str, Sensitivity]:
    """The sensitivity of every field of an event type."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: _sensitivity(hints[name]) for name in kind.__struct_fields__}


def _sensitivity(hint: object) -> Sensitivity:
    marks = [mark for mark in get_args(hint)[1:] if isinstance(mark, Sensitivity)]
    return max(marks) if marks else Sensitivity.SECRET
