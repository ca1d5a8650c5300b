"""What a peer sends on a control socket, before and after its hello; only PeerMistake may come out."""

from __future__ import annotations

import contextlib

from commander.codec import encode
from commander.router.protocol import ControlProtocol, PeerMistake
from commander.wire.commands import Deliver, Head, Hello, Send, Undeliverable

NAME = "router-control"
_UID = "A" * 22
_HELLO = encode(Hello("1", ""))


def seeds() -> list[bytes]:
    """One of each kind."""
    return [
        encode(message)
        for message in (
            Hello("1.0", "n"), Send(_UID, _UID, b"payload"), Head(3, bytes(32)),
            Deliver(_UID, _UID, b"x"), Undeliverable(_UID, "code", "why"),
        )
    ]  # fmt: skip


def fuzz(data: bytes) -> None:
    """Send the bytes as the first message, and as the second."""
    with contextlib.suppress(PeerMistake):
        assert isinstance(ControlProtocol().receive(data), Hello)
    greeted = ControlProtocol()
    greeted.receive(_HELLO)
    with contextlib.suppress(PeerMistake):
        assert isinstance(greeted.receive(data), Send)
