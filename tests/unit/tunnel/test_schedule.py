from __future__ import annotations

from commander.tunnel.schedule import SMALL_BYTES, Turn, Turns

ROOM = 16 * 1024


LANE = 9


def one_lane() -> Turns:
    turns = Turns()
    turns.set_lanes((LANE,))
    return turns


def order(turns: Turns, room: int = ROOM, lane: int = LANE) -> list[int]:
    turns.start_message(room)
    seen = []
    while (turn := turns.next(room, lane)) is not None:
        seen.append(turn.stream)
    return seen


def test_small_streams_go_first_and_each_in_its_turn() -> None:
    """Whoever has little to send overtakes whoever has much."""
    turns = one_lane()
    turns.add(1, 100_000)
    turns.add(3, 10)
    turns.add(5, 200_000)
    turns.add(7, SMALL_BYTES)
    assert turns.waiting
    assert order(turns) == [3, 7, 1, 5]
    assert not turns.waiting


def test_a_stream_waits_only_once() -> None:
    """Adding it again changes nothing."""
    turns = one_lane()
    turns.add(1, 10)
    turns.add(1, 100_000)
    assert order(turns) == [1]


def test_bulk_gets_half_of_each_message() -> None:
    """With bulk waiting, small streams stop at half; the others come with the next message."""
    turns = one_lane()
    turns.add(1, 100_000)
    for stream in range(3, 13, 2):
        turns.add(stream, 10)
    turns.start_message(ROOM)
    first = [turns.next(ROOM, LANE) for _ in range(3)]
    assert first == [Turn(3, SMALL_BYTES + 64), Turn(5, SMALL_BYTES + 64), Turn(1, ROOM)]
    assert order(turns) == [7, 9, 11]


def test_small_streams_share_a_whole_message_when_nobody_else_waits() -> None:
    """Half of a message is not kept free for nothing."""
    turns = one_lane()
    for stream in range(1, 21, 2):
        turns.add(stream, 10)
    assert len(order(turns)) == 10


def test_a_share_is_never_more_than_the_room() -> None:
    """The end of a message limits a turn."""
    turns = one_lane()
    turns.add(1, 10)
    turns.add(3, 100_000)
    turns.start_message(200)
    assert turns.next(100, LANE) == Turn(1, 100)
    assert turns.next(90, LANE) == Turn(3, 90)


def test_forgotten_streams_get_no_turn() -> None:
    """Neither small nor bulk; with the last one the queues are empty too."""
    turns = one_lane()
    for stream, unsent in ((1, 10), (3, 100_000), (5, 10), (7, 100_000)):
        turns.add(stream, unsent)
    turns.forget(1)
    turns.forget(3)
    turns.forget(99)
    assert order(turns) == [5, 7]
    turns.add(9, 10)
    turns.forget(9)
    assert not turns.waiting
    assert order(turns) == []


def test_the_leading_lane_has_what_is_interactive_and_the_others_bulk() -> None:
    """So a keystroke never waits behind a download's lost packet."""
    turns = Turns()
    turns.set_lanes((1, 2, 3))
    turns.add(5, 10)
    turns.add(7, 100_000)
    assert order(turns, lane=4) == []
    assert order(turns, lane=1) == [5]
    assert turns.waiting == {7}
    assert order(turns, lane=2) == [7]
    assert not turns.waiting


def test_streams_that_are_not_accepted_go_by_the_leading_lane_alone() -> None:
    """Their OPEN goes there, and nothing of them may overtake it."""
    turns = Turns()
    turns.set_lanes((1, 2))
    turns.add(5, 100_000, is_accepted=False)
    turns.add(7, 100_000)
    turns.add(9, 100_000, is_accepted=False)
    turns.add(11, 100_000, is_accepted=False)
    turns.forget(9)
    assert order(turns, lane=2) == [7]
    assert order(turns, lane=1) == [5, 11]


def test_bulk_keeps_to_its_lane_and_an_idle_lane_takes_over() -> None:
    """One download fills all lanes; two keep apart."""
    turns = Turns()
    turns.set_lanes((1, 2, 3))
    for stream in (5, 7):
        turns.add(stream, 100_000)
    first = [turns.next(ROOM, 2), turns.next(ROOM, 3)]
    assert first == [Turn(5, ROOM), Turn(7, ROOM)]
    for stream in (7, 5):
        turns.add(stream, 100_000)
    again = [turns.next(ROOM, 2), turns.next(ROOM, 3)]
    assert again == [Turn(5, ROOM), Turn(7, ROOM)]

    turns.add(7, 100_000)
    assert turns.next(ROOM, 2) == Turn(7, ROOM)
    assert turns.next(ROOM, 2) is None


def test_streams_of_a_lane_that_is_gone_go_by_the_others() -> None:
    """Also those that were waiting for it."""
    turns = Turns()
    turns.set_lanes((1, 2, 3))
    turns.add(5, 100_000)
    turns.next(ROOM, 2)
    turns.add(5, 100_000)
    turns.set_lanes((1, 3))
    assert order(turns, lane=3) == [5]
    turns.add(5, 100_000)
    turns.set_lanes(())
    assert order(turns, lane=3) == []
    turns.set_lanes((4,))
    assert order(turns, lane=4) == [5]
