"""A WebRTC peer in a process of its own on a host of a lab, told what to do (`webrtc_peer`)."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

from tests.support.namespaces import Host

ROOT = Path(__file__).resolve().parents[3]


class RemotePeer:
    """A peer process on one host of the lab."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def do(self, *, may_fail: bool = False, **order: Any) -> dict[str, Any]:
        """Give one order and wait for its answer, which an error fails unless it may come."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(60):
            line = await self._process.stdout.readline()
        assert line, "the peer process ended"
        answer: dict[str, Any] = json.loads(line)
        assert may_fail or "error" not in answer, answer
        return answer

    async def end(self) -> None:
        """End the process, as it likes or not."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def start_peer(host: Host) -> RemotePeer:
    return RemotePeer(
        await asyncio.create_subprocess_exec(
            *host.prefix,
            sys.executable,
            "-m",
            "tests.integration.tunnel.webrtc_peer",
            cwd=ROOT,
            stdin=PIPE,
            stdout=PIPE,
        )
    )
