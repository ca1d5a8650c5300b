"""Two guarded SCTP associations joined in memory, and a hand to write packets that no library would."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from aiortc import RTCDataChannel
from aiortc import rtcsctptransport as sctp
from aiortc.rtcdatachannel import RTCDataChannelParameters

from commander.tasks import cancel_and_wait, spawn
from commander.tunnel.transports.channel import CHANNEL_ID
from commander.tunnel.transports.webrtc_guards import GuardedSctp

PORT = 5000


class Wire:
    """Takes the place of DTLS below one association: what it sends, the other one's wire delivers."""

    def __init__(self, role: str) -> None:
        self.state = "connected"
        self._role = role
        self.receiver: Any = None
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self.far: Wire | None = None
        self.packets_sent = 0
        self.packets_spoiled = 0
        self.is_spoiled: Callable[[], bool] = lambda: False
        self._held_back: bytes | None = None

    async def _send_data(self, data: bytes) -> None:
        assert self.far is not None
        self.packets_sent += 1
        if self.is_spoiled():
            self.packets_spoiled += 1
            # Half of what goes wrong is lost, half is overtaken by the next packet.
            lost = self._held_back is not None
            self._held_back = None if lost else data
            return
        self.far.inbox.put_nowait(data)
        if self._held_back is not None:
            self.far.inbox.put_nowait(self._held_back)
            self._held_back = None

    def _register_data_receiver(self, receiver: Any) -> None:
        self.receiver = receiver

    def _unregister_data_receiver(self, receiver: Any) -> None:
        self.receiver = None

    async def run(self) -> None:
        while True:
            data = await self.inbox.get()
            if self.receiver is not None:
                await self.receiver._handle_data(data)


class Pair:
    """An established victim and its peer; `async with` opens and closes both."""

    def __init__(self) -> None:
        self.wires = Wire("client"), Wire("server")
        self.wires[0].far, self.wires[1].far = self.wires[1], self.wires[0]
        self.victim, self.peer = (GuardedSctp(wire) for wire in self.wires)
        self.messages: list[bytes | str] = []
        self.far_messages: list[bytes | str] = []
        self.is_closed = asyncio.Event()
        self._has_message = asyncio.Event()
        self.channel = _channel(self.victim)
        self.far_channel = _channel(self.peer)
        self.channel.on("message", self._keep)
        self.far_channel.on("message", self.far_messages.append)
        self.channel.on("close", self.is_closed.set)

    def _keep(self, message: bytes | str) -> None:
        self.messages.append(message)
        self._has_message.set()

    async def __aenter__(self) -> Self:
        self._tasks = [spawn(wire.run(), name="wire") for wire in self.wires]
        for end in (self.victim, self.peer):
            await end.start(None, PORT)
        async with asyncio.timeout(10):
            while {self.channel.readyState, self.far_channel.readyState} != {"open"}:
                await asyncio.sleep(0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for end in (self.victim, self.peer):
            await end.stop()
        await cancel_and_wait(*self._tasks)

    @property
    def next_number(self) -> int:
        """The transmission sequence number that the victim expects."""
        assert self.victim._last_received_tsn is not None
        return sctp.tsn_plus_one(self.victim._last_received_tsn)

    async def inject(self, kind: int, body: bytes, *, flags: int = 0) -> float:
        """Hand the victim one packet with one chunk; how long it was busy with it."""
        return await self.inject_chunks([(kind, flags, body)])

    async def inject_chunks(self, chunks: Iterable[tuple[int, int, bytes]]) -> float:
        """Hand the victim one packet of many chunks; how long it was busy with it."""
        whole = _Bundle(body=b"".join(_chunk(*chunk) for chunk in chunks))
        packet = sctp.serialize_packet(PORT, PORT, self.victim._local_verification_tag, whole)
        began = time.perf_counter()
        await self.victim._handle_data(packet)
        return time.perf_counter() - began

    async def inject_data(
        self,
        payload: bytes,
        *,
        ahead: int = 0,
        flags: int = sctp.SCTP_DATA_FIRST_FRAG | sctp.SCTP_DATA_LAST_FRAG,
        stream: int = CHANNEL_ID,
        protocol: int = sctp.WEBRTC_BINARY,
    ) -> float:
        """Hand the victim a DATA chunk, by default one whole message in turn."""
        number = (self.next_number + ahead) % 2**32
        sequence = self.victim._get_inbound_stream(CHANNEL_ID).sequence_number
        body = struct.pack("!LHHL", number, stream, sequence, protocol) + payload
        return await self.inject(sctp.DataChunk.type, body, flags=flags)

    async def proves_alive(self) -> None:
        """A message of the honest peer still arrives."""
        self.far_channel.send(b"still here")
        async with asyncio.timeout(10):
            while self.messages[-1:] != [b"still here"]:
                self._has_message.clear()
                await self._has_message.wait()


class _Bundle(sctp.Chunk):
    def __bytes__(self) -> bytes:
        return self.body


def _chunk(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("!BBH", kind, flags, len(body) + 4) + body + bytes(-len(body) % 4)


def _channel(end: GuardedSctp) -> RTCDataChannel:
    return RTCDataChannel(end, RTCDataChannelParameters(negotiated=True, id=CHANNEL_ID))
