"""The CONNECT proxy as a program, for a host of its own: prints its port, then each tunnel it opened."""

from __future__ import annotations

import asyncio
import sys

from tests.support.servers.http_proxy import HttpProxy


async def main(host: str) -> None:
    """Serve until it is ended."""
    async with HttpProxy(host) as proxy:
        say(f"listening on port {proxy.port}")
        told = 0
        while True:
            for target in proxy.connects[told:]:
                told += 1
                say(f"connected to {target}")
            await asyncio.sleep(0.1)


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
