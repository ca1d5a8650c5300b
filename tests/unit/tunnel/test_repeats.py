from __future__ import annotations

from commander.tunnel import frames
from commander.tunnel.codes import Role
from commander.tunnel.events import SentBytes
from commander.tunnel.mux import Mux
from commander.tunnel.repeats import MAX_BYTES, PER_HEARTBEAT, Repeats


def everybody(stream: int) -> bool:
    return True


def message(*chunks: bytes) -> tuple[list[frames.Bytes], list[bytes | SentBytes]]:
    """What a gateway's mux puts for one accepted stream, one frame a chunk."""
    client, gateway = Mux(Role.CLIENT), Mux(Role.GATEWAY)
    stream = client.open(b"")
    for mux in (client, gateway):
        mux.set_lanes([1])
    opening: list[frames.Bytes] = [frames.VERSION_BYTE]
    client.put(opening, 10_000, 1)
    gateway.receive(b"".join(opening))
    gateway.accept(stream)
    gateway.put([], 10_000, 1)
    parts: list[frames.Bytes] = []
    entries: list[bytes | SentBytes] = []
    for chunk in chunks:
        gateway.send(stream, chunk)
        entries += gateway.put(parts, 10_000, 1)
    return parts, entries


def test_a_few_bytes_are_repeated_as_they_were_sent() -> None:
    """Only the frames with bytes, though the bytes themselves look like other frames."""
    chunks = [bytes([kind]) * 3 for kind in range(1, 14)]
    parts, entries = message(*chunks)
    other = frames.serialize(frames.Credit(1, 99))

    repeated = Repeats().take([other, *parts, other], entries, everybody)

    assert repeated == parts
    read = list(frames.parse(b"".join((frames.VERSION_BYTE, *repeated))))
    assert [bytes(frame.data) for frame in read if isinstance(frame, frames.Data)] == chunks


def test_an_end_is_repeated_too() -> None:
    """Or the answer would be there and its end 200 ms later."""
    end = frames.serialize(frames.Eof(1, 7))
    assert Repeats().take([end], [SentBytes(1, 7, 0)], everybody) == [end]


def test_bulk_and_what_is_not_only_bytes_go_once() -> None:
    """An OPEN must not be overtaken by what belongs to its stream."""
    parts, entries = message(b"x" * (MAX_BYTES + 1))
    assert Repeats().take(parts, entries, everybody) == []

    opening = frames.serialize(frames.Open(1, b"meta"))
    parts, entries = message(b"x")
    assert Repeats().take([opening, *parts], [opening, *entries], everybody) == []
    assert Repeats().take(parts, entries, lambda stream: False) == []
    assert Repeats().take([opening], [], everybody) == []


def test_there_is_a_number_of_them_for_each_heartbeat() -> None:
    """A flood of small messages is not doubled."""
    repeats = Repeats()
    parts, entries = message(b"x")

    assert all(repeats.take(parts, entries, everybody) for _ in range(PER_HEARTBEAT))
    assert repeats.take(parts, entries, everybody) == []
    repeats.refill()
    assert repeats.take(parts, entries, everybody)
