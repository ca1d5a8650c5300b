"""1,024 connections at once in one tunnel, a coded refusal beyond, a burst, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

from tests.soak import Figure, Size
from tests.soak.measuring import cost_of
from tests.soak.setting import Setting
from tests.soak.target import ECHO
from tests.support.loop_thread import LoopThread
from tests.support.waiting import until

NAME = "streams"
_STREAMS = 1024
_BURST = 10_000
_AT_ONCE = 900
_MESSAGE = b"x" * 32
_DEADLINE_S = 300.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def run(size: Size) -> Iterator[Figure]:
    """Fill a tunnel, knock once more, empty it, then a burst of short connections; count what stays."""
    with LoopThread() as clients, Setting(size.folder) as setting:
        client, port = setting.open_tunnel()
        processes = {"client": client, "gateway": setting.gateway}
        clients.run(_short(port, 20))
        _wait_until_empty(setting)
        before = {name: cost_of(one.popen.pid) for name, one in processes.items()}
        # The limit is the product's own, so it is the same at any size.
        size.tell(f"{_STREAMS} connections at once")
        refused = clients.run(_fill(port), deadline_s=_DEADLINE_S)
        yield Figure(f"connections beyond {_STREAMS} that were not reset", 1 - refused, "", 0)
        logged = setting.user("pam", "tunnel", "tail", "Target", "--no-follow", "--lines", "5000")
        yield Figure("refusals missing in the log", 1 - logged.count("too-many-streams"), "", 0)
        count = size.of(_BURST)
        size.tell(f"{count} short connections")
        lost = count - clients.run(_short(port, count), deadline_s=_DEADLINE_S)
        yield Figure(f"lost of {count} short connections", lost, "", 0)
        _wait_until_empty(setting)
        for name, process in processes.items():
            after = cost_of(process.popen.pid)
            left = after.descriptors - before[name].descriptors
            # The log's rotation and a path that is being replaced come and go.
            yield Figure(f"descriptors left behind, {name}", max(0, left), "", 8)
            yield Figure(
                f"memory grown, {name}",
                (after.memory_kib - before[name].memory_kib) / 1024,
                "MiB",
                64,
            )


def _wait_until_empty(setting: Setting) -> None:
    def is_empty() -> bool:
        shown = json.loads(setting.user("pam", "tunnel", "show", "Target", "--format", "json"))
        return shown["streams"] == 0 and setting.target.connections == 0

    until(is_empty, "no stream is left", deadline_s=60)


async def _fill(port: int) -> int:
    """Open as many as a tunnel may have, use each; how many of one more are reset (1 or 0)."""
    opened: list[Connection] = []
    try:
        for _ in range(_STREAMS):
            opened.append(await asyncio.open_connection("127.0.0.1", port))
            await _echo(opened[-1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(60):
                await reader.read()
        except ConnectionResetError:
            return 1
        finally:
            writer.close()
        return 0
    finally:
        for _, writer in opened:
            writer.close()


async def _short(port: int, count: int) -> int:
    """Open so many one after the other, up to 900 at the same time; how many worked."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def once() -> bool:
        async with slots:
            try:
                async with asyncio.timeout(120):
                    connection = await asyncio.open_connection("127.0.0.1", port)
                    await _echo(connection)
                    connection[1].close()
                    await connection[1].wait_closed()
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                return False
            return True

    return sum(await asyncio.gather(*(once() for _ in range(count))))


async def _echo(connection: Connection) -> None:
    reader, writer = connection
    writer.write(ECHO + _MESSAGE)
    assert await reader.readexactly(len(_MESSAGE)) == _MESSAGE
