"""
Guards around the WebRTC libraries, which parse a stranger's bytes inside our event loop.

aiortc and aioice are written for peers that mean well: some of their parsers trust lengths
that the peer wrote, let errors of `struct` escape into the loop, and keep buffers without
an end. `install_guards` puts checked versions in their place, for the whole process, and
proves by `self_test` that they are there; nothing else in the product may touch the libraries
before that. What is dropped is counted (`webrtc_drops`).

Layers, from the socket up (limits and threats in this folder's README.md):

    webrtc_agent       datagrams: size, kind, known source; which addresses and servers are used
    decode_parameters, parse_packet, parse_message    lengths, and one error type
    GuardedSctp        one stream, ordered binary messages, bounded reassembly, honest SACKs
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import metadata
from types import ModuleType
from typing import Any, Final

import aioice
import aioice.ice
import aioice.stun
import aioice.turn
import aiortc.rtcicetransport
import aiortc.rtcpeerconnection
import aiortc.rtcsctptransport as sctp
from aiortc.utils import uint32_gt, uint32_gte

from commander.errors import CommanderError
from commander.tasks import spawn
from commander.tunnel.transports.channel import CHANNEL_ID
from commander.tunnel.transports.webrtc_agent import GuardedConnection, GuardedStun, GuardedTurn
from commander.tunnel.transports.webrtc_drops import dropped, thin_log

MAX_MESSAGE_BYTES: Final = 64 * 1024
MAX_FRAGMENTS: Final = 256
"""Fragments of one message; our own peers need 15 for their largest."""
MAX_AHEAD_CHUNKS: Final = 4096
MAX_BUFFERED_BYTES: Final = 5 * 1024 * 1024
MAX_CONGESTION_WINDOW: Final = 4 * 1024 * 1024
"""Below what a receiver buffers, so that an honest sender is never dropped for being ahead."""
MAX_SACK_GAPS: Final = 256
MAX_SACK_DUPLICATES: Final = 16
SACK_DELAY_S: Final = 0.02
EAGER_SACKS: Final = 64

TESTED_VERSIONS: Final[Mapping[str, str]] = {"aiortc": "1.16.", "aioice": "0.13."}
Packet = tuple[int, int, int, list[sctp.Chunk]]


class ChannelViolation(Exception):
    """The peer does what no peer of ours does; its association ends."""


# --- Parsers ------------------------------------------------------------------------------


def decode_parameters(body: bytes) -> list[tuple[int, bytes]]:
    """
    Split an SCTP parameter list (RFC 9260 section 3.2.1).

    A length counts its own header, so it is at least 4 and ends inside the body; anything
    else raises ValueError, which the library takes for a packet to ignore.
    """
    parameters = []
    at = 0
    while at + 4 <= len(body):
        kind, length = struct.unpack_from("!HH", body, at)
        if length < 4 or at + length > len(body):
            raise ValueError("SCTP parameter has an invalid length")
        parameters.append((kind, body[at + 4 : at + length]))
        at += length + -length % 4
    return parameters


_library_parse_packet = sctp.parse_packet
_library_parse_message = aioice.stun.parse_message


def parse_packet(data: bytes) -> Packet:
    """Parse an SCTP packet; whatever is wrong with it is a ValueError."""
    try:
        return _library_parse_packet(data)
    except (struct.error, IndexError, KeyError, TypeError, OverflowError) as error:
        raise ValueError("SCTP packet is malformed") from error


def parse_and_count(data: bytes) -> Packet:
    """Parse an SCTP packet for an association; a ValueError makes it ignore the packet."""
    try:
        return parse_packet(data)
    except ValueError:
        dropped.count("sctp-malformed")
        raise


def parse_message(data: bytes) -> aioice.stun.Message:
    """Parse a STUN message; whatever is wrong with it is a ValueError."""
    try:
        return _library_parse_message(data)
    except (struct.error, IndexError, KeyError, TypeError, OverflowError) as error:
        raise ValueError("STUN message is malformed") from error


# --- SCTP ---------------------------------------------------------------------------------


class GuardedSctp(sctp.RTCSctpTransport):
    """
    An SCTP association that carries one ordered binary channel, number 0, agreed beforehand.

    A breach ends this association and nothing else; `violation` then holds the reason.
    """

    def __init__(self, transport: Any, port: int = 5000) -> None:
        super().__init__(transport, port)
        self.violation = ""
        self.was_ended_by_peer = False
        # Our channel is reliable, so nothing needs FORWARD TSN and nobody is told we take it.
        self._local_partial_reliability = False
        self._first_window = self._advertised_rwnd
        self._packets_taken = 0
        self._packets_unacknowledged = 0
        self._sack_timer: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None

    async def _handle_data(self, data: bytes) -> None:
        if self.violation:
            return
        try:
            await super()._handle_data(data)
        except ConnectionError:
            raise
        except ChannelViolation as breach:
            await self._refuse(str(breach))
        except Exception:  # noqa: BLE001  the border to the library: nothing may reach the loop
            await self._refuse("broken packet")

    async def _refuse(self, reason: str) -> None:
        dropped.count("sctp-violation")
        self.violation = reason
        await self._abort()
        self._set_state(self.State.CLOSED)

    async def _receive_chunk(self, chunk: sctp.Chunk) -> None:
        if isinstance(chunk, sctp.ForwardTsnChunk):
            raise ChannelViolation("messages skipped on a reliable channel")
        if isinstance(chunk, sctp.AbortChunk | sctp.ShutdownChunk):
            self.was_ended_by_peer = True
        await super()._receive_chunk(chunk)

    async def _receive_reconfig_param(self, param: Any) -> None:
        # Native libraries end a channel so: its only stream is over.
        if isinstance(param, sctp.StreamResetOutgoingParam):
            self.was_ended_by_peer = True
        await super()._receive_reconfig_param(param)

    async def _receive_data_chunk(self, chunk: sctp.DataChunk) -> None:
        if chunk.stream_id != CHANNEL_ID:
            raise ChannelViolation("data on a second channel")
        if chunk.flags & sctp.SCTP_DATA_UNORDERED or not chunk.user_data:
            raise ChannelViolation("unordered or empty fragment")
        if self._is_too_far_ahead(chunk.tsn):
            dropped.count("sctp-ahead")
            self._sack_needed = True
            return
        await super()._receive_data_chunk(chunk)
        self._check_unfinished_message()

    def _mark_received(self, tsn: int) -> bool:
        # The library sorts all that is out of order for every packet; under loss that takes
        # most of its time. Here each number is touched once.
        last = self._last_received_tsn
        assert last is not None
        if uint32_gte(last, tsn) or tsn in self._sack_misordered:
            self._sack_duplicates.append(tsn)
            return True
        self._sack_misordered.add(tsn)
        following = sctp.tsn_plus_one(last)
        while following in self._sack_misordered:
            self._sack_misordered.discard(following)
            self._last_received_tsn = following
            following = sctp.tsn_plus_one(following)
        return False

    def _is_too_far_ahead(self, tsn: int) -> bool:
        """
        Whether to drop a chunk as if lost; the next one in turn is always taken.

        The library advertises a receive window and never enforces it.
        """
        if self._last_received_tsn is None:
            raise ChannelViolation("data before the association is up")
        ahead = (tsn - self._last_received_tsn) % sctp.SCTP_TSN_MODULO
        if ahead <= 1 or ahead >= sctp.SCTP_TSN_MODULO // 2:
            return False
        return ahead > MAX_AHEAD_CHUNKS or self._buffered_bytes() > MAX_BUFFERED_BYTES

    def _buffered_bytes(self) -> int:
        return self._first_window - self._advertised_rwnd

    def _check_unfinished_message(self) -> None:
        """End a message that never ends: bytes received in turn that make no whole message."""
        assert self._last_received_tsn is not None
        waiting = self._get_inbound_stream(CHANNEL_ID).reassembly
        if len(waiting) <= MAX_FRAGMENTS and self._buffered_bytes() <= MAX_MESSAGE_BYTES:
            return
        size = 0
        for count, chunk in enumerate(waiting, 1):
            if uint32_gt(chunk.tsn, self._last_received_tsn):
                return
            size += len(chunk.user_data)
            if size > MAX_MESSAGE_BYTES or count > MAX_FRAGMENTS:
                raise ChannelViolation("message too long")

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if pp_id != sctp.WEBRTC_BINARY:
            raise ChannelViolation("message that is not binary")
        if len(data) > MAX_MESSAGE_BYTES:
            raise ChannelViolation("message too long")
        await super()._receive(stream_id, pp_id, data)

    async def _receive_sack_chunk(self, chunk: sctp.SackChunk) -> None:
        if not self._is_honest(chunk):
            dropped.count("sctp-sack")
            return
        await super()._receive_sack_chunk(chunk)
        self._cwnd = min(self._cwnd, MAX_CONGESTION_WINDOW)
        self._tell_drained()

    async def drained(self) -> None:
        """
        Wait until the peer has acknowledged everything, or the association is over.

        One caller at a time, with a deadline of its own.
        """
        self._drained = asyncio.get_running_loop().create_future()
        self._tell_drained()
        await self._drained

    def _tell_drained(self) -> None:
        is_busy = self._data_channel_queue or self._outbound_queue or self._sent_queue
        is_over = self._association_state != self.State.ESTABLISHED
        if self._drained is not None and not self._drained.done() and (is_over or not is_busy):
            self._drained.set_result(None)

    def _set_state(self, state: sctp.RTCSctpTransport.State) -> None:
        super()._set_state(state)
        self._tell_drained()

    def _is_honest(self, chunk: sctp.SackChunk) -> bool:
        """
        Whether a SACK speaks only of what we sent, in gaps that ascend.

        The library walks every number of every gap, whatever it spans.
        """
        highest_sent = self._sent_queue[-1].tsn if self._sent_queue else self._last_sacked_tsn
        outstanding = (highest_sent - chunk.cumulative_tsn) % sctp.SCTP_TSN_MODULO
        if outstanding >= sctp.SCTP_TSN_MODULO // 2:
            return False
        end = 0
        for first, last in chunk.gaps:
            if not end < first <= last <= outstanding:
                return False
            end = last
        return True

    async def _send_sack(self) -> None:
        """
        Acknowledge every second packet, or 20 ms later (RFC 9260 section 6.2).

        The library acknowledges each, which costs a third of its speed. At the start, and
        whenever something is out of order, we do too.
        """
        self._packets_taken += 1
        self._packets_unacknowledged += 1
        if self._packets_unacknowledged >= self._packets_per_sack():
            await self._send_sack_now()
        elif self._sack_timer is None:
            loop = asyncio.get_running_loop()
            self._sack_timer = loop.call_later(SACK_DELAY_S, self._send_late_sack)

    def _packets_per_sack(self) -> int:
        # A SACK costs as much as there is out of order; so much is a flood, or hopeless loss.
        if len(self._sack_misordered) > MAX_SACK_GAPS:
            return 32
        is_orderly = not self._sack_misordered and not self._sack_duplicates
        return 2 if is_orderly and self._packets_taken > EAGER_SACKS else 1

    async def _send_sack_now(self) -> None:
        self._packets_unacknowledged = 0
        if self._sack_timer is not None:
            self._sack_timer.cancel()
            self._sack_timer = None
        await super()._send_sack()

    def _send_late_sack(self) -> None:
        self._sack_timer = None
        if self._association_state == self.State.ESTABLISHED:
            spawn(self._send_sack_unless_gone(), name="webrtc-sack")

    async def _send_sack_unless_gone(self) -> None:
        with suppress(ConnectionError):
            await self._send_sack_now()

    async def _send_chunk(self, chunk: sctp.Chunk) -> None:
        if isinstance(chunk, sctp.SackChunk):
            # More would not fit into a packet, and the library would cut it anywhere.
            chunk.gaps = chunk.gaps[:MAX_SACK_GAPS]
            chunk.duplicates = chunk.duplicates[:MAX_SACK_DUPLICATES]
        await super()._send_chunk(chunk)


# --- Installation -------------------------------------------------------------------------

_REPLACEMENTS: Final[tuple[tuple[ModuleType, str, Any], ...]] = (
    (sctp, "decode_params", decode_parameters),
    (sctp, "parse_packet", parse_and_count),
    (aioice.stun, "parse_message", parse_message),
    (aioice.ice, "StunProtocol", GuardedStun),
    (aioice.turn, "TurnTransport", GuardedTurn),
    (aiortc.rtcicetransport, "Connection", GuardedConnection),
    (aiortc.rtcpeerconnection, "RTCSctpTransport", GuardedSctp),
)


def check_environment(versions: Mapping[str, str], optimize: int) -> None:
    """
    Refuse to run where the guards would not hold.

    The libraries check a peer's input by `assert`, which `python -O` leaves out; and guards
    reach into the libraries, so only versions they were tested with will do.

    Raises CommanderError.
    """
    if optimize:
        raise CommanderError(
            "webrtc does not run under python -O, which removes checks of its libraries",
            hint="start without -O and without PYTHONOPTIMIZE",
        )
    for name, tested in TESTED_VERSIONS.items():
        found = versions.get(name, "")
        if not found.startswith(tested):
            raise CommanderError(
                f"webrtc does not run with {name} {found or '(missing)'}: tested with {tested}x",
                hint=f"pip install '{name}=={tested}*', or use --path direct or --path relay",
            )


def install_guards() -> None:
    """
    Put every guard in place and prove it; idempotent, and needed before any use of aiortc.

    Raises CommanderError.
    """
    if is_installed():
        return
    check_environment({name: _version(name) for name in TESTED_VERSIONS}, sys.flags.optimize)
    for module, name, replacement in _REPLACEMENTS:
        setattr(module, name, replacement)
    thin_log("aiortc.rtcdtlstransport")
    self_test()


def is_installed() -> bool:
    """Whether every guard is in place now."""
    return all(getattr(module, name) is guard for module, name, guard in _REPLACEMENTS)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def self_test() -> None:
    """
    Show that the guards are in place and refuse the shapes they are there for.

    Raises CommanderError.
    """
    # In place first: without the guard, a shape below would not come back.
    if not is_installed():
        raise CommanderError("webrtc guards are not in place")
    shapes: list[tuple[Callable[[bytes], object], bytes]] = [
        (sctp.decode_params, struct.pack("!HH", 1, length)) for length in (0, 1, 3, 5, 65535)
    ]
    shapes += [(parse_packet, shape) for shape in _short_chunks()]
    shapes.append((aioice.stun.parse_message, _short_attribute()))
    for parser, shape in shapes:
        if not _is_refused(parser, shape):
            raise CommanderError(f"webrtc guard of {parser.__name__} does not refuse bad lengths")


def _short_chunks() -> list[bytes]:
    kinds = (sctp.DataChunk, sctp.InitChunk, sctp.SackChunk, sctp.ForwardTsnChunk)
    shapes = []
    for kind in kinds:
        chunk = sctp.Chunk(body=b"\0")
        chunk.type = kind.type
        shapes.append(sctp.serialize_packet(5000, 5000, 0, chunk))
    return shapes


def _short_attribute() -> bytes:
    attribute = struct.pack("!HH", 0x0024, 1) + bytes(4)
    return struct.pack("!HHI12s", 1, len(attribute), aioice.stun.COOKIE, bytes(12)) + attribute


def _is_refused(parser: Callable[[bytes], object], shape: bytes) -> bool:
    try:
        parser(shape)
    except ValueError:
        return True
    return False
