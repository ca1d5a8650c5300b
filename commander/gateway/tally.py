"""What a tunnel did, counted for the audit events at its end."""

from __future__ import annotations

from collections import Counter

from commander.audit.events import StreamRefused, TunnelOutcome, TunnelPaths, clip
from commander.codec import decode
from commander.errors import InvalidInput
from commander.gateway.limits import MAX_META_BYTES
from commander.gateway.rights import Rights
from commander.gateway.totals import Totals
from commander.tunnel.codes import CloseCode
from commander.tunnel.path import KIND_DIRECT, KIND_RELAY, KIND_TURN, KIND_WEBRTC
from commander.tunnel.reports import StreamReport
from commander.wire.commands import StreamMeta

# A stream's meta is the client's word: bounded here, shown in audit, and decides nothing.
MAX_PROGRAM = 32
MAX_PROGRAMS = 8
MAX_KINDS = 8
MAX_USERS = 8
MAX_TURNED_AWAY = 1_000_000
_RANK = {kind: rank for rank, kind in enumerate((KIND_DIRECT, KIND_WEBRTC, KIND_TURN, KIND_RELAY))}


class Tally:
    """
    Counts what audit tells of one tunnel, and for the process; fits `tunnel.reports.TunnelEvents`.
    """

    def __init__(self, totals: Totals | None = None) -> None:
        self._totals = totals or Totals()
        self.path = ""
        self._live: Counter[str] = Counter()
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
        self.turned_away: dict[int, int] = {}
        """Connections that the client closed at its local end, by the local user's number."""

    def path_up(self, kind: str, generation: int) -> None:
        """Remember what carried the tunnel last."""
        self.links += 1
        self._live[kind] += 1
        self._note_path()
        if len(self.kinds) < MAX_KINDS:
            self.kinds.setdefault(kind)

    def path_lost(self, kind: str, reason: str) -> None:
        """Count it for the process; the interruption tells of it, if it was the last."""
        self._totals.path_lost(kind)
        self._live[kind] -= 1
        self._note_path()

    def _note_path(self) -> None:
        """Of what lives the client prefers the shortest; what carried last stays when nothing lives."""
        live = [kind for kind, count in self._live.items() if count > 0]
        if live:
            self.path = min(live, key=lambda kind: (_RANK.get(kind, len(_RANK)), kind))

    def path_narrow(self, kind: str, group: int) -> None:
        """Clients alone ask for more carriers."""

    def tunnel_interrupted(self, reason: str, *, gone: bool) -> None:
        """Count a time without any path."""
        self.interruptions += 1
        self.last_interruption = reason

    def tunnel_resumed(self, kind: str, after_s: float) -> None:
        """Count how long it lasted."""
        self.resumes += 1
        self.interrupted_ms += int(after_s * 1000)
        self._totals.resumed(after_s)

    def stream_opened(self, stream: int, meta: bytes) -> None:
        """Count a connection, and note the program that the client says is behind it."""
        said = _read(meta)
        if said.turned_away:
            self._note_turned_away(said)
            return
        self.streams += 1
        program = clip(said.program, MAX_PROGRAM)
        if program and len(self.programs) < MAX_PROGRAMS:
            self.programs.add(program)

    def _note_turned_away(self, said: StreamMeta) -> None:
        uid = said.uid if said.uid in self.turned_away or len(self.turned_away) < MAX_USERS else -1
        count = max(0, min(said.turned_away, MAX_TURNED_AWAY))
        self.turned_away[uid] = min(self.turned_away.get(uid, 0) + count, MAX_TURNED_AWAY)

    def stream_closed(self, report: StreamReport) -> None:
        """Add a connection's bytes."""
        if _read(report.meta).turned_away:
            return
        self.bytes_to_target += report.bytes_in
        self.bytes_from_target += report.bytes_out
        if report.cause not in ("closed", "aborted", "tunnel-closed"):
            self.streams_refused += 1
            self._totals.streams_failed += 1

    def tunnel_closed(self, code: CloseCode, reason: str) -> None:
        """Nothing to count."""

    def paths_event(self, conversation: str, rights: Rights) -> TunnelPaths | None:
        """What there is to tell of a tunnel's paths beside the outcome; None when it always had one."""
        if self.interruptions == 0:
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

    def turned_away_events(self, conversation: str, rights: Rights) -> list[StreamRefused]:
        """One for each local user whose connections the client has turned away, by its word."""
        return [
            StreamRefused(
                conversation=conversation,
                stream=count,
                record=rights.record,
                code="another-user",
                os_user="" if uid < 0 else str(uid),
                program="",
            )
            for uid, count in sorted(self.turned_away.items())
        ]

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


def _read(meta: bytes) -> StreamMeta:
    """What the client says of a connection; nothing, when it cannot be read."""
    try:
        return decode(StreamMeta, meta, limit=MAX_META_BYTES)
    except InvalidInput:
        return StreamMeta("")
