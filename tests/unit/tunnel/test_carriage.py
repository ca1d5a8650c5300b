from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from commander.clock import ManualClock
from commander.errors import TimedOut, Unreachable
from commander.tunnel import frames
from commander.tunnel.carriage import MAX_LINKS, REPLACED, Carriage
from commander.tunnel.codes import CloseCode, Role
from commander.tunnel.events import Entry
from commander.tunnel.keys import ConversationKeys
from commander.tunnel.link import Link
from commander.tunnel.path import Binding
from commander.tunnel.reports import TunnelLimits
from commander.tunnel.transports.memory import Faults, MemoryPath, memory_paths
from tests.support.tunnels import LossyPath, Recorded, conversation_keys, eventually, lossy_paths


@dataclass
class Owner:
    """A tunnel without streams: it passes frames of links on, as the engine does."""

    carriage: Carriage | None = None
    lanes: list[list[int]] = field(default_factory=list)
    lost: list[Entry] = field(default_factory=list)
    ends: list[tuple[CloseCode, str]] = field(default_factory=list)

    def lanes_changed(self) -> None:
        assert self.carriage is not None
        self.lanes.append([link.generation for link in self.carriage.senders])

    def entries_lost(self, entries: list[Entry]) -> None:
        self.lost.extend(entries)

    def message(self, link: Link, message: bytes) -> None:
        assert self.carriage is not None
        for frame in frames.parse(message):
            if isinstance(frame, frames.Ping | frames.Pong | frames.Progress | frames.Bye):
                self.carriage.take(link, frame)
        self.flush()

    def flush(self) -> None:
        assert self.carriage is not None
        for link in [*self.carriage.talkers]:
            parts: list[frames.Bytes] = [frames.VERSION_BYTE]
            link.put(parts, 1000)
            link.put_farewell(parts)
            if len(parts) > 1:
                link.send(b"".join(parts))

    def gave_up(self, code: CloseCode, reason: str) -> None:
        self.ends.append((code, reason))


class End:
    """One end's carriage, and what it told."""

    def __init__(self, role: Role, clock: ManualClock, limits: TunnelLimits) -> None:
        self.owner, self.events = Owner(), Recorded()
        self.carriage = Carriage(
            role, conversation_keys(), limits=limits, events=self.events, clock=clock, owner=self.owner
        )  # fmt: skip
        self.owner.carriage = self.carriage


class Ends:
    """Both ends, and the paths between them by generation."""

    def __init__(self, chosen: TunnelLimits | None = None) -> None:
        self.clock = ManualClock()
        chosen = chosen or limits()
        self.client = End(Role.CLIENT, self.clock, chosen)
        self.gateway = End(Role.GATEWAY, self.clock, chosen)
        self.paths: dict[int, tuple[MemoryPath, MemoryPath]] = {}

    async def attach(
        self,
        generation: int,
        group: int,
        *,
        faults: Faults | None = None,
        secret: bytes = b"n" * 32,
        is_lossy: bool = False,
    ) -> None:
        one, two = self.paths[generation] = lossy_paths() if is_lossy else memory_paths(faults)
        await asyncio.gather(
            self.client.carriage.attach(
                one, Binding(), generation=generation, keys=fresh(secret), group=group
            ),
            self.gateway.carriage.attach(
                two, Binding(), generation=generation, keys=fresh(secret), group=group
            ),
        )

    async def close(self) -> None:
        for end in (self.client, self.gateway):
            end.carriage.close(b"", "done")
            await end.carriage.settled(5.0)


def limits(
    *,
    gone_s: float = 15.0,
    hello_s: float = 10.0,
    dead_after_s: float = 6.0,
    heartbeat_s: float = 2.0,
) -> TunnelLimits:
    return TunnelLimits(
        resume_s=600.0, gone_s=gone_s, hello_s=hello_s, dead_after_s=dead_after_s,
        heartbeat_s=heartbeat_s,
    )  # fmt: skip


def fresh(secret: bytes) -> ConversationKeys:
    return conversation_keys(secret)


