"""The control socket on a network that goes silent; time passes only where nothing else can happen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Mapping

import pytest
from websockets.exceptions import ConnectionClosedError

from commander.api.client import Api
from commander.api.socket import HURRY_CONNECT_S, HURRY_S, RouterSocket
from commander.errors import Unreachable
from commander.ids import new_uid
from commander.wire.commands import Undeliverable
from tests.attack.virtual_loop import LoopClock, VirtualLoop, run_virtually
from tests.support.kept_tunnels import SERVER, NoTransport

CHECK_S = 2.0


class Line:
    """One connection; `is_cut` lets nothing through, as a dead network does."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.is_closed = False
        self._never: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def send(self, message: bytes) -> None:
        """Taken by the kernel, whatever happens to it."""

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        yield await self._never

    async def ping(self) -> Awaitable[float]:
        pong: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        if not self.network.is_cut:
            pong.set_result(0.0)
        return pong

    def drop(self) -> None:
        """The peer closes it."""
        self._never.set_exception(ConnectionClosedError(None, None))

    async def close(self) -> None:
        """A close waits for the peer's answer."""
        if self.network.closes_slowly:
            await asyncio.sleep(10)
        self.is_closed = True


class Network:
    """Makes connections; while it is cut an attempt hangs, as SYN packets that vanish do."""

    def __init__(self) -> None:
        self.is_cut = False
        self.closes_slowly = False
        self.attempts: list[float] = []
        self.lines: list[Line] = []

    async def connect(self, api: Api, environment: Mapping[str, str]) -> Line:
        loop = asyncio.get_running_loop()
        self.attempts.append(loop.time())
        if self.is_cut:
            await asyncio.sleep(3600)
            raise AssertionError("somebody waited for an hour")
        self.lines.append(Line(self))
        return self.lines[-1]

    def socket(self, loop: VirtualLoop) -> RouterSocket:
        """A started socket over this network."""
        api = Api(NoTransport(), SERVER, clock=LoopClock(loop))
        socket = RouterSocket(
            api, {}, clock=LoopClock(loop), version="1", rng=random.Random(1), connect=self.connect
        )
        socket.start()
        return socket


def test_a_connection_that_answers_is_kept() -> None:
    """A check costs one ping; several callers share it."""

    async def work(loop: VirtualLoop) -> None:
        network = Network()
        socket = network.socket(loop)
        await socket.wait_connected()

        await asyncio.gather(*(socket.check(within_s=CHECK_S) for _ in range(5)))

        assert len(network.lines) == 1
        assert socket.is_connected
        await socket.close()

    run_virtually(work)


def test_a_connection_that_does_not_answer_is_made_anew_at_once() -> None:
    """Conversations hear of it, and nobody waits for the close of the dead one."""

    async def work(loop: VirtualLoop) -> None:
        network = Network()
        socket = network.socket(loop)
        await socket.wait_connected()
        async with socket.conversation(new_uid()) as conversation:
            network.is_cut = network.closes_slowly = True
            checking = asyncio.create_task(socket.check(within_s=CHECK_S))
            told = await conversation.receive(timeout_s=60)
            begun = loop.time()
            network.is_cut = False
            waiting = asyncio.create_task(socket.wait_connected())
            await waiting
            await checking

        assert isinstance(told, Undeliverable)
        assert loop.time() - begun <= HURRY_CONNECT_S + HURRY_S
        assert len(network.lines) == 2
        assert not network.lines[0].is_closed
        await socket.close()

    run_virtually(work)


def test_while_somebody_waits_no_attempt_hangs() -> None:
    """Each attempt into a dead network ends after a few seconds; the first after its return connects."""

    async def work(loop: VirtualLoop) -> None:
        network = Network()
        network.is_cut = True
        socket = network.socket(loop)
        waiting = asyncio.create_task(socket.wait_connected(timeout_s=None))
        await asyncio.sleep(60)
        network.is_cut = False
        begun = loop.time()
        await waiting

        assert loop.time() - begun <= HURRY_CONNECT_S + HURRY_S
        gaps = [b - a for a, b in zip(network.attempts, network.attempts[1:], strict=False)]
        assert max(gaps) <= HURRY_CONNECT_S + HURRY_S
        await socket.close()

    run_virtually(work)


def test_who_begins_to_wait_hurries_the_attempt_that_hangs() -> None:
    """It may have hung for minutes already."""

    async def work(loop: VirtualLoop) -> None:
        network = Network()
        network.is_cut = True
        socket = network.socket(loop)
        await asyncio.sleep(100)
        network.is_cut = False
        begun = loop.time()

        await socket.wait_connected()

        assert loop.time() - begun <= HURRY_CONNECT_S + HURRY_S
        await socket.close()

    run_virtually(work)


def test_a_wait_with_a_deadline_says_what_went_wrong() -> None:
    """The last failure, and not just that the time is up."""

    async def work(loop: VirtualLoop) -> None:
        network = Network()
        network.is_cut = True
        socket = network.socket(loop)
        with pytest.raises(Unreachable, match=f"in {HURRY_CONNECT_S:g} s"):
            await socket.wait_connected(timeout_s=10)
        await socket.close()

    run_virtually(work)


def test_a_closed_connection_is_followed_by_another() -> None:
    """The peer closed in order: one pause, and the next."""

    async def work(loop: VirtualLoop) -> None:
        network = Network()
        socket = network.socket(loop)
        await socket.wait_connected()
        network.lines[0].drop()
        await asyncio.sleep(1)

        assert network.lines[0].is_closed
        assert len(network.lines) == 2
        await socket.close()

    run_virtually(work)
