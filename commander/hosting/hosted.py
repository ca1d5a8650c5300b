from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from commander.clock import Clock
from commander.config.paths import Paths
from commander.errors import Conflict, NotAllowed
from commander.hosting.conversation import Accepted, TunnelRequest
from commander.hosting.journal import CLOSED, OPENED, Journal, Value
from commander.hosting.keeper import Means, PathKeeper
from commander.hosting.local_end import Caller, Entrance, LocalEnds
from commander.hosting.model import (
    ENDED,
    OPEN,
    RESUMING,
    LinkInfo,
    LocalPort,
    StreamInfo,
    TunnelInfo,
)
from commander.ids import new_uid
from commander.tunnel.codes import CloseCode, Role, StreamRefused
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.peer import Address
from commander.tunnel.pipe import Pipe
from commander.tunnel.reports import LinkReport, StreamReport, TunnelLimits


@dataclass(frozen=True)
class Label:
    """What a tunnels file calls a tunnel, and which file it is; its name under `localhost`, if any."""

    name: str = ""
    file: str = ""
    local_name: str = ""


NO_LABEL = Label()
RESUME_S = 600.0
"""Connections wait so long for another path."""

Notice = Callable[[str], None]
Ended = Callable[["HostedTunnel", CloseCode, str], None]


