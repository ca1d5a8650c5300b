"""Any message that a path hands in under the name of a sealed one, and any signalling message."""

from __future__ import annotations

from collections.abc import Callable

from commander.errors import SealBroken
from commander.tunnel.codes import Role
from commander.tunnel.keys import ConversationKeys

NAME = "tunnel-seal"
_KEYS = ConversationKeys(
    b"s" * 32, b"t" * 32, client_device="device", gateway="gateway", conversation_id="conversation"
)


def fuzz(data: bytes) -> None:
    """Nothing that was not sealed opens, and the only error is SealBroken."""
    opener = _KEYS.opener(Role.GATEWAY, 1)
    signalling = _KEYS.signalling(Role.GATEWAY)
    header = b"\x00\x01" + bytes(8)
    attempts: list[Callable[[], bytes]] = [
        lambda: opener.open(data),
        lambda: opener.open(header + data),
        lambda: signalling.open(data),
        lambda: signalling.open(b"\x01" + bytes(4) + data),
    ]
    for attempt in attempts:
        try:
            attempt()
        except SealBroken:
            continue
        raise AssertionError("noise opened")
