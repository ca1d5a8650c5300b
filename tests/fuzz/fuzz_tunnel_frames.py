"""Any message of a verified but hostile peer."""

from __future__ import annotations

from commander.tunnel import frames
from commander.tunnel.codes import ProtocolViolation, Role
from commander.tunnel.mux import Mux

NAME = "tunnel-frames"


def seeds() -> list[bytes]:
    """One frame of each kind, alone and together."""
    kinds: list[frames.Frame] = [
        frames.Open(1, b"target"),
        frames.Opened(1),
        frames.Data(1, 0, b"bytes"),
        frames.Credit(1, 300_000),
        frames.Ack(1, 5),
        frames.Eof(1, 5),
        frames.Reset(1, 2, "refused"),
        frames.Ping(1),
        frames.Pong(1),
        frames.Progress(100),
        frames.Abandon(2),
        frames.Prefer(2),
        frames.Bye(),
        frames.Close(1, "stopped"),
    ]
    return [frames.message_of([frame]) for frame in kinds] + [frames.message_of(kinds)]


def fuzz(data: bytes) -> None:
    """Parse one message, and let both kinds of end handle a sequence of them."""
    try:
        parsed = frames.parse(data)
        assert frames.message_of(parsed) == data
    except ProtocolViolation:
        pass
    for role in Role:
        _talk(role, data)


def _talk(role: Role, data: bytes) -> None:
    end = Mux(role)
    end.set_lanes((1,))
    if role is Role.CLIENT:
        end.send(end.open(b"target"), b"question")
    step = 1 + data[0] % 64 if data else 1
    try:
        for start in range(0, len(data), step):
            for event in end.receive(b"\x01" + data[start : start + step]):
                assert event is not None
            while len(message := _next_message(end)) > 1:
                frames.parse(message)
    except ProtocolViolation:
        return


def _next_message(end: Mux) -> bytes:
    parts: list[frames.Bytes] = [frames.VERSION_BYTE]
    end.put(parts, 16 * 1024, 1)
    return b"".join(parts)
