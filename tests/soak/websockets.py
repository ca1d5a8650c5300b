"""
Gate test T21: many control sockets at one router, 5 % of them slow readers and 5 % abusers.

The router runs on TLS in a process of its own, with the options of the real server. Measured are its
memory for each socket, and the round trip device - gateway - device of honest peers, before and while
the others misbehave. Nobody honest may be cut, and everybody else must be.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from websockets.frames import Frame, Opcode

from commander.api.tls import verified_context
from commander.codec import encode
from commander.ids import new_uid
from commander.launch.tls_buffers import share_tls_buffers
from commander.wire.commands import Deliver, Hello, Send, read_routed
from tests.soak import Figure, Size
from tests.soak.measuring import cost_of, processor_share, telling
from tests.soak.raw_websocket import OPEN_S, RawSocket, open_raw
from tests.soak.router_process import flooder_of, gateway_of, peer
from tests.support.router_server import Peer

NAME = "websockets"
SOCKETS = 10_000
GATEWAYS = 24
WARM_UP = 40
AT_ONCE = 32
MEASURE_S = 60.0
"""For each of the two measurements; slow readers are sent their flood spread over it."""
PER_S = 100.0
FLOOD_BYTES = 60 * 1024
FLOOD_MESSAGES = 80
"""Together 4.8 MiB: the queue of 1 MiB, and what two kernels take."""
KIB_LIMIT = 48.0
P99_LIMIT_MS = 50.0
DEADLINE_S = 120.0
PING_FLOOD = 20_000 * Frame(Opcode.PING, b"p" * 100).serialize(mask=True)
PINGS_S = 2.0
PAUSE_S = 5.0
"""Mean pause of an abuser before it comes again: 500 of them make 100 TLS handshakes a second."""
Abuse = Callable[[RawSocket], Awaitable[None]]


class RouterProcess:
    """The router, and how much memory it takes."""

    def __init__(self, child: subprocess.Popen[str], port: int, folder: Path) -> None:
        self._child = child
        self.port = port
        # The session is not what is measured, and its tickets are memory of the client.
        self.context = verified_context((folder / "ca.pem").read_text())
        self.context.options |= ssl.OP_NO_TICKET

    async def memory_kib(self) -> int:
        """Its resident memory."""
        return (await asyncio.to_thread(self._ask))[0]

    async def sockets(self) -> int:
        """How many control sockets it has."""
        return (await asyncio.to_thread(self._ask))[1]

    @property
    def pid(self) -> int:
        """Its process."""
        return self._child.pid

    def kill(self) -> None:
        """kill -9: nobody is told."""
        self._child.kill()

    def _ask(self) -> tuple[int, int]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        _, memory, sockets = self._child.stdout.readline().split()
        return int(memory), int(sockets)


@asynccontextmanager
async def router_process(folder: Path, devices: int, port: int = 0) -> AsyncIterator[RouterProcess]:
    """Start it and end it, or what a kill has left of it."""
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.router_process", folder, str(devices), str(GATEWAYS),
         str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        line = await asyncio.to_thread(child.stdout.readline)
        yield RouterProcess(child, int(line.split()[1]), folder)
    finally:
        child.stdin.close()
        try:
            await asyncio.to_thread(child.wait, 30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()


@dataclass
class Swarm:
    """All peers of a run, in this process; leaving it cuts those that are still connected."""

    router: RouterProcess
    size: Size
    gateways: list[RawSocket] = field(default_factory=list)
    honest: list[tuple[Peer, RawSocket]] = field(default_factory=list)
    slow: list[tuple[Peer, RawSocket]] = field(default_factory=list)
    waiting: dict[bytes, asyncio.Future[float]] = field(default_factory=dict)
    abused: int = 0
    cut: int = 0
    _open: set[RawSocket] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        left = list(self._open)
        for socket in left:
            socket.abort()
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*(socket.closed for socket in left))

    async def open(self, one: Peer, *, greet: bool = True, open_s: float = OPEN_S) -> RawSocket:
        """Connect a peer; gateways echo, and devices note when their echo comes."""
        is_gateway = one.principal.kind == "gateway"
        socket = await open_raw(
            self.router.port, self.router.context, one, now=time.time(),
            heard=self._echo if is_gateway else self._note, greet=greet, open_s=open_s,
        )  # fmt: skip
        self._open.add(socket)
        socket.closed.add_done_callback(lambda _: self._open.discard(socket))
        return socket

    async def open_many(self, peers: list[Peer]) -> list[tuple[Peer, RawSocket]]:
        """Connect many, some at a time."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(wanted: Peer) -> tuple[Peer, RawSocket]:
            async with turn:
                return wanted, await self.open(wanted)

        opening = [asyncio.ensure_future(one(wanted)) for wanted in peers]
        async with telling(self.size, opening, "sockets are open"):
            return list(await asyncio.gather(*opening))

    def _echo(self, socket: RawSocket, message: bytes) -> None:
        routed = read_routed(message)
        if isinstance(routed, Deliver):
            socket.send(encode(Send(routed.conversation, routed.sender, routed.payload)))
            if routed.payload.startswith(b"flood"):
                self._flood(socket, routed)

    def _flood(self, socket: RawSocket, routed: Deliver) -> None:
        """Answer one message with so many that a peer which does not read is over its bound."""
        flood = encode(Send(routed.conversation, routed.sender, bytes(FLOOD_BYTES)))
        for _ in range(FLOOD_MESSAGES):
            socket.send(flood)

    def _note(self, socket: RawSocket, message: bytes) -> None:
        routed = read_routed(message)
        if isinstance(routed, Deliver):
            waiting = self.waiting.pop(routed.payload, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(time.monotonic())

    async def round_trip_ms(self, number: int) -> float:
        """One message from a device to its gateway and back."""
        _, socket = self.honest[number]
        token = os.urandom(16)
        answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.waiting[token] = answered
        began = time.monotonic()
        gateway = peer("gateway", gateway_of(number, GATEWAYS))
        socket.send(encode(Send(new_uid(), gateway.uid, token)))
        async with asyncio.timeout(DEADLINE_S):
            return (await answered - began) * 1000

    async def measure(self, seconds: float, rng: random.Random) -> list[float]:
        """Round trips of honest peers in turn, at a steady rate whatever the answers take."""
        asked = []
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            number = rng.randrange(len(self.honest))
            asked.append(asyncio.ensure_future(self.round_trip_ms(number)))
            await asyncio.sleep(1 / PER_S)
        return sorted(await asyncio.gather(*asked))

    async def stall(self, seconds: float) -> None:
        """Have every slow reader be sent more than it may leave unread, one after the other."""
        for number, (_, socket) in enumerate(self.slow):
            socket.stop_reading()
            gateway = peer("gateway", flooder_of(len(self.honest) + number, GATEWAYS))
            socket.send(encode(Send(new_uid(), gateway.uid, b"flood")))
            await asyncio.sleep(seconds / len(self.slow))

    async def abuse(self, one: Peer, seconds: float, rng: random.Random) -> None:
        """Misbehave, be cut, and come again, until the time is over."""
        ends = time.monotonic() + seconds
        # Not all in the first moment: what is measured is a steady load, `storm` is the other.
        await asyncio.sleep(min(PAUSE_S, seconds / 2) * rng.random())
        while time.monotonic() < ends:
            kind = rng.choice(list(ABUSES))
            try:
                socket = await self.open(one, greet=kind != "no-hello")
            except (OSError, TimeoutError):
                continue
            self.abused += 1
            await ABUSES[kind](socket)
            async with asyncio.timeout(DEADLINE_S):
                await socket.closed
            self.cut += 1
            await asyncio.sleep(PAUSE_S * rng.random() * 2)


def _once(data: bytes, opcode: Opcode = Opcode.BINARY) -> Abuse:
    async def abuse(socket: RawSocket) -> None:
        socket.send(data, opcode)

    return abuse


async def _fragments(socket: RawSocket) -> None:
    socket.send(b"", Opcode.BINARY, fin=False)
    for _ in range(200):
        socket.send(b"", Opcode.CONT, fin=False)


async def _pings(socket: RawSocket) -> None:
    socket.stop_reading()
    socket.write(PING_FLOOD)
    await asyncio.sleep(PINGS_S)
    if not socket.closed.done():
        socket.read_again()
        socket.send(b"", Opcode.CLOSE)


async def _no_frames(socket: RawSocket) -> None:
    socket.write(b"\xff" * 4096)


ABUSES: dict[str, Abuse] = {
    "text": _once(b"hello", Opcode.TEXT),
    "not-ours": _once(b"\xc1" * 100),
    "second-hello": _once(encode(Hello("1", ""))),
    "too-large": _once(bytes(80 * 1024)),
    "fragments": _fragments,
    "pings": _pings,
    "no-hello": _once(b"\0"),
    "no-frames": _no_frames,
}


def percentile(sorted_values: list[float], part: float) -> float:
    """The value below which that part of them lies."""
    return sorted_values[min(len(sorted_values) - 1, int(part * len(sorted_values)))]


def spare_memory(size: Size) -> None:
    """Let thousands of TLS clients of this process share a buffer; small runs need it not."""
    if size.scale >= 0.1:
        share_tls_buffers()


def run(size: Size) -> Iterator[Figure]:
    """Run the whole, and yield its figures."""
    spare_memory(size)
    yield from asyncio.run(_run(size))


async def _run(size: Size) -> list[Figure]:
    count = size.of(SOCKETS, least=100)
    seconds = max(3.0, MEASURE_S * size.scale)
    rng = random.Random(21)
    bad = count // 20
    devices = [peer("device", number) for number in range(count + WARM_UP)]
    async with (
        router_process(size.folder, len(devices)) as router,
        Swarm(router, size) as swarm,
    ):
        swarm.gateways = [await swarm.open(peer("gateway", n)) for n in range(GATEWAYS)]
        await swarm.open_many(devices[count:])
        before = await router.memory_kib()
        swarm.honest = await swarm.open_many(devices[: count - 2 * bad])
        swarm.slow = await swarm.open_many(devices[count - 2 * bad : count - bad])
        each = (await router.memory_kib() - before) / (len(swarm.honest) + len(swarm.slow))
        size.tell(f"round trips without abuse for {seconds:.0f} s")
        quiet = await swarm.measure(seconds, rng)
        size.tell(f"and beside {len(swarm.slow)} slow readers and {bad} abusers")
        processes = {"router": router.pid, "all peers together": os.getpid()}
        costs = {name: cost_of(pid) for name, pid in processes.items()}
        loud = await _with_abuse(swarm, devices[count - bad : count], seconds, rng)
        shares = {name: processor_share(costs[name], cost_of(processes[name])) for name in costs}
        # Near a whole core everything waits for its turn: a figure of the machine, not of the router.
        return await _judge(swarm, size, each, before, quiet, loud) + [
            Figure(f"processor beside abuse, {name}", share, "% of a core")
            for name, share in shares.items()
        ]


async def _with_abuse(
    swarm: Swarm, abusers: list[Peer], seconds: float, rng: random.Random
) -> list[float]:
    async with asyncio.TaskGroup() as group:
        group.create_task(swarm.stall(seconds))
        for one in abusers:
            group.create_task(swarm.abuse(one, seconds, rng))
        measuring = group.create_task(swarm.measure(seconds, rng))
    return measuring.result()


async def _wait_for_slow(swarm: Swarm) -> int:
    """
    How many sockets are left beside the honest ones, once it is none or the time is over.

    A slow reader is cut when its queue is full; one that is just below, when it answers no ping.
    """
    wanted = len(swarm.honest) + len(swarm.gateways) + WARM_UP
    ends = time.monotonic() + DEADLINE_S
    while (left := await swarm.router.sockets() - wanted) > 0 and time.monotonic() < ends:
        await asyncio.sleep(0.2)
    return max(0, left)


async def _judge(
    swarm: Swarm, size: Size, each: float, before: int, quiet: list[float], loud: list[float]
) -> list[Figure]:
    left = await _wait_for_slow(swarm)
    lost = sum(socket.closed.done() for _, socket in swarm.honest)
    after = await swarm.router.memory_kib()
    is_full = size.scale >= 1.0
    return [
        Figure("honest control sockets", len(swarm.honest), ""),
        Figure("memory of the router for each socket", each, "KiB", KIB_LIMIT if is_full else None),
        Figure("growth after abuse, for each honest socket",
               max(0.0, after - before) / len(swarm.honest), "KiB"),
        Figure("round trip, quiet, p50", percentile(quiet, 0.5), "ms"),
        Figure("round trip, quiet, p99", percentile(quiet, 0.99), "ms"),
        Figure("round trip, beside abuse, p50", percentile(loud, 0.5), "ms"),
        Figure("round trip, beside abuse, p99", percentile(loud, 0.99), "ms",
               P99_LIMIT_MS if is_full else None),
        Figure("honest sockets that were cut", lost, "", 0),
        Figure("slow readers", len(swarm.slow), ""),
        Figure("slow readers that were not cut", left, "", 0),
        Figure("abuses", swarm.abused, ""),
        Figure("abusers that were not cut", swarm.abused - swarm.cut, "", 0),
    ]  # fmt: skip


def _line(figure: Figure) -> str:
    limit = "" if figure.limit is None else f" (limit {figure.limit:g})"
    mark = "" if figure.is_met else "  OVER"
    return f"{figure.name:<48} {figure.value:>10.1f} {figure.unit}{limit}{mark}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        figures = list(run(Size(float(sys.argv[1]) if sys.argv[1:] else 1.0, Path(folder))))
    sys.stdout.write("\n".join([*map(_line, figures), ""]))
    sys.exit(0 if all(figure.is_met for figure in figures) else 1)
