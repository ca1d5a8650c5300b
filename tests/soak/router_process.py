"""
The router in a process of its own, on TLS and with every option of `commander-server`, for load tests.

    python -m tests.soak.router_process FOLDER DEVICES GATEWAYS PORT

prints `listening PORT`, and at each line on standard input its memory in KiB and how many sockets
it has. Peers have keys that both
sides derive from their number, so that no time goes into enrolling thousands.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from commander.backend import tls
from commander.backend.http.protocol import HEADERS_BYTES, ImpatientHttpProtocol
from commander.clock import SystemClock
from commander.crypto.signing import SigningKey
from commander.launch.allocator import keep_freed_memory
from commander.launch.listening import listen_on
from commander.launch.server_program import MAX_CONNECTIONS
from commander.launch.tls_buffers import share_tls_buffers
from commander.router.app import Router, build_routes
from commander.router.bounded_server import UVICORN_OPTIONS, BoundedServer
from commander.router.ports import Principal
from tests.support.router_server import Gate, Notes, Peer

FLOODERS = 4


def peer(kind: str, number: int) -> Peer:
    """A device or gateway by its number, the same in every process."""
    seed = hashlib.sha256(f"{kind} {number}".encode()).digest()
    uid = base64.urlsafe_b64encode(b"\0" + seed[1:16]).decode().rstrip("=")
    if kind == "gateway":
        principal = Principal(uid, "gateway", uid)
    else:
        principal = Principal(uid, "device", uid, "session")
    return Peer(principal, SigningKey(seed))


def gateway_of(number: int, gateways: int) -> int:
    """The gateway that a device talks to."""
    return number % (gateways - FLOODERS)


def flooder_of(number: int, gateways: int) -> int:
    """The gateway that floods it, if it asks: never one that honest devices wait for."""
    return gateways - 1 - number % FLOODERS


def memory_kib() -> int:
    """Resident memory of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def say(*words: object) -> None:
    """One line to whoever started this."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def serve(folder: Path, devices: int, gateways: int, port: int) -> None:
    """Run until standard input ends."""
    clock = SystemClock()
    gate = Gate(clock)
    certified = [peer("gateway", number) for number in range(gateways)]
    for gateway in certified:
        gate.peers[gateway.uid] = gateway
    for number in range(devices):
        device = peer("device", number)
        gate.peers[device.uid] = device
        gate.allow(device, certified[gateway_of(number, gateways)])
        gate.allow(device, certified[flooder_of(number, gateways)])
    authority = tls.load_authority(folder, now=clock.now())
    tls.ensure_certificate(folder, authority, ["127.0.0.1"], now=clock.now())
    context = tls.server_context(folder / "tls.pem", folder / "tls.key")
    router = Router(gatekeeper=gate, journal=Notes(), clock=clock)
    config = uvicorn.Config(
        Starlette(routes=build_routes(router)),
        http=ImpatientHttpProtocol, h11_max_incomplete_event_size=HEADERS_BYTES, lifespan="off",
        log_config=None, access_log=False, limit_concurrency=MAX_CONNECTIONS,
        ssl_context_factory=lambda _config, _default: context, **UVICORN_OPTIONS,
    )  # fmt: skip
    server = BoundedServer(config)
    listener = listen_on(f"127.0.0.1:{port}")
    router.start()
    serving = asyncio.ensure_future(server._serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    say("listening", listener.getsockname()[1])
    while await asyncio.to_thread(sys.stdin.readline):
        say("memory", memory_kib(), len(router.registry))
    await router.close()
    server.should_exit = True
    await serving


if __name__ == "__main__":
    keep_freed_memory()
    share_tls_buffers()
    asyncio.run(serve(Path(sys.argv[1]), *map(int, sys.argv[2:5])))