def sending(end: End) -> list[int]:
    return [link.generation for link in end.carriage.senders]


async def test_the_first_group_carries_and_later_ones_wait_to_be_preferred() -> None:
    """The leading link is the group's first; a gateway follows the link that the client names."""
    ends = Ends()
    await ends.attach(1, 1)
    await ends.attach(2, 2)
    await ends.attach(3, 2)
    assert sending(ends.client) == sending(ends.gateway) == [1]

    ends.client.carriage.prefer(2)
    assert sending(ends.client) == [2, 3]
    assert ends.client.carriage.wanted_link == 2
    ends.client.carriage.prefer(99)
    ends.gateway.carriage.prefer_link(3)
    ends.gateway.carriage.prefer_link(99)
    assert sending(ends.gateway) == [2, 3]
    assert [report.is_preferred for report in ends.client.carriage.reports()] == [False, True, True]
    await ends.close()


async def test_a_client_tells_once_when_its_carriers_lose_much() -> None:
    """By what the kernel counts, at heartbeats between which bulk moved; a gateway only follows."""
    ends = Ends()
    for generation in (1, 2, 3):
        await ends.attach(generation, 1, is_lossy=True)

    def bulk(end: End) -> None:
        for link in end.carriage.senders:
            assert isinstance(link.path, LossyPath)
            link.path.segments += 1000
            link.sent_bytes += 1_000_000

    for _ in range(4):
        for end in (ends.client, ends.gateway):
            bulk(end)
            end.carriage.beat()
        ends.clock.advance(2.0)

    assert ends.client.events.paths.count("narrow memory") == 1
    assert "narrow memory" not in ends.gateway.events.paths
    await ends.close()


async def test_the_loss_of_a_carrier_leaves_the_others_of_its_group() -> None:
    """What was unconfirmed there is handed out; the tunnel is not interrupted."""
    ends = Ends()
    for generation in (1, 2, 3):
        await ends.attach(generation, 1)
    link = ends.client.carriage.senders[0]
    ends.paths[1][0].hold()
    link.send(b"never arrives", [b"an open"])
    ends.paths[1][0].cut()
    await eventually(lambda: sending(ends.client) == sending(ends.gateway) == [2, 3], "the loss")
    assert ends.client.owner.lost == [b"an open"]
    assert not ends.client.carriage.is_interrupted
    assert ends.client.events.paths[-1] == "lost memory"
    await ends.close()


async def test_the_newest_group_takes_over_when_the_preferred_one_is_lost() -> None:
    """At both ends, without a word."""
    ends = Ends()
    for generation in (1, 2, 3):
        await ends.attach(generation, generation)
    ends.paths[1][0].cut()
    await eventually(lambda: sending(ends.client) == sending(ends.gateway) == [3], "the take-over")
    await ends.close()


async def test_without_a_path_the_tunnel_waits_and_goes_on() -> None:
    """It says since when, and that it is back."""
    ends = Ends()
    await ends.attach(1, 1)
    ends.paths[1][0].cut("pulled")
    await eventually(lambda: ends.client.carriage.is_interrupted, "the interruption")
    await eventually(lambda: ends.gateway.carriage.is_interrupted, "the other's")
    ends.clock.advance(12.0)
    assert ends.client.carriage.interrupted_for() == 12.0
    assert ends.client.carriage.wanted_link is None

    await ends.attach(2, 2)
    assert not ends.client.carriage.is_interrupted
    assert ends.client.carriage.interrupted_for() == 0.0
    assert ends.client.events.paths == [
        "up memory 1", "lost memory", "interrupted silent", "up memory 2", "resumed memory",
    ]  # fmt: skip
    assert ends.client.owner.ends == []
    await ends.close()


