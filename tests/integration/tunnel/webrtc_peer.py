"""
One end of a WebRTC path in a process of its own, told what to do by JSON lines on standard input.

    {"do": "offer"} | {"do": "accept", "wire": ...}    answered by {"wire": ...}; both take
        "ice" (what the server would answer, hex), "relay_only", "ca", "timeout_s", "library"
    {"do": "complete", "wire": ...} | {"do": "connected"}    answered by {"candidates": ...}
    {"do": "transfer", "bytes": ...}    sends and receives so much; answered by digests and lag
    {"do": "bind", "peers": [[host, port], ...]}    answered by the TURN server's codes for them
    {"do": "lost"}    waits for the loss; answered by {"reason": ..., "seconds": ..., "gone": ...}
    {"do": "forget"}    begin anew
    {"do": "close"}    answered by {"seconds": ...}, then the end
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import sys
import time
from dataclasses import replace
from typing import Any

import aioice.stun
import aioice.turn

from commander.api.tls import turn_context
from commander.codec import decode
from commander.errors import CommanderError
from commander.tunnel.path import DATA_CHANNEL_MESSAGE_BYTES
from commander.tunnel.transports import channel, webrtc_guards
from commander.tunnel.transports.channel import ChannelPath, Negotiation
from commander.tunnel.transports.ice import DEFAULT_OPTIONS, WebRtcOptions, ice_options
from commander.tunnel.transports.webrtc_agent import GuardedTurn
from commander.tunnel.transports.webrtc_drops import dropped
from commander.tunnel.transports.webrtc_engine import VARIABLE, Engine, load_engine
from commander.wire.calls import IceAnswer
from tests.integration.tunnel.webrtc_ends import LoopLag, Owner


class Peer:
    """The end, and what it has been told so far."""

    def __init__(self) -> None:
        self.negotiation: Negotiation | None = None
        self.path: ChannelPath | None = None
        self.owner = Owner()
        self.log_lines = 0

    def engine(self, order: dict[str, Any]) -> Engine:
        return load_engine({VARIABLE: order.get("library", "")}, _options(order))

    async def do(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["do"]:
            case "offer":
                self.negotiation = await self.engine(order).offer(_options(order))
            case "accept":
                wire = bytes.fromhex(order["wire"])
                self.negotiation = await self.engine(order).accept(wire, _options(order))
            case "complete":
                assert self.negotiation is not None
                self.path = await self.negotiation.complete(bytes.fromhex(order["wire"]))
            case "connected":
                assert self.negotiation is not None
                self.path = await self.negotiation.connected()
            case "transfer":
                return await self._transfer(order["bytes"])
            case "bind":
                return await _bind(order)
            case "lost":
                return await self._wait_for_loss()
            case "forget":
                self.path, self.negotiation, self.owner = None, None, Owner()
                return {}
            case _:
                return await self._close()
        if self.path is not None:
            self.path.start(self.owner)
        found = self.negotiation.local.candidates
        return {
            "wire": self.negotiation.wire.hex(),
            "candidates": [item.host for item in found],
            "kinds": sorted({item.kind for item in found}),
            "route": "" if self.path is None else self.path.route,
        }

    async def _transfer(self, size: int) -> dict[str, Any]:
        assert self.path is not None
        block = os.urandom(DATA_CHANNEL_MESSAGE_BYTES)
        count = size // len(block)
        digest, began = hashlib.sha256(), time.monotonic()
        async with LoopLag() as lag:
            for _ in range(count):
                if self.path.backlog_bytes() > channel.LOW_MARK_BYTES:
                    await self.owner.has_room(self.owner.readies)
                self.path.send(block)
                digest.update(block)
            await self.owner.has_messages(count)
        return {
            "sent": digest.hexdigest(),
            "received": hashlib.sha256(b"".join(self.owner.messages)).hexdigest(),
            "lag_s": lag.worst_s,
            "seconds": time.monotonic() - began,
            "dropped": sum(dropped.totals.values()),
            "log_lines": self.log_lines,
        }

    async def _wait_for_loss(self) -> dict[str, Any]:
        began = time.monotonic()
        reason = await self.owner.has_lost()
        gone = self.owner.gone[0]
        return {"reason": reason, "seconds": time.monotonic() - began, "gone": gone}

    async def _close(self) -> dict[str, Any]:
        began = time.monotonic()
        if self.path is not None:
            await self.path.close()
        return {"seconds": time.monotonic() - began, "losses": self.owner.losses}


def _options(order: dict[str, Any]) -> WebRtcOptions:
    if "ice" not in order:
        return DEFAULT_OPTIONS
    answer = decode(IceAnswer, bytes.fromhex(order["ice"]), limit=64 * 1024)
    tls = turn_context(order["ca"]) if order.get("ca") else None
    options = ice_options(answer, relay_only=order.get("relay_only", False), tls=tls)
    return replace(options, connect_timeout_s=order.get("timeout_s", options.connect_timeout_s))


async def _bind(order: dict[str, Any]) -> dict[str, Any]:
    """What the relay says to a user who asks it to pass packets to each of some peers."""
    server = next(item for item in _options(order).ice_servers if item.url.is_turn)
    assert server.password is not None
    transport, _ = await aioice.turn.create_turn_endpoint(
        asyncio.DatagramProtocol,
        (server.url.host, server.url.port),
        server.username,
        server.password.reveal_text(),
        transport="udp",
    )
    assert isinstance(transport, GuardedTurn)
    inner = transport._inner
    codes = {}
    for number, (host, port) in enumerate(order["peers"], 0x4000):
        try:
            await inner.channel_bind(number, (host, port))
            codes[host] = 200
        except aioice.stun.TransactionFailed as error:
            codes[host] = error.response.attributes["ERROR-CODE"][0]
    host, _ = transport.get_extra_info("sockname")
    transport.close()
    return {"codes": codes, "relayed": host}


class _Lines(logging.Handler):
    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self._peer = peer

    def emit(self, record: logging.LogRecord) -> None:
        self._peer.log_lines += 1


async def main() -> None:
    """Obey until standard input ends or a close has been done."""
    webrtc_guards.install_guards()
    peer = Peer()
    logging.getLogger().addHandler(_Lines(peer))
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        try:
            answer = await peer.do(order)
        except CommanderError as error:
            answer = {"code": error.code, "error": error.message, "hint": error.hint}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        if order["do"] == "close":
            return


if __name__ == "__main__":
    asyncio.run(main())
