"""Every bound of a gateway in one place; README.md explains them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FUTURE_S: Final = 60
"""A command may be issued this far in our past or future."""
NONCE_KEEP_S: Final = 120
MAX_NONCES: Final = 65_536
MAX_TUNNELS: Final = 2048
MAX_TUNNELS_PER_USER: Final = 1536
"""Three quarters: one user's thousand tunnels fit, and the others are never shut out."""
STARTS_PER_S: Final = 10.0
STARTS_BURST: Final = 200.0
"""Commands of one user that are judged beyond their signature."""
PATHS_PER_S: Final = 1.0
PATHS_BURST: Final = 10.0
"""Commands for further paths of one tunnel."""
USER_PATHS_PER_S: Final = 50.0
USER_PATHS_BURST: Final = 1000.0
"""Commands for further paths of all tunnels of a user: each of them may come back at once."""
CHECKS_PER_S: Final = 0.5
CHECKS_BURST: Final = 20.0
"""Checks of a target and probe tunnels of one user together."""
PROBE_BYTES: Final = 64 * 1024 * 1024
PROBE_TUNNEL_S: Final = 30.0
"""What one probe tunnel may carry, both directions together, and how long it may live."""
CALLS_PER_S: Final = 200.0
CALLS_BURST: Final = 4000.0
"""Connections that this gateway opens towards clients, to all addresses they name; four a direct path."""
MAX_META_BYTES: Final = 512
"""What a client says of a connection."""
MAX_ATTEMPTS: Final = 3
"""Commands for further paths of one tunnel whose paths are being opened."""
MAX_COMMANDS_AT_ONCE: Final = 64
MAX_COMMANDS_WAITING: Final = 1280
"""Commands handed in and not judged; past it they are dropped, as a network would."""
MAX_USERS_REMEMBERED: Final = 10_000

RESOLVE_S: Final = 5.0
RESOLVERS: Final = 16
"""Threads that wait for the resolver."""
CONNECT_S: Final = 10.0
MAX_ADDRESSES: Final = 16

POLL_S: Final = 10.0
FETCH_S: Final = 10.0
MAX_LOG_PAGES: Final = 2000

PING_EVERY_S: Final = 3.0
PONG_WITHIN_S: Final = 5.0
STEADY_S: Final = 30.0
RECONNECT_LIMIT_S: Final = 2.0
"""Longest pause between attempts: new tunnels work within five seconds of the server's return."""

HELLO_S: Final = 30.0
"""From reply to a verified path; the client may try several kinds in turn."""
RESUME_S: Final = 600.0
"""A tunnel without a path waits so long for its client; less when the client's host closed the last one."""
MAX_ENDED: Final = 4096
"""Tunnels that are over and of which is remembered why."""
MAX_UNAUTHENTICATED_AUDITS_PER_S: Final = 5.0
OUTBOX_BYTES: Final = 64 * 1024 * 1024
UPLOAD_BATCH: Final = 100
COMPACT_BYTES: Final = 1024 * 1024
DRAIN_S: Final = 10.0


@dataclass
class Bucket:
    """How much of a rate is left; `now` is monotonic time."""

    rate: float
    burst: float
    left: float
    since: float

    def take(self, now: float) -> bool:
        """Use one; False when nothing is left."""
        self.left = min(self.burst, self.left + max(0.0, now - self.since) * self.rate)
        self.since = now
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


class _Buckets:
    """One bucket for each user, the oldest forgotten past the limit."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._of: dict[str, Bucket] = {}

    def take(self, user: str, now: float) -> bool:
        bucket = self._of.get(user)
        if bucket is None:
            if len(self._of) >= MAX_USERS_REMEMBERED:
                self._of.pop(next(iter(self._of)))
            bucket = self._of[user] = Bucket(self._rate, self._burst, self._burst, now)
        return bucket.take(now)


class StartLimits:
    """How often each user may ask, and how many tunnels may be open. No IO."""

    def __init__(
        self, *, tunnels: int = MAX_TUNNELS, tunnels_per_user: int = MAX_TUNNELS_PER_USER
    ) -> None:
        self._tunnels = tunnels
        self._tunnels_per_user = tunnels_per_user
        self._starts = _Buckets(STARTS_PER_S, STARTS_BURST)
        self._checks = _Buckets(CHECKS_PER_S, CHECKS_BURST)
        self._paths = _Buckets(USER_PATHS_PER_S, USER_PATHS_BURST)

    def may_ask(self, user: str, now: float) -> bool:
        """Count one command of a user; False when it asks too often."""
        return self._starts.take(user, now)

    def may_check(self, user: str, now: float) -> bool:
        """The same for checks and probes, of which a person needs few."""
        return self._checks.take(user, now)

    def may_ask_for_path(self, user: str, now: float) -> bool:
        """The same for further paths of a user's live tunnels."""
        return self._paths.take(user, now)

    def may_widen(self, *, open_tunnels: int) -> bool:
        """
        Whether a live tunnel may have more carriers than four.

        With sixteen it needs the descriptors of two tunnels: so while half of them are free.
        """
        return open_tunnels <= self._tunnels // 2

    def reason_against(self, *, open_tunnels: int, of_user: int) -> str:
        """Why one more tunnel may not be opened, or ""."""
        if open_tunnels >= self._tunnels:
            return f"the gateway has {open_tunnels} tunnels open, its limit"
        if of_user >= self._tunnels_per_user:
            return f"the user has {of_user} tunnels open here, the limit"
        return ""