@pytest.mark.parametrize(
    ("role", "gone", "ends_soon"),
    [(Role.GATEWAY, True, True), (Role.GATEWAY, False, False), (Role.CLIENT, True, False)],
)
async def test_a_gateway_waits_less_for_a_client_whose_host_closed_the_path(
    role: Role, gone: bool, ends_soon: bool
) -> None:
    """Its process may have ended; a client asks the router about that."""
    ends = Ends(limits(gone_s=0.01))
    await ends.attach(1, 1)
    end = ends.client if role is Role.CLIENT else ends.gateway
    end.carriage.senders[0].path_lost("reset by the host", gone=gone)
    assert end.events.paths[-1] == ("interrupted gone" if gone else "interrupted silent")
    if ends_soon:
        await eventually(lambda: end.owner.ends, "the end")
        [(code, reason)] = end.owner.ends
        assert code is CloseCode.PATH_LOST
        assert reason == "reset by the host; nothing came back in 0.01 s"
    else:
        await asyncio.sleep(0.05)
        assert end.owner.ends == []
    await ends.close()


async def test_where_nothing_may_be_resumed_the_loss_is_the_end() -> None:
    """At once, with the reason."""
    ends = Ends(TunnelLimits(resume_s=0.0))
    await ends.attach(1, 1)
    ends.paths[1][0].cut("pulled")
    await eventually(lambda: ends.client.owner.ends == [(CloseCode.PATH_LOST, "pulled")], "the end")
    await ends.close()


async def test_a_silent_link_is_dropped_and_the_peer_is_told_which() -> None:
    """The others live; one that slept itself gives them time first."""
    ends = Ends(limits(dead_after_s=3.0, heartbeat_s=2.0))
    await ends.attach(1, 1, faults=Faults(black_hole_after=2))
    await ends.attach(2, 2)
    carriage = ends.client.carriage
    living = carriage._links[2]
    for _ in range(3):
        ends.clock.advance(2.0)
        carriage.beat()
        ends.client.owner.flush()
        await eventually(lambda: living.heard_at == ends.clock.monotonic(), "a pong")
    assert sending(ends.client) == [2]
    assert carriage.take_abandoned() == [1]
    assert carriage.take_abandoned() == []
    ends.gateway.carriage.drop_link(1, "the other end dropped it")
    ends.gateway.carriage.drop_link(1, "the other end dropped it")
    assert sending(ends.gateway) == [2]

    ends.clock.advance(3600.0)
    carriage.beat()
    assert sending(ends.client) == [2]
    await ends.close()


async def test_a_probe_drops_what_does_not_answer() -> None:
    """Within its deadline; what answers stays."""
    ends = Ends()
    await ends.attach(1, 1, faults=Faults(black_hole_after=2))
    await ends.attach(2, 1)
    ends.clock.advance(1.0)

    async def clock_goes_on() -> None:
        # An answer at the same instant as the question would prove nothing.
        await asyncio.sleep(0)
        ends.clock.advance(0.1)

    is_left, _ = await asyncio.gather(ends.client.carriage.probe(0.2), clock_goes_on())
    assert is_left
    assert sending(ends.client) == [2]
    ends.paths[2][0].hold()
    assert not await ends.client.carriage.probe(0.05)
    assert ends.client.carriage.is_interrupted
    await ends.close()


async def test_a_group_is_replaced_with_a_farewell() -> None:
    """Nothing is lost by it, and the other end closes too; the only group stays."""
    ends = Ends()
    await ends.attach(1, 1)
    await ends.client.carriage.retire(1)
    assert sending(ends.client) == [1]

    await ends.attach(2, 2)
    ends.client.carriage.prefer(2)
    await ends.client.carriage.retire(1)
    await eventually(lambda: len(ends.gateway.carriage.reports()) == 1, "the other end's close")
    assert sending(ends.client) == sending(ends.gateway) == [2]
    assert ends.client.owner.lost == ends.gateway.owner.lost == []
    assert "interrupted silent" not in ends.client.events.paths
    assert ends.gateway.carriage.reports()[0].generation == 2
    await ends.close()


