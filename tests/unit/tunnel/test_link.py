from __future__ import annotations

import asyncio

import pytest

from commander.clock import ManualClock
from commander.errors import InvalidInput, SealBroken, Unreachable
from commander.tunnel import frames
from commander.tunnel.codes import ProtocolViolation, Role
from commander.tunnel.events import SentBytes
from commander.tunnel.link import MAX_PONGS, Link
from commander.tunnel.path import Binding
from commander.tunnel.seal import KEY_LIFE_S, SEAL_BYTES
from commander.tunnel.transports.memory import MemoryPath, memory_paths
from tests.support.tunnels import conversation_keys, eventually


class Owner:
    """What a link told."""

    def __init__(self) -> None:
        self.takes = True
        self.verified: list[Link] = []
        self.messages: list[bytes] = []
        self.ready = 0
        self.talks = 0
        self.lost: list[str] = []

    def link_verified(self, link: Link) -> bool:
        self.verified.append(link)
        return self.takes

    def link_message(self, link: Link, message: bytes) -> None:
        self.messages.append(message)

    def link_ready(self, link: Link) -> None:
        self.ready += 1

    def link_talks(self, link: Link) -> None:
        self.talks += 1

    def link_lost(self, link: Link, reason: str, *, gone: bool) -> None:
        self.lost.append(reason + (" (gone)" if gone else ""))


def make(
    role: Role, path: MemoryPath, clock: ManualClock, *, secret: bytes = b"s" * 32
) -> tuple[Link, Owner]:
    owner = Owner()
    return Link(role, conversation_keys(secret), path, Binding(), 1, clock, owner), owner


class Pair:
    """Two links over one memory path."""

    def __init__(self, *, secret: bytes = b"s" * 32) -> None:
        self.clock = ManualClock()
        self.paths = memory_paths()
        self.client, self.client_owner = make(Role.CLIENT, self.paths[0], self.clock)
        self.gateway, self.gateway_owner = make(
            Role.GATEWAY, self.paths[1], self.clock, secret=secret
        )
        self.client.begin()
        self.gateway.begin()

    async def verified(self) -> Pair:
        await asyncio.gather(self.client.verified, self.gateway.verified)
        return self


async def test_messages_flow_once_both_ends_are_verified() -> None:
    """And are counted as the peer counts them."""
    pair = await Pair().verified()
    assert pair.client_owner.verified == [pair.client]
    pair.client.send(b"hello")
    await eventually(lambda: pair.gateway_owner.messages == [b"hello"], "the message")
    assert pair.gateway.received_bytes == len(b"hello") + SEAL_BYTES == pair.client.window.in_flight
    assert pair.client.take(frames.Progress(pair.gateway.received_bytes))
    assert not pair.client.take(frames.Progress(1_000_000))
    assert pair.client.message_bytes == pair.paths[0].max_message_bytes - SEAL_BYTES


async def test_other_keys_end_the_attempt() -> None:
    """The error is the future's; the owner hears of nothing."""
    pair = Pair(secret=b"x" * 32)
    results = await asyncio.gather(
        pair.client.verified, pair.gateway.verified, return_exceptions=True
    )
    assert [type(result) for result in results] == [SealBroken, SealBroken]
    assert not pair.client_owner.verified
    assert not pair.client_owner.lost


async def test_a_path_lost_before_hello_ends_the_attempt() -> None:
    """As Unreachable: another path may do."""
    pair = Pair()
    pair.paths[0].cut("pulled")
    with pytest.raises(Unreachable, match="pulled"):
        await pair.client.verified
    with pytest.raises(Unreachable):
        await pair.gateway.verified


async def test_noise_before_hello_ends_the_attempt() -> None:
    """Nothing but HELLO is looked at."""
    pair = Pair()
    pair.gateway.message_received(b"noise")
    with pytest.raises(ProtocolViolation):
        await pair.gateway.verified
    pair.client.abandon()


async def test_a_generation_that_was_used_before_ends_the_attempt() -> None:
    """Even when the path and the far end are right: its nonces are spent."""
    clock, keys, owner = ManualClock(), conversation_keys(), Owner()
    keys.sealer(Role.CLIENT, 1)
    paths = memory_paths()
    client = Link(Role.CLIENT, keys, paths[0], Binding(), 1, clock, owner)
    gateway, _ = make(Role.GATEWAY, paths[1], clock)
    client.begin()
    gateway.begin()
    with pytest.raises(InvalidInput):
        await client.verified
    assert not owner.verified
    await gateway.verified


async def test_a_path_that_is_not_needed_any_more_ends_the_attempt() -> None:
    """The tunnel ended meanwhile."""
    pair = Pair()
    pair.client_owner.takes = False
    with pytest.raises(Unreachable, match="is over"):
        await pair.client.verified
    await pair.gateway.verified


async def test_an_altered_frame_ends_the_generation_once() -> None:
    """Later messages and a later loss of the path are not told again."""
    pair = await Pair().verified()
    pair.gateway.message_received(bytes(100))
    pair.client.send(b"late")
    await eventually(lambda: pair.paths[0].backlog_bytes() == 0, "the delivery")
    pair.paths[0].cut()
    await eventually(lambda: pair.client_owner.lost, "the loss at the other end")
    assert pair.gateway_owner.lost == ["a frame does not verify"]
    assert pair.gateway_owner.messages == []


async def test_an_abandoned_link_says_nothing_more() -> None:
    """Its owner has moved on."""
    pair = await Pair().verified()
    pair.client.abandon()
    pair.gateway.send(b"too late")
    pair.client.path_ready()
    pair.client.path_lost("gone")
    await eventually(lambda: pair.paths[1].backlog_bytes() == 0, "the delivery")
    assert not pair.client_owner.messages
    assert not pair.client_owner.lost
    assert pair.client_owner.ready == 0


