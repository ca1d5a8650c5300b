#!/usr/bin/env python3
"""
Moves sealed messages over one path between two processes, without mux and sockets above it.

    scripts/lib/bench_paths.py [--kind direct] [--carriers 1] [--seconds 3] [--size 65408]

Prints MiB/s, CPU seconds per GiB of both ends, and the round trip of a small message before and
under the load. For tuning a carrier; what people feel is measured by scripts/bench.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from commander.tunnel.codes import Role
from commander.tunnel.seal import Opener, Sealer
from commander.tunnel.transports.carrier_socket import tune
from commander.tunnel.transports.direct_path import DirectPath

LIMIT = 1024 * 1024
KEY = b"k" * 32


class Sink:
    """Opens what comes, counts it, and answers small messages."""

    def __init__(self, path: DirectPath) -> None:
        self.path = path
        self.opener = Opener(KEY, "bench", Role.CLIENT, 1)
        self.sealer = Sealer(KEY, "bench", Role.GATEWAY, 1)
        self.bytes = 0
        self.lost = asyncio.get_running_loop().create_future()

    def message_received(self, message: bytes | memoryview) -> None:
        opened = self.opener.open(message)
        self.bytes += len(opened)
        if len(opened) < 100:
            self.path.send(self.sealer.seal(opened))

    def path_ready(self) -> None:
        pass

    def path_lost(self, reason: str, *, gone: bool = False) -> None:
        self.lost.set_result(reason)


class Source:
    """Sends as fast as the path takes it, and pings."""

    def __init__(self, path: DirectPath, size: int) -> None:
        self.path = path
        self.body = os.urandom(size)
        self.opener = Opener(KEY, "bench", Role.GATEWAY, 1)
        self.sealer = Sealer(KEY, "bench", Role.CLIENT, 1)
        self.bytes = 0
        self.pong: asyncio.Future[None] | None = None
        self.is_pumping = False

    def message_received(self, message: bytes | memoryview) -> None:
        self.opener.open(message)
        if self.pong is not None and not self.pong.done():
            self.pong.set_result(None)

    def path_ready(self) -> None:
        self.pump()

    def path_lost(self, reason: str, *, gone: bool = False) -> None:
        sys.stderr.write(f"lost: {reason}\n")

    def pump(self) -> None:
        while self.is_pumping and self.path.backlog_bytes() < LIMIT // 2:
            self.path.send(self.sealer.seal(self.body))
            self.bytes += len(self.body)

    async def ping(self) -> float:
        self.pong = asyncio.get_running_loop().create_future()
        started = time.perf_counter()
        self.path.send(self.sealer.seal(b"ping"))
        await self.pong
        return time.perf_counter() - started


async def serve(ends: list[socket.socket]) -> None:
    sinks = []
    for end in ends:
        end.setblocking(False)
        tune(end)
        path = DirectPath(end)
        sink = Sink(path)
        path.start(sink)
        sinks.append(sink)
    await asyncio.gather(*(sink.lost for sink in sinks))


async def drive(ends: list[socket.socket], seconds: float, size: int) -> None:
    sources = []
    for end in ends:
        end.setblocking(False)
        tune(end)
        path = DirectPath(end)
        source = Source(path, size)
        path.start(source)
        sources.append(source)
    first = sources[0]
    quiet = [await first.ping() for _ in range(500)]
    cpu, started = time.process_time(), time.perf_counter()
    for source in sources:
        source.is_pumping = True
        source.pump()
    loaded = []
    while time.perf_counter() - started < seconds:
        loaded.append(await first.ping())
        await asyncio.sleep(0.005)
    for source in sources:
        source.is_pumping = False
    await first.ping()
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    gib = sum(source.bytes for source in sources) / 2**30
    print(
        f"{gib * 1024 / took:7.0f} MiB/s  sender {cpu / gib:.2f} s/GiB  "
        f"ping {statistics.median(quiet) * 1e6:.0f} us, "
        f"loaded p50 {statistics.median(loaded) * 1e6:.0f} p99 {sorted(loaded)[int(len(loaded) * 0.99) - 1] * 1e6:.0f} us"
    )
    for source in sources:
        await source.path.close()


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        return one, listener.accept()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--carriers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--size", type=int, default=64 * 1024)
    options = parser.parse_args()
    pairs = [pair() for _ in range(options.carriers)]
    child = os.fork()
    if not child:
        for one, _ in pairs:
            one.close()
        asyncio.run(serve([two for _, two in pairs]))
        usage = time.process_time()
        print(f"receiver CPU {usage:.2f} s")
        os._exit(0)
    for _, two in pairs:
        two.close()
    asyncio.run(drive([one for one, _ in pairs], options.seconds, options.size))
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
