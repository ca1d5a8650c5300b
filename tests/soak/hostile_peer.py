"""
A peer that was let in and means no good, in a process of its own: JSON lines as `webrtc_peer`.

    {"do": "offer"}    answered by {"wire": ...}
    {"do": "attack", "wire": ..., "packets": ..., "seed": ...}    connects, then sends so many damaged
        SCTP packets inside the association, or as many as it lives for; answered by {"sent": ...}

and whoever has no part in it: `python -m tests.soak.hostile_peer flood PORT RATE SECONDS` sends malformed
STUN and DTLS packets to a port of loopback.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from itertools import cycle, islice
from typing import Any

from aiortc import rtcsctptransport as sctp

from commander.tunnel.transports import webrtc
from commander.tunnel.transports.channel import Negotiation
from commander.tunnel.transports.webrtc import WebRtcPath
from tests.fuzz.fuzz_webrtc_packets import seeds
from tests.fuzz.mutation import Mutator
from tests.integration.tunnel.webrtc_ends import LOOPBACK, Owner
from tests.unit.tunnel.transports.stun_shapes import malformed_stun

PAUSE_EVERY = 20


class _Raw(sctp.Chunk):
    def __bytes__(self) -> bytes:
        return self.body


async def attack(path: WebRtcPath, packets: int, seed: int) -> int:
    """Send damaged chunks under the association's own tag; how many got out."""
    association = path._association
    tag = association._remote_verification_tag
    bodies = [packet[12:] for packet in seeds() if len(packet) > 12]
    sent = 0
    for body in islice(Mutator(bodies, seed).inputs(), packets):
        packet = sctp.serialize_packet(5000, 5000, tag, _Raw(body=body[:1100]))
        try:
            await association.transport._send_data(packet)
        except ConnectionError:
            break
        sent += 1
        if sent % PAUSE_EVERY == 0:
            await asyncio.sleep(0.001)
        if path._lost_reason is not None:
            break
    return sent


async def main() -> None:
    """Obey until standard input ends."""
    pending: Negotiation | None = None
    while line := await asyncio.to_thread(sys.stdin.readline):
        order: dict[str, Any] = json.loads(line)
        if order["do"] == "offer":
            pending = await webrtc.offer(LOOPBACK)
            answer: dict[str, Any] = {"wire": pending.wire.hex()}
        else:
            assert pending is not None
            path = await pending.complete(bytes.fromhex(order["wire"]))
            assert isinstance(path, WebRtcPath)
            path.start(Owner())
            answer = {"sent": await attack(path, order["packets"], order["seed"])}
            await path.close()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def flood(port: int, rate: int, seconds: float) -> None:
    """Malformed STUN, DTLS and nonsense at a port, so many a second."""
    shapes = [malformed_stun((kind, b"\0")) for kind in (0x24, 0x8029, 0x06, 0x20)]
    shapes += [b"\x16\xfe\xfd" + bytes(60), b"\x15\xfe\xfd" + bytes(10), b"\x80" * 200, b"\x00\x01"]
    target, started = ("127.0.0.1", port), time.monotonic()
    with socket.socket(type=socket.SOCK_DGRAM) as out:
        for number, shape in enumerate(cycle(shapes)):
            late = number / rate - (time.monotonic() - started)
            if late > 0:
                time.sleep(late)
            if time.monotonic() - started > seconds:
                sys.stdout.write(f"{number}\n")
                return
            out.sendto(shape, target)


if __name__ == "__main__":
    if sys.argv[1:2] == ["flood"]:
        flood(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    else:
        asyncio.run(main())