async def test_readiness_is_passed_on() -> None:
    """Only of a verified link."""
    pair = await Pair().verified()
    pair.client.path_ready()
    assert pair.client_owner.ready == 1


async def test_the_key_is_renewed_after_ten_minutes() -> None:
    """The peer follows without a word."""
    pair = await Pair().verified()
    pair.client.send(b"one")
    pair.client.renew_key()
    pair.clock.advance(KEY_LIFE_S)
    pair.client.renew_key()
    pair.client.send(b"two")
    pair.client.renew_key()
    pair.client.send(b"three")
    await eventually(lambda: len(pair.gateway_owner.messages) == 3, "the messages")
    assert pair.gateway_owner.messages == [b"one", b"two", b"three"]
    assert pair.client._sealer is not None
    assert pair.client._sealer._epoch == 1


async def test_hearing_anything_is_a_sign_of_life() -> None:
    """The owner decides by it when the path is dead."""
    pair = await Pair().verified()
    pair.clock.advance(5.0)
    pair.client.send(b"x")
    await eventually(lambda: pair.gateway_owner.messages, "the message")
    assert pair.gateway.heard_at == pair.clock.monotonic()


def said(link: Link, room: int = 1000) -> list[frames.Frame]:
    """What a link has to say of itself."""
    parts: list[frames.Bytes] = [frames.VERSION_BYTE]
    left = link.put(parts, room)
    link.put_farewell(parts)
    message = b"".join(parts)
    assert left >= room - len(message)
    return frames.parse(message) if len(message) > 1 else []


async def test_what_was_sent_is_kept_until_it_is_confirmed() -> None:
    """In the order of sending; what had nothing to repeat is not kept."""
    pair = await Pair().verified()
    pair.client.send(b"one", [b"open"])
    confirmed = pair.client.sent_bytes
    pair.client.send(b"heartbeat")
    pair.client.send(b"two", [SentBytes(1, 0, 5), b"reset"])
    assert pair.client.take(frames.Progress(confirmed))
    assert pair.client.unconfirmed() == [SentBytes(1, 0, 5), b"reset"]
    assert pair.client.unconfirmed() == []


async def test_a_ping_is_asked_once_and_its_answer_is_the_round_trip() -> None:
    """Another answer, or none, changes nothing."""
    pair = await Pair().verified()
    pair.client.ping()
    pair.client.ping()
    assert said(pair.client) == [frames.Ping(1)]
    pair.clock.advance(0.5)
    pair.client.take(frames.Pong(7))
    known = [pair.client.rtt_s]
    pair.client.take(frames.Pong(1))
    known.append(pair.client.rtt_s)
    assert known == [None, 0.5]
    pair.client.ping()
    pair.clock.advance(0.1)
    pair.client.take(frames.Pong(2))
    assert pair.client.rtt_s == pytest.approx(0.4)


async def test_a_flood_of_pings_gets_few_answers() -> None:
    """Sixteen wait at most, and a message takes only as many as it has room for."""
    pair = await Pair().verified()
    for token in range(1000):
        pair.client.take(frames.Ping(token))
    few = said(pair.client, room=70)
    assert 0 < len(few) < MAX_PONGS
    assert len(few) + len(said(pair.client)) == MAX_PONGS
    assert not pair.client.has_control()


async def test_progress_is_told_by_steps() -> None:
    """And small remainders when asked for."""
    pair = await Pair().verified()
    pair.client.tell_progress(step=1)
    assert not pair.client.has_control()
    pair.gateway.send(b"x")
    await eventually(lambda: pair.client_owner.messages, "the message")
    pair.client.tell_progress()
    assert not pair.client.has_control()
    pair.client.tell_progress(step=1)
    assert said(pair.client) == [frames.Progress(pair.client.received_bytes)]
    pair.client.tell_progress(step=1)
    assert said(pair.client) == []


async def test_both_ends_say_farewell_once_and_confirm_what_came() -> None:
    """Then nothing is left to send again."""
    pair = await Pair().verified()
    pair.client.send(b"last", [b"open"])
    await eventually(lambda: pair.gateway_owner.messages, "the message")
    pair.client.leave()
    assert not pair.client.takes_bytes
    assert said(pair.client) == [frames.Bye()]
    pair.client.leave()
    assert said(pair.client) == []

    pair.gateway.take(frames.Bye())
    assert not pair.gateway.takes_bytes
    answer = said(pair.gateway)
    assert answer == [frames.Progress(pair.gateway.received_bytes), frames.Bye()]
    for frame in answer:
        assert isinstance(frame, frames.Progress | frames.Bye)
        assert not pair.client.has_left
        assert pair.client.take(frame)
    assert pair.client.has_left
    assert pair.gateway.has_left


async def test_a_far_host_that_closed_the_path_is_told_apart() -> None:
    """Its process may have ended, which silence does not say."""
    pair = await Pair().verified()
    pair.client.path_lost("reset", gone=True)
    pair.gateway.path_lost("silence")
    assert pair.client_owner.lost == ["reset (gone)"]
    assert pair.gateway_owner.lost == ["silence"]
    assert pair.client.is_over


async def test_an_attempt_that_is_given_up_ends_without_a_word() -> None:
    """Whoever waits for it is told; nobody has to."""
    pair = Pair()
    pair.client.abandon()
    with pytest.raises(Unreachable):
        await pair.client.verified
    pair.gateway.abandon()