async def test_a_group_that_cannot_say_farewell_is_replaced_all_the_same() -> None:
    """After two seconds, with what was on its way handed out."""
    ends = Ends()
    await ends.attach(1, 1)
    await ends.attach(2, 2)
    ends.paths[1][0].hold()
    ends.client.carriage.senders[0].send(b"never arrives", [b"an open"])
    ends.client.carriage.prefer(2)
    await ends.client.carriage.retire(1)
    assert ends.client.owner.lost == [b"an open"]
    assert [report.generation for report in ends.client.carriage.reports()] == [2]
    await ends.close()


async def test_a_lost_path_that_was_leaving_counts_as_replaced() -> None:
    """Nobody has to be told of trouble."""
    lost: list[str] = []

    class Events(Recorded):
        def path_lost(self, kind: str, reason: str) -> None:
            lost.append(reason)

    ends = Ends()
    ends.client.carriage._events = Events()
    await ends.attach(1, 1)
    await ends.attach(2, 2)
    ends.client.carriage.senders[0].leave()
    ends.paths[1][0].cut("closed by the other end")
    await eventually(lambda: lost == [REPLACED], "the loss")
    await ends.close()


async def test_generations_are_unique_and_links_are_bounded() -> None:
    """A path that cannot be taken is closed."""
    ends = Ends()
    await ends.attach(1, 1)
    one, _ = memory_paths()
    with pytest.raises(Unreachable, match="generation 1"):
        await ends.client.carriage.attach(one, Binding(), generation=1, keys=None, group=1)
    for generation in range(2, MAX_LINKS + 1):
        await ends.attach(generation, 1)
    with pytest.raises(Unreachable):
        await ends.attach(MAX_LINKS + 1, 1)
    await ends.close()
    with pytest.raises(Unreachable):
        await ends.attach(1, 1)


async def test_two_attempts_of_one_generation_bring_up_one_link() -> None:
    """Whoever is verified second is closed."""
    ends = Ends()
    results = await asyncio.gather(
        ends.attach(1, 1), ends.attach(1, 1, secret=b"m" * 32), return_exceptions=True
    )
    assert Unreachable in {type(result) for result in results}
    assert sending(ends.client) == [1]
    await ends.close()


async def test_an_attempt_has_a_deadline_and_can_be_cancelled() -> None:
    """Neither leaves a path open or ends the tunnel."""
    ends = Ends(limits(hello_s=0.02))
    one, two = memory_paths()
    with pytest.raises(TimedOut):
        await ends.client.carriage.attach(one, Binding(), generation=1, keys=None, group=1)
    one, two = memory_paths()
    attempt = asyncio.ensure_future(
        ends.client.carriage.attach(one, Binding(), generation=1, keys=None, group=1)
    )
    await asyncio.sleep(0)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    two.send(b"x")
    assert two.backlog_bytes() == 0 or one.backlog_bytes() == 0
    assert ends.client.owner.ends == []
    await ends.close()


async def test_a_report_that_cannot_be_true_ends_the_tunnel() -> None:
    """Whoever counts wrongly is no honest peer."""
    ends = Ends()
    await ends.attach(1, 1)
    ends.client.carriage.take(ends.client.carriage.senders[0], frames.Progress(1 << 40))
    assert ends.client.owner.ends[0][0] is CloseCode.PROTOCOL_ERROR
    await ends.close()


async def test_the_end_is_told_on_every_link() -> None:
    """And all paths are closed when it has settled."""
    ends = Ends()
    await ends.attach(1, 1)
    await ends.attach(2, 2)
    ends.client.carriage.close(b"\x01\x0b\x00\x01\x00\x00", "stopped")
    ends.client.carriage.close(b"", "again")
    await ends.client.carriage.settled(5.0)
    assert ends.client.carriage.reports() == ()
    assert all(paths[0].messages_sent == 3 for paths in ends.paths.values())
    await ends.close()


