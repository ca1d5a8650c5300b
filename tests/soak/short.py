"""10,000 short connections through one tunnel leave nothing behind: no memory, no descriptors, no connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from tests.soak import Figure, Size
from tests.soak.measuring import cost_of
from tests.soak.setting import Setting
from tests.soak.target import ECHO
from tests.support.waiting import until

CONNECTIONS = 10_000
WARM = 300
AT_ONCE = 16
GROWTH_LIMIT_MIB = 4.0


def run(size: Size) -> Iterator[Figure]:
    """Warm up, count, connect again and again, count again."""
    with Setting(size.folder) as setting:
        tunnel, port = setting.open_tunnel()
        asyncio.run(_connect(port, WARM))
        pids = {"client": tunnel.pid, "gateway": setting.gateway.pid}
        before = {name: cost_of(pid) for name, pid in pids.items()}
        count = size.of(CONNECTIONS)
        size.tell(f"{WARM} connections to warm up, now {count}")
        begin = time.monotonic()
        failed = asyncio.run(_connect(port, count))
        yield Figure("connections", count, "")
        yield Figure("connections a second", count / (time.monotonic() - begin), "1/s")
        yield Figure("failed", failed, "", 0)
        until(lambda: setting.target.connections == 0, "the target's connections ended")
        for name, pid in pids.items():
            after = cost_of(pid)
            grown = (after.memory_kib - before[name].memory_kib) / 1024
            yield Figure(f"memory grown, {name}", grown, "MiB", GROWTH_LIMIT_MIB)
            left = after.descriptors - before[name].descriptors
            # A path that came up meanwhile has its sockets.
            yield Figure(f"descriptors more, {name}", left, "", 8)
        rows = setting.user.json("pam", "tunnel", "list")
        yield Figure("connections that the tunnel still counts", rows[0]["streams"], "", 0)


async def _connect(port: int, count: int) -> int:
    """Connect, echo a byte, close; how many failed."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one() -> bool:
        async with slots:
            try:
                async with asyncio.timeout(60):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(ECHO + b"x")
                    answer = await reader.readexactly(1)
                    writer.close()
                    await writer.wait_closed()
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                return True
            return answer != b"x"

    return sum(await asyncio.gather(*(one() for _ in range(count))))
