from __future__ import annotations

from commander.codec import encode
from commander.gateway.rights import Rights
from commander.gateway.tally import (
    MAX_KINDS,
    MAX_PROGRAMS,
    MAX_TURNED_AWAY,
    MAX_USERS,
    Tally,
)
from commander.tunnel.reports import StreamReport
from commander.wire.commands import StreamMeta

RIGHTS = Rights("gateway", "user", "device", "record", "folder", "configuration", "folder")


def test_a_tunnel_on_one_path_has_nothing_more_to_tell() -> None:
    """The outcome says which path carried it."""
    tally = Tally()
    tally.path_up("relay", 1)

    assert tally.paths_event("c", RIGHTS) is None
    outcome = tally.outcome_event("c", RIGHTS, code="stopped", reason="", duration_ms=-5)
    assert (outcome.path, outcome.duration_ms) == ("relay", 0)


def test_interruptions_are_told_beside_the_outcome() -> None:
    """How often, how long, why last, and over which kinds of path."""
    tally = Tally()
    tally.path_up("relay", 1)
    tally.tunnel_interrupted("the router went away", gone=False)
    tally.path_up("direct", 2)
    tally.tunnel_resumed("direct", 1.5)
    tally.tunnel_interrupted("no sign of life", gone=False)

    event = tally.paths_event("c", RIGHTS)

    assert event is not None
    assert (event.paths, event.links) == ("relay, direct", 2)
    assert (event.interruptions, event.resumes, event.interrupted_ms) == (2, 1, 1500)
    assert event.reason == "no sign of life"


def test_what_carried_last_is_the_shortest_that_lived() -> None:
    """Whichever was verified last: the client prefers direct, and the relay only without it."""
    tally = Tally()
    tally.path_up("direct", 2)
    tally.path_up("relay", 1)
    assert tally.path == "direct"
    tally.path_lost("direct", "cut")
    assert tally.path == "relay"
    tally.path_lost("relay", "cut")

    assert tally.path == "relay"
    assert tally.paths_event("c", RIGHTS) is None


def test_what_a_client_names_is_bounded() -> None:
    """Programs and kinds are its words: cut, and not more than a few."""
    tally = Tally()
    for number in range(50):
        tally.stream_opened(number, encode(StreamMeta(f"program-{number}" + "x" * 100)))
        tally.path_up(f"kind-{number}", number)
    tally.stream_opened(99, b"\xc1")

    assert len(tally.programs) == MAX_PROGRAMS
    assert max(map(len, tally.programs)) == 32
    assert (tally.streams, len(tally.kinds)) == (51, MAX_KINDS)


def test_bytes_and_refusals_of_streams_add_up() -> None:
    """A stream that did not end in order counts as refused."""
    tally = Tally()
    tally.stream_closed(StreamReport(1, b"", 10, 20, 0.0, "closed"))
    tally.stream_closed(StreamReport(3, b"", 1, 2, 0.0, "target-refused"))

    outcome = tally.outcome_event("c", RIGHTS, code="stopped", reason="", duration_ms=7)
    assert (outcome.bytes_to_target, outcome.bytes_from_target) == (11, 22)
    assert outcome.streams_refused == 1


def test_who_was_turned_away_is_told_beside_the_outcome() -> None:
    """By the client's word: counted for each local user, bounded, and no connection of the tunnel."""
    tally = Tally()
    for uid, count in ((54321, 2), (-1, 1), (54321, 10**12)):
        meta = encode(StreamMeta("", turned_away=count, uid=uid))
        tally.stream_opened(1, meta)
        tally.stream_closed(StreamReport(1, meta, 0, 0, 0.0, "not-allowed"))
    for uid in range(50):
        tally.stream_opened(1, encode(StreamMeta("", turned_away=1, uid=uid)))

    assert (tally.streams, tally.streams_refused) == (0, 0)
    assert len(tally.turned_away) == MAX_USERS
    events = tally.turned_away_events("c", RIGHTS)
    by_user = {event.os_user: event.stream for event in events}
    assert by_user["54321"] == MAX_TURNED_AWAY
    assert by_user[""] >= 1
    assert {event.code for event in events} == {"another-user"}
    assert Tally().turned_away_events("c", RIGHTS) == []