async def test_a_gateway_asks_only_who_has_been_quiet() -> None:
    """The client's own pings are enough while they come."""
    ends = Ends()
    await ends.attach(1, 1)
    link = ends.gateway.carriage.senders[0]
    asked = []
    for seconds in (2.0, 2.0):
        ends.clock.advance(seconds)
        ends.gateway.carriage.beat()
        asked.append(link._ping_token)
    assert asked == [0, 1]
    ends.client.carriage.beat()
    assert ends.client.carriage.senders[0].has_control()
    await ends.close()


async def beats(ends: Ends, count: int) -> list[list[int]]:
    """So many heartbeats of both ends, two seconds apart; which links the client asked at each."""
    asked = []
    for _ in range(count):
        ends.clock.advance(2.0)
        links = ends.client.carriage._links
        before = {generation: link._ping_token for generation, link in links.items()}
        for end in (ends.client, ends.gateway):
            end.carriage.beat()
            end.owner.flush()
        asked.append([g for g, link in links.items() if link._ping_token > before[g]])
        await eventually(lambda: all(link.is_quiet for link in links.values()), "the answers")  # noqa: B023  at once
    return asked


async def test_carriers_that_nothing_uses_rest() -> None:
    """The first of a path is asked at each heartbeat, once known the others at every fifth."""
    ends = Ends()
    for generation in (1, 2, 3):
        await ends.attach(generation, 1)

    asked = await beats(ends, 12)

    assert asked == [[1, 2, 3], *[[1]] * 4, [1, 2, 3], *[[1]] * 4, [1, 2, 3], [1]]
    assert sending(ends.client) == sending(ends.gateway) == [1, 2, 3]
    await ends.close()


@pytest.mark.parametrize("which", ["client", "gateway"])
async def test_a_path_that_goes_silent_is_left_as_soon_with_carriers_that_rest(which: str) -> None:
    """The silence of the first wakes the others: they are asked, and all are gone after six seconds."""
    ends = Ends()
    for generation in (1, 2, 3, 4):
        await ends.attach(generation, 1)
    await beats(ends, 3)
    end = getattr(ends, which)
    links = list(end.carriage._links.values())
    assert [link.rests for link in links] == [False, True, True, True]
    heard_at = links[0].heard_at
    for paths in ends.paths.values():
        paths[0].hold()
        paths[1].hold()
    while not end.carriage.is_interrupted:
        ends.clock.advance(2.0)
        assert ends.clock.monotonic() - heard_at <= 8.0
        end.carriage.beat()
        end.owner.flush()
    assert all(link._ping_token for link in links)
    await ends.close()


async def test_a_resting_carrier_that_is_dead_is_found() -> None:
    """At its next question, or six seconds after something was sent on it; not by its silence before."""
    for is_used in (False, True):
        ends = Ends()
        await ends.attach(1, 1)
        await ends.attach(2, 1)
        await beats(ends, 4)
        link = ends.client.carriage._links[2]
        ends.paths[2][0].hold()
        seconds = 0
        if is_used:
            link.send(b"never arrives", [b"an open"])
        while 2 in sending(ends.client):
            assert seconds < 30
            seconds += 2
            ends.clock.advance(2.0)
            for end in (ends.client, ends.gateway):
                end.carriage.beat()
                end.owner.flush()
            first = ends.client.carriage._links[1]
            await eventually(lambda: first._ping_sent_at is None, "a pong")  # noqa: B023  at once
        assert seconds == (8 if is_used else 12)
        assert ends.client.owner.lost == ([b"an open"] if is_used else [])
        await ends.close()


async def test_an_answer_to_a_ping_carries_the_progress() -> None:
    """An idle link needs one message each way for a heartbeat."""
    ends = Ends()
    await ends.attach(1, 1)
    link = ends.gateway.carriage.senders[0]
    link.received_bytes += 40
    link.take(frames.Ping(5))
    parts: list[frames.Bytes] = [frames.VERSION_BYTE]
    link.put(parts, 1000)
    said = frames.parse(b"".join(parts))
    assert said == [frames.Pong(5), frames.Progress(link.received_bytes)]
    ends.gateway.carriage.beat()
    assert not link.has_control()
    await ends.close()
