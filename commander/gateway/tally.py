"""What a tunnel did, counted for the audit events at its end."""

from __future__ import annotations

import contextlib

from commander.audit.events import TunnelOutcome, TunnelPaths, clip
from commander.codec import decode
from commander.errors import InvalidInput
from commander.gateway.limits import MAX_META_BYTES
from commander.gateway.rights import Rights
from commander.gateway.totals import Totals
from commander.tunnel.codes import CloseCode
from commander.tunnel.reports import StreamReport
from commander.wire.commands import StreamMeta

# A stream's meta is the client's word: bounded here, shown in audit, and decides nothing.
MAX_PROGRAM = 32
MAX_PROGRAMS = 8
MAX_KINDS = 8


class Tally:
    """
    Counts what audit tells of one tunnel, and for the process; fits `tunnel.reports.TunnelEvents`.
    """

    def __init__(self, totals: Totals | None = None) -> None:
        self._totals = totals or Totals()
        self.path = ""
        self.kinds: dict[str, None] = {}
        self.links = 0
        self.interruptions = 0
        self.resumes = 0
        self.interrupted_ms = 0
        self.last_interruption = ""
        self.streams = 0
        self.streams_refused = 0
        self.bytes_to_target = 0
        self.bytes_from_target = 0
        self.programs: set[str] = set()

    def path_up(self, kind: str, generation: int) -> None:
        """Remember what carried the tunnel last."""
        self.path = kind
        self.links += 1
        if len(self.kinds) < MAX_KINDS:
            self.kinds.setdefault(kind)

    def path_lost(self, kind: str, reason: str) -> None:
        """Count it for the process; the interruption tells of it, if it was the last."""
        self._totals.path_lost(kind)

    def tunnel_interrupted(self, reason: str, *, gone: bool) -> None:
        """Count a time without any path."""
        self.interruptions += 1
        self.last_interruption = reason

    def tunnel_resumed(self, kind: str, after_s: float) -> None:
        """Count how long it lasted."""
        self.path = kind
        self.resumes += 1
        self.interrupted_ms += int(after_s * 1000)
        self._totals.resumed(after_s)

    def stream_opened(self, stream: int, meta: bytes) -> None:
        """Count a connection, and note the program that the client says is behind it."""
        self.streams += 1
        with contextlib.suppress(InvalidInput):
            program = clip(decode(StreamMeta, meta, limit=MAX_META_BYTES).program, MAX_PROGRAM)
            if program and len(self.programs) < MAX_PROGRAMS:
                self.programs.add(program)

    def stream_closed(self, report: StreamReport) -> None:
        """Add a connection's bytes."""
        self.bytes_to_target += report.bytes_in
        self.bytes_from_target += report.bytes_out
        if report.cause not in ("closed", "aborted", "tunnel-closed"):
            self.streams_refused += 1
            self._totals.streams_failed += 1

    def tunnel_closed(self, code: CloseCode, reason: str) -> None:
        """Nothing to count."""

    def paths_event(self, conversation: str, rights: Rights) -> TunnelPaths | None:
        """What there is to tell of a tunnel's paths beside the outcome; None for one path, never lost."""
        if self.interruptions == 0 and len(self.kinds) < 2:
            return None
        return TunnelPaths(
            conversation=conversation,
            user=rights.user,
            record=rights.record,
            paths=", ".join(self.kinds),
            links=self.links,
            interruptions=self.interruptions,
            resumes=self.resumes,
            interrupted_ms=self.interrupted_ms,
            reason=clip(self.last_interruption),
        )

    def outcome_event(
        self, conversation: str, rights: Rights, *, code: str, reason: str, duration_ms: int
    ) -> TunnelOutcome:
        """The outcome of the tunnel."""
        return TunnelOutcome(
            conversation=conversation,
            user=rights.user,
            record=rights.record,
            code=code,
            path=self.path,
            duration_ms=max(0, duration_ms),
            bytes_to_target=self.bytes_to_target,
            bytes_from_target=self.bytes_from_target,
            streams=self.streams,
            streams_refused=self.streams_refused,
            programs=", ".join(sorted(self.programs)),
            reason=clip(reason),
        )
