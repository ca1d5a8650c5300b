"""What a channel promises whichever library is below: here one that is a list."""

from __future__ import annotations

import asyncio

import pytest

from commander.errors import Conflict, InvalidInput, TimedOut, Unreachable
from commander.tunnel.path import DATA_CHANNEL_MESSAGE_BYTES
from commander.tunnel.transports import channel, sdp
from commander.tunnel.transports.channel import ChannelPath, begin_answer, begin_offer
from commander.tunnel.transports.ice import WebRtcOptions

OPTIONS = WebRtcOptions(connect_timeout_s=0.05)


class ListPath(ChannelPath):
    """A path whose network is a list, and whose description is given."""

    def __init__(self, setup: sdp.SetupRole = "actpass") -> None:
        super().__init__(OPTIONS)
        self.sent: list[bytes] = []
        self.taken: list[sdp.SessionDescription] = []
        self.buffered = 0
        self.fault: Exception | None = None
        self.is_ended = False
        self._setup: sdp.SetupRole = setup

    @property
    def route(self) -> str:
        return "host-host"

    async def describe(self, rules: sdp.CandidateRules) -> sdp.SessionDescription:
        return described(self._setup)

    async def take(self, remote: sdp.SessionDescription) -> None:
        self.taken.append(remote)

    def _send(self, message: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        self.sent.append(message)

    def _buffered(self) -> int:
        return self.buffered

    async def _end(self) -> None:
        self.is_ended = True


class Owner:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def message_received(self, message: bytes | memoryview) -> None:
        if message == b"fail":
            raise RuntimeError("mistake")
        self.told.append(bytes(message))

    def path_ready(self) -> None:
        self.told.append("ready")

    def path_lost(self, reason: str, *, gone: bool = False) -> None:
        self.told.append((reason, gone))


def described(setup: sdp.SetupRole, mark: int = 0) -> sdp.SessionDescription:
    candidate = sdp.Candidate("host", bytes([192, 0, 2, 7]), 4000, 1)
    kind = 1 if setup == "actpass" else 2
    digest = bytes([kind + mark]) * 32
    return sdp.SessionDescription(1, setup, "abcd", "p" * 22, digest, 65536, 5000, (candidate,))


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_early_messages_come_first_and_in_order() -> None:
    """What arrives before the owner is kept for it."""
    path, owner = ListPath(), Owner()
    path._received(b"1")
    path._received(b"2")
    path.start(owner)
    await settled()
    path._received(b"3")

    assert owner.told == [b"1", b"2", b"3"]
    await path.close()


@pytest.mark.parametrize(
    "message", ["text", bytes(DATA_CHANNEL_MESSAGE_BYTES + 1)], ids=["text", "large"]
)
async def test_a_message_that_no_peer_of_ours_sends_ends_the_path(message: bytes | str) -> None:
    """Text and messages over the limit (B124)."""
    path, owner = ListPath(), Owner()
    path.start(owner)
    await settled()
    path._received(message)
    await settled()
    path._received(b"late")

    assert owner.told == [("peer broke the channel's rules", False)]
    assert path.is_ended


async def test_what_waits_for_an_owner_is_bounded() -> None:
    """64 messages, then the path ends; the loss is told to whoever starts it later."""
    path, owner = ListPath(), Owner()
    for _ in range(channel.MAX_EARLY_MESSAGES + 1):
        path._received(b"x")
    path.start(owner)
    await settled()

    assert owner.told[-1] == ("peer sent too much before the path was started", False)


async def test_a_backlog_nobody_looks_at_ends_the_path() -> None:
    """So does a library that refuses to send; on a dead path nothing is sent or counted."""
    for fault in ("backlog", "library"):
        path, owner = ListPath(), Owner()
        path.start(owner)
        await settled()
        path.buffered = channel.MAX_BACKLOG_BYTES + 1 if fault == "backlog" else 0
        path.fault = ValueError("closed") if fault == "library" else None
        path.send(b"x")
        path.send(b"y")
        await settled()

        assert len(owner.told) == 1
        assert (path.sent, path.backlog_bytes()) == ([], 0)


async def test_an_owner_that_fails_ends_its_own_path() -> None:
    """It is logged as our mistake."""
    path, owner = ListPath(), Owner()
    path.start(owner)
    await settled()
    path._received(b"fail")
    await settled()

    assert owner.told == [("internal error", False)]


async def test_room_is_told_to_a_living_owner_alone() -> None:
    """Not before the start, not after the end."""
    path, owner = ListPath(), Owner()
    path._has_room()
    path.start(owner)
    await settled()
    path._has_room()
    path._lose("over", gone=True)
    path._lose("again")
    path._has_room()
    await settled()

    assert owner.told == ["ready", ("over", True)]


async def test_a_negotiation_leads_to_one_path() -> None:
    """Offer and answer bind both fingerprints; a second use is a state error (B117)."""
    client, gateway = ListPath(), ListPath("active")
    offered = await begin_offer(lambda: client, OPTIONS)
    accepted = await begin_answer(lambda: gateway, offered.wire, OPTIONS)
    client._open()
    gateway._open()

    assert await offered.complete(accepted.wire) is client
    assert await accepted.connected() is gateway
    assert client.binding == gateway.binding
    assert gateway.taken == [described("actpass")]
    with pytest.raises(Conflict):
        await offered.complete(accepted.wire)


async def test_what_leads_nowhere_is_closed() -> None:
    """Garbage, silence and a path that dies meanwhile, each with an error of its own."""
    path = ListPath()
    with pytest.raises(InvalidInput):
        await (await begin_offer(lambda: path, OPTIONS)).complete(b"nonsense")
    assert path.is_ended

    path.refused = ""
    silent = ListPath()
    silent.refused = "the TURN server does not answer"
    with pytest.raises(TimedOut, match="the TURN server does not answer"):
        await (await begin_offer(lambda: silent, OPTIONS)).complete(described("active").to_wire())

    dying = ListPath("active")
    accepted = await begin_answer(lambda: dying, described("actpass").to_wire(), OPTIONS)
    dying._lose("connection failed")
    with pytest.raises(Unreachable, match="connection failed"):
        await accepted.connected()


async def test_an_answer_is_no_offer() -> None:
    """Nothing is made for it."""
    with pytest.raises(Conflict, match="expected an offer"):
        await begin_answer(ListPath, described("active").to_wire(), OPTIONS)