class HostedTunnel:
    """
    One tunnel of this process, as its owner and its log see it.

    Give it a keeper, which brings up its paths; then `listen`, and wait for `end.closed` or call
    `close`. `notify` is told in a sentence when it is interrupted and when it is back.
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
        notify: Notice,
        label: Label = NO_LABEL,
    ) -> None:
        self.uid = new_uid()
        self.request = request
        self._conversation = accepted.conversation
        self._clock = clock
        self._mode = mode
        self._ended = ended
        self._notify = notify
        self._label = label
        self._keeper: PathKeeper | None = None
        self._interruptions = 0
        self._address: Address = ("", 0)
        self._also: tuple[LocalPort, ...] = ()
        self._reason = ""
        self._journal = Journal(paths.tunnel_log(self.uid), clock)
        self.end = TunnelEnd(
            Role.CLIENT,
            accepted.keys,
            events=self,
            clock=clock,
            limits=TunnelLimits(idle_s=idle_s, resume_s=RESUME_S),
        )
        self._ends = LocalEnds(self.end.pipe, self._tell_gateway, self._journal)
        self._own_ended: asyncio.Future[StreamReport] | None = None

    @property
    def title(self) -> str:
        """The record's title."""
        return self.request.title

    @property
    def conversation(self) -> str:
        """The conversation by which the gateway knows it."""
        return self._conversation

    def keep(self, keeper: PathKeeper) -> None:
        """Let a keeper hear of paths that come and go; it is closed with the tunnel."""
        self._keeper = keeper

    def use(self, means: Means) -> None:
        """Ask for paths with another session of the same device from now on."""
        if self._keeper is not None:
            self._keeper.use(means)

    def surroundings_changed(self, why: str, *, is_moved: bool) -> None:
        """Pass on that the machine woke, or that its addresses changed."""
        if self._keeper is not None:
            self._keeper.surroundings_changed(why, is_moved=is_moved)

    def log(self, event: str, **values: Value) -> None:
        """Write a line into the tunnel's log."""
        self._journal.write(event, **values)

    async def listen(self, *attempts: Sequence[Entrance]) -> None:
        """
        Open the local end at the first of these sets of entrances that is free.

        Raises what the last one raised: Conflict when it is taken, NotAllowed, InvalidInput.
        """
        *earlier, last = attempts
        for entrances in earlier:
            try:
                self._listen(entrances)
            except (Conflict, NotAllowed):
                continue
            return
        self._listen(last)

    def _listen(self, entrances: Sequence[Entrance]) -> None:
        first, *also = self._ends.open(entrances)
        self._address = first
        self._also = tuple(
            LocalPort(address[0], address[1], entrance.remote_port)
            for address, entrance in zip(also, entrances[1:], strict=True)
        )
        self._journal.write(
            OPENED,
            record=self.request.record,
            gateway=self.request.gateway,
            host=first[0],
            port=first[1],
        )

    def _tell_gateway(self, meta: bytes) -> None:
        """Say something to the gateway's audit log, by a stream that it refuses."""
        if not self.end.closed.done():
            with contextlib.suppress(StreamRefused):  # the tunnel is full: the log here has it
                self.end.mux.open(meta)
                self.end.flush()

    def connect(self) -> tuple[Pipe, asyncio.Future[StreamReport]]:
        """
        One stream for this process itself, instead of a listener (`--stdio`).

        Gives the protocol for its socket, and how it ended once it has.
        """
        assert self._own_ended is None
        self._own_ended = asyncio.get_running_loop().create_future()
        return self._ends.connect(Caller("stdio", os.getppid(), os.getuid())), self._own_ended

    async def close(self, code: CloseCode, reason: str) -> None:
        """End the tunnel and wait; idempotent."""
        await self.end.close(code, reason)
        self._ends.close()
        if self._keeper is not None:
            await self._keeper.close()

    def info(self, *, with_streams: bool = False) -> TunnelInfo:
        """The tunnel as it is now."""
        stats = self.end.stats()
        host, port = self._address
        streams = tuple(map(self._stream_info, self.end.streams())) if with_streams else ()
        return TunnelInfo(
            tunnel=self.uid,
            conversation=self._conversation,
            record=self.request.record,
            title=self.request.title,
            gateway=self.request.gateway,
            remote=self.request.remote,
            local_host=host,
            local_port=port,
            status=self._status(),
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
            reason=self._reason,
            streams=streams,
            name=self._label.name,
            file=self._label.file,
            local_name=self._label.local_name,
            unix="" if port else host,
            also=self._also,
            refused=self._ends.refused,
            refused_uids=self._ends.uids_refused,
            links=tuple(map(_link_info, self.end.links())),
            interrupted_s=self.end.interrupted_for() if self.end.is_interrupted else None,
            interruptions=self._interruptions,
        )

    def _status(self) -> str:
        if self.end.closed.done():
            return ENDED
        return RESUMING if self.end.is_interrupted else OPEN

    def _stream_info(self, report: StreamReport) -> StreamInfo:
        caller = self._ends.caller(report.stream)
        return StreamInfo(
            report.stream,
            caller.program,
            report.since,
            report.bytes_in,
            report.bytes_out,
            pid=caller.pid,
            uid=-1 if caller.uid is None else caller.uid,
            state=report.state,
            address=f"{caller.address[0]}:{caller.address[1]}" if caller.address[1] else "",
        )

    # What the engine tells; it goes to the log, never payload.

    def path_up(self, kind: str, generation: int) -> None:
        """A path is verified."""
        self._journal.write("path-up", path=kind, generation=generation)
        if self._keeper is not None:
            self._keeper.changed()

    def path_lost(self, kind: str, reason: str) -> None:
        """A path is gone."""
        self._journal.write("path-lost", path=kind, reason=reason)
        if self._keeper is not None:
            self._keeper.changed()

    def path_narrow(self, kind: str, group: int) -> None:
        """More carriers would carry more."""
        self._journal.write("path-narrow", path=kind, generation=group)
        if self._keeper is not None:
            self._keeper.narrow(group)

    def tunnel_interrupted(self, reason: str, *, gone: bool) -> None:
        """All paths are lost; connections wait."""
        self._interruptions += 1
        self._reason = reason
        self._journal.write("interrupted", reason=reason, gone=gone)
        self._notify(f"Tunnel {self.title} is interrupted: {reason}. Its connections wait.")
        if self._keeper is not None:
            self._keeper.interrupted(reason, gone=gone)

    def tunnel_resumed(self, kind: str, after_s: float) -> None:
        """Another path took over."""
        self._reason = ""
        self._journal.write("resumed", path=kind, after_s=round(after_s, 3))
        self._notify(f"Tunnel {self.title} is back after {after_s:.1f} s, over {kind}.")
        if self._keeper is not None:
            self._keeper.resumed()

    def stream_opened(self, stream: int, meta: bytes) -> None:
        """A local connection was accepted."""
        caller = self._ends.opened(stream)
        self._journal.write(
            "accept", stream=stream, program=caller.program, pid=caller.pid or None, uid=caller.uid
        )

    def stream_closed(self, report: StreamReport) -> None:
        """A local connection is over."""
        self._journal.write(
            "close",
            stream=report.stream,
            program=self._ends.closed(report.stream).program,
            bytes_in=report.bytes_in,
            bytes_out=report.bytes_out,
            cause=report.cause,
            reason=report.reason,
        )
        if self._own_ended is not None and not self._own_ended.done():
            self._own_ended.set_result(report)

    def tunnel_closed(self, code: CloseCode, reason: str) -> None:
        """The tunnel is over."""
        self._ends.close()
        self._journal.write(CLOSED, code=code.label, reason=reason)
        self._journal.close()
        if self._keeper is not None:
            self._keeper.changed()
        self._ended(self, code, reason)


def _link_info(report: LinkReport) -> LinkInfo:
    return LinkInfo(
        report.kind,
        report.generation,
        report.group,
        report.since,
        report.bytes_in,
        report.bytes_out,
        None if report.rtt_s is None else report.rtt_s * 1000,
        report.is_preferred,
    )
