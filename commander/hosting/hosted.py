from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from commander.clock import Clock
from commander.codec import decode, encode
from commander.config.paths import Paths
from commander.errors import InvalidInput
from commander.hosting.conversation import Accepted, TunnelRequest
from commander.hosting.journal import CLOSED, OPENED, Journal
from commander.hosting.model import StreamInfo, TunnelInfo
from commander.ids import new_uid
from commander.tunnel.codes import CloseCode, Role
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.listener import ListenOn, LocalListener
from commander.tunnel.path import Binding, Path
from commander.tunnel.peer import Address, Peer, ProgramFinder
from commander.tunnel.reports import StreamReport, TunnelLimits
from commander.wire.commands import StreamMeta

Notice = Callable[[str], None]
Ended = Callable[["HostedTunnel", CloseCode, str], None]


class HostedTunnel:
    """
    One tunnel of this process, as its owner and its log see it.

    `attach` a path, then `listen`; wait for `end.closed` or call `close`.
    """

    def __init__(
        self,
        request: TunnelRequest,
        accepted: Accepted,
        *,
        paths: Paths,
        clock: Clock,
        mode: str,
        idle_s: float | None,
        ended: Ended,
    ) -> None:
        self.uid = new_uid()
        self.request = request
        self._conversation = accepted.conversation
        self._clock = clock
        self._mode = mode
        self._ended = ended
        self._listener: LocalListener | None = None
        self._address: Address = ("", 0)
        self._programs = ProgramFinder()
        self._journal = Journal(paths.tunnel_log(self.uid), clock)
        self.end = TunnelEnd(
            Role.CLIENT, accepted.keys, events=self, clock=clock, limits=TunnelLimits(idle_s=idle_s)
        )

    @property
    def title(self) -> str:
        """The record's title."""
        return self.request.title

    async def attach(self, path: Path, binding: Binding) -> None:
        """Let a path carry the tunnel; raises as `TunnelEnd.attach`."""
        await self.end.attach(path, binding)

    async def listen(
        self, host: str, *, fixed_port: int, preferred_port: int, allow_remote: bool
    ) -> None:
        """Open the local port. Raises Conflict when a fixed one is taken, NotAllowed, InvalidInput."""
        where = ListenOn(
            host, fixed_port or None, preferred=preferred_port or None, allow_remote=allow_remote
        )
        listener = LocalListener(where, self._accept, self)
        address = listener.open()
        self._listener, self._address = listener, address
        self._journal.write(
            OPENED,
            record=self.request.record,
            gateway=self.request.gateway,
            host=address[0],
            port=address[1],
        )

    def _accept(self, peer: Peer) -> asyncio.BaseProtocol:
        return self.end.pipe(stream_meta(self._programs.find(peer)))

    async def close(self, code: CloseCode, reason: str) -> None:
        """End the tunnel and wait; idempotent."""
        await self.end.close(code, reason)
        self._stop_listening()

    def info(self, *, with_streams: bool = False) -> TunnelInfo:
        """The tunnel as it is now."""
        stats = self.end.stats()
        host, port = self._address
        streams = tuple(map(_stream_info, self.end.streams())) if with_streams else ()
        return TunnelInfo(
            tunnel=self.uid,
            conversation=self._conversation,
            record=self.request.record,
            title=self.request.title,
            gateway=self.request.gateway,
            remote=self.request.remote,
            local_host=host,
            local_port=port,
            status="closed" if self.end.closed.done() else "open",
            path=stats.path_kind,
            generation=stats.generation,
            since=stats.since,
            streams_open=stats.streams_open,
            streams_total=stats.streams_total,
            bytes_in=stats.bytes_in,
            bytes_out=stats.bytes_out,
            rtt_ms=None if stats.rtt_s is None else stats.rtt_s * 1000,
            pid=os.getpid(),
            mode=self._mode,
            streams=streams,
        )

    # What the engine tells; it goes to the log, never payload.

    def path_up(self, kind: str, generation: int) -> None:
        """A path carries the tunnel."""
        self._journal.write("path-up", path=kind, generation=generation)

    def path_lost(self, kind: str, reason: str) -> None:
        """The path is gone."""
        self._journal.write("path-lost", path=kind, reason=reason)

    def stream_opened(self, stream: int, meta: bytes) -> None:
        """A local connection was accepted."""
        self._journal.write("accept", stream=stream, program=_program(meta))

    def stream_closed(self, report: StreamReport) -> None:
        """A local connection is over."""
        self._journal.write(
            "close",
            stream=report.stream,
            program=_program(report.meta),
            bytes_in=report.bytes_in,
            bytes_out=report.bytes_out,
            cause=report.cause,
            reason=report.reason,
        )

    def tunnel_closed(self, code: CloseCode, reason: str) -> None:
        """The tunnel is over."""
        self._stop_listening()
        self._journal.write(CLOSED, code=code.label, reason=reason)
        self._journal.close()
        self._ended(self, code, reason)

    def connection_refused(self, peer: Peer, reason: str) -> None:
        """A connection of somebody else was closed before a byte of it was forwarded."""
        self._journal.write("refused", uid=peer.uid, reason=reason)

    def accept_paused(self, reason: str) -> None:
        """The process ran out of descriptors or memory for a moment."""
        self._journal.write("accept-paused", reason=reason)

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()


def _stream_info(report: StreamReport) -> StreamInfo:
    return StreamInfo(
        report.stream, _program(report.meta), report.since, report.bytes_in, report.bytes_out
    )


def _program(meta: bytes) -> str:
    try:
        return decode(StreamMeta, meta, limit=4096).program
    except InvalidInput:
        return ""


def stream_meta(program: str) -> bytes:
    """What the gateway is told of a connection, for its audit events."""
    return encode(StreamMeta(program[:64]))
