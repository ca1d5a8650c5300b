"""1,000 idle and 200 active tunnels in one client process and on one gateway process, and what each costs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.soak import Figure, Size
from tests.soak.measuring import TELL_EVERY_S, Cost, cost_of, percentile, processor_share
from tests.support.loop_thread import LoopThread
from tests.support.processes import Child
from tests.support.product import Product, User
from tests.support.waiting import until

NAME = "tunnels"
_IDLE, _ACTIVE, _FILE = 1000, 200, 200
_WARM = 10
_SETTLE_S, _REST_S = 45.0, 20.0
"""A tunnel keeps the relay that it began with for half a minute beside its direct path."""
_ACTIVE_S = 10.0
_START_S = 600.0
_STILL_S = 10.0
"""Longer than a silent path lives: the gateway gives all of them up."""
_BACK_S, _BACK_LIMIT_S = 200.0, 60.0
_MESSAGE = b"x" * 64
_CLIENT_KIB, _GATEWAY_KIB = 256, 256


def run(size: Size) -> Iterator[Figure]:
    """Open them all, let them rest, use a part of them, then prove that every single one still works."""
    with LoopThread() as servers, _echo(servers) as port, Product(size.folder) as product:
        product.start_server()
        ann = product.set_up()
        gateway = product.start_gateway()
        ann.configure_network()
        ann.add_target("Echo", f"127.0.0.1:{port}")
        assert product.server is not None
        parts = {"gateway": gateway, "server": product.server}
        yield from _measure(servers, ann, parts, size)


def _measure(
    servers: LoopThread, ann: User, parts: dict[str, Child], size: Size
) -> Iterator[Figure]:
    idle, active = size.of(_IDLE), size.of(_ACTIVE)
    client = _open_sets(ann, _WARM, idle + active)
    parts = {"client": client, **parts}
    _wait_for(ann, client, _WARM, size)
    pids = {name: child.popen.pid for name, child in parts.items()}
    empty = {name: cost_of(pid) for name, pid in pids.items()}
    started = time.monotonic()
    (ann.home.work / "go").touch()
    tunnels = _wait_for(ann, client, _WARM + idle + active, size)
    yield Figure("open one tunnel", (time.monotonic() - started) / (idle + active), "s", 1.0)
    settled_s, rest_s = (_SETTLE_S, _REST_S) if size.scale >= 0.1 else (0.0, 5.0)
    size.tell(
        f"{settled_s:.0f} s until the relays that they began with are gone, {rest_s:.0f} s of rest"
    )
    threading.Event().wait(settled_s)
    full = {name: cost_of(pid) for name, pid in pids.items()}
    threading.Event().wait(rest_s)
    rested = {name: cost_of(pid) for name, pid in pids.items()}
    yield from _per_tunnel(empty, full, rested, idle + active)
    ports = [int(tunnel["local"].rpartition(":")[2]) for tunnel in tunnels]
    # On a machine that has no time for it tunnels lose their paths, and connections wait.
    trips = servers.run(_use(ports[:active], _ACTIVE_S), deadline_s=_ACTIVE_S + _BACK_S)
    yield Figure(f"round trips through {active} active tunnels", len(trips) / _ACTIVE_S, "1/s")
    yield Figure("round trip, median", 1000 * percentile(trips, 50), "ms")
    yield Figure("round trip, 99 %", 1000 * percentile(trips, 99), "ms")
    # Not in the suite, which has other tests of it.
    still_s = _STILL_S if size.scale >= 0.1 else 0.0
    size.tell(f"the client stands still for {still_s:.0f} s")
    began = time.monotonic() + still_s
    lost = len(ports) - servers.run(_stand_still(client, still_s, ports), deadline_s=2 * _BACK_S)
    # A connection waits while its tunnel has no path, so all of them are back when all were served.
    back_limit = _BACK_LIMIT_S if size.scale >= 1.0 else None
    yield Figure("all are back after", time.monotonic() - began, "s", back_limit)
    yield Figure("tunnels that did not work at the end", lost, "", 0)


def _per_tunnel(
    empty: dict[str, Cost], full: dict[str, Cost], rested: dict[str, Cost], count: int
) -> Iterator[Figure]:
    limits = {"client": _CLIENT_KIB, "gateway": _GATEWAY_KIB}
    for name in empty:
        grown = rested[name].memory_kib - empty[name].memory_kib
        yield Figure(f"memory of an idle tunnel, {name}", grown / count, "KiB", limits.get(name))
        descriptors = rested[name].descriptors - empty[name].descriptors
        yield Figure(f"descriptors of an idle tunnel, {name}", descriptors / count, "")
        share = processor_share(full[name], rested[name])
        yield Figure(
            f"processor for 1,000 idle tunnels, {name}", share * 1000 / count, "% of a core"
        )


def _open_sets(ann: User, warm: int, count: int) -> Child:
    """One client process: a batch of `up`, each with a file of at most 200 tunnels."""
    lines = [_up_line(ann, "warm", warm), "pam tunnel list --output warm.txt"]
    # A batch has no way to wait for a file; a command that runs until it is there does.
    script = "until test -e go; do sleep 0.1; done"
    lines.append(f"pam tunnel start Echo --new --run '{script}'")
    lines += [
        _up_line(ann, f"set{first}", min(_FILE, count - first)) for first in range(0, count, _FILE)
    ]
    lines.append("sleep 1d")
    batch = ann.home.work / "many.commands"
    batch.write_text("\n".join(lines) + "\n")
    return ann.start("run", batch)


def _up_line(ann: User, name: str, count: int) -> str:
    entries = [f"  t{number}: Echo" for number in range(count)]
    file = ann.home.work / f"{name}.yaml"
    file.write_text("\n".join(["version: 1", "tunnels:", *entries, ""]))
    return f"pam tunnel up -f {file} --timeout 300"


def _wait_for(ann: User, client: Child, count: int, size: Size) -> list[dict[str, Any]]:
    told = 0.0

    def listed() -> list[dict[str, Any]] | None:
        nonlocal told
        assert client.is_running, client.output
        tunnels = [one for one in ann.json("pam", "tunnel", "list") if one["file"]]
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            size.tell(f"{len(tunnels)} of {count} tunnels are listed")
        if len(tunnels) >= count:
            return tunnels
        # A list of a thousand costs a quarter of a second of a core that the tunnels need.
        threading.Event().wait(min(2.0, count / 200))
        return None

    return until(listed, f"{count} tunnels", deadline_s=_START_S)


@contextmanager
def _echo(servers: LoopThread) -> Iterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Connections of tunnels that the end of the product cuts.
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(serve, "127.0.0.1", 0, backlog=2048)

    async def stop(server: asyncio.Server) -> None:
        server.close()

    server = servers.run(start())
    number: int = server.sockets[0].getsockname()[1]
    try:
        yield number
    finally:
        servers.run(stop(server))


async def _use(ports: list[int], seconds: float) -> list[float]:
    """Round trips through each of the ports, one after the other, for so long; their times."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    trips: list[float] = []

    async def use(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while loop.time() < end:
            before = loop.time()
            writer.write(_MESSAGE)
            await reader.readexactly(len(_MESSAGE))
            trips.append(loop.time() - before)
            await asyncio.sleep(0.05)
        writer.close()

    await asyncio.gather(*map(use, ports))
    return trips


async def _stand_still(client: Child, still_s: float, ports: list[int]) -> int:
    """Freeze the client for a while; how many tunnels carry a connection afterwards."""
    client.popen.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(still_s)
    finally:
        client.popen.send_signal(signal.SIGCONT)
    return await _try_all(ports)


async def _try_all(ports: list[int]) -> int:
    """How many of them carry a connection now."""
    slots = asyncio.Semaphore(50)

    async def works(port: int) -> bool:
        async with slots:
            try:
                async with asyncio.timeout(_BACK_S):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(_MESSAGE)
                    await reader.readexactly(len(_MESSAGE))
                    writer.close()
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                return False
            return True

    return sum(await asyncio.gather(*map(works, ports)))
