"""STUN messages that a library would write, and ones that none would."""

from __future__ import annotations

import struct
from typing import Any

import aioice.stun


def stun_request(**attributes: Any) -> aioice.stun.Message:
    message = aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST)
    message.attributes.update({name.replace("_", "-"): value for name, value in attributes.items()})
    return message


def malformed_stun(*attributes: tuple[int, bytes]) -> bytes:
    body = b"".join(
        struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)
        for kind, value in attributes
    )
    return struct.pack("!HHI12s", 1, len(body), aioice.stun.COOKIE, bytes(12)) + body
