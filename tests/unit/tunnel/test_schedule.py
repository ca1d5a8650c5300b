from __future__ import annotations

from commander.tunnel.schedule import SMALL_BYTES, Turn, Turns

ROOM = 16 * 1024


def order(turns: Turns, room: int = ROOM) -> list[int]:
    turns.start_message(room)
    seen = []
    while (turn := turns.next(room)) is not None:
        seen.append(turn.stream)
    return seen


def test_small_streams_go_first_and_each_in_its_turn() -> None:
    """Whoever has little to send overtakes whoever has much."""
    turns = Turns()
    turns.add(1, 100_000)
    turns.add(3, 10)
    turns.add(5, 200_000)
    turns.add(7, SMALL_BYTES)
    assert not turns.is_empty
    assert order(turns) == [3, 7, 1, 5]
    assert turns.is_empty


def test_a_stream_waits_only_once() -> None:
    """Adding it again changes nothing."""
    turns = Turns()
    turns.add(1, 10)
    turns.add(1, 100_000)
    assert order(turns) == [1]


def test_bulk_gets_half_of_each_message() -> None:
    """With bulk waiting, small streams stop at half; the others come with the next message."""
    turns = Turns()
    turns.add(1, 100_000)
    for stream in range(3, 13, 2):
        turns.add(stream, 10)
    turns.start_message(ROOM)
    first = [turns.next(ROOM) for _ in range(3)]
    assert first == [Turn(3, SMALL_BYTES + 64), Turn(5, SMALL_BYTES + 64), Turn(1, ROOM)]
    assert order(turns) == [7, 9, 11]


def test_small_streams_share_a_whole_message_when_nobody_else_waits() -> None:
    """Half of a message is not kept free for nothing."""
    turns = Turns()
    for stream in range(1, 21, 2):
        turns.add(stream, 10)
    assert len(order(turns)) == 10


def test_a_share_is_never_more_than_the_room() -> None:
    """The end of a message limits a turn."""
    turns = Turns()
    turns.add(1, 10)
    turns.add(3, 100_000)
    turns.start_message(200)
    assert turns.next(100) == Turn(1, 100)
    assert turns.next(90) == Turn(3, 90)


def test_forgotten_streams_get_no_turn() -> None:
    """Neither small nor bulk; with the last one the queues are empty too."""
    turns = Turns()
    for stream, unsent in ((1, 10), (3, 100_000), (5, 10), (7, 100_000)):
        turns.add(stream, unsent)
    turns.forget(1)
    turns.forget(3)
    turns.forget(99)
    assert order(turns) == [5, 7]
    turns.add(9, 10)
    turns.forget(9)
    assert turns.is_empty
    assert order(turns) == []
