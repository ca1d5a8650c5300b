"""
How much, how fast, how often. Pure: callers bring the time.

| what | limit |
| --- | --- |
| body of `commit`, `setup`, `account/accept` | 32 MiB |
| body of `audit/append` | 8 MiB |
| body of any other native call | 64 KiB |
| body of a Secrets Manager call | 1 MiB |
| pace of a body | 15 s, and 1 s more for each 16 KiB received |
| bodies in memory at once | 256 MiB |
| answers above 256 KiB in memory at once; of one address | 256 MiB; 96 MiB |
| time to read an answer | 15 s, and 1 s more for each 16 KiB |
| requests of one device or gateway | 200 a second, 2,000 at once |
| calls without a session, of one address | 5 a second, 300 at once |
| Secrets Manager calls of one client | 10 a second, 100 at once |
| Secrets Manager calls of one address | 500 a second, 2,000 at once |
| attachment; uploads at once | 1 GiB; 32 |
| TURN credentials of one device or gateway | 5 a second, 400 at once |
| logins of one address | 30 a minute, 60 at once |
| failed logins of one account or device | from the fifth on a wait of 1, 2, 4 ... 60 s |
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from commander.authority.refusals import Code
from commander.errors import Refused
from commander.wire import calls
from commander.wire.requests import REQUEST_LIMIT

SMALL_BODY = 64 * 1024
DEVICE_BODY = 1024 * 1024
BODIES_IN_MEMORY = 256 * 1024 * 1024
ANSWERS_IN_MEMORY = 256 * 1024 * 1024
ANSWERS_OF_ONE_SOURCE = 96 * 1024 * 1024
ANSWER_BYTES = 8 * 1024 * 1024
WHOLE_LOG_BYTES = 48 * 1024 * 1024
PARTS = 2_000
STATEMENTS = 500
ACCOUNT_BLOB = 16 * 1024
APPLICATION_DATA = 4 * 1024
CLIENT_NAME = 1024
WRAPPED_KEY = 60
ATTACHMENT_BYTES = 1024 * 1024 * 1024
TRANSFERS = 32
TOKEN_LIFE_S = 24 * 3600
SESSION_IDLE_S = 30 * 60
SESSION_LIFE_S = 12 * 3600
CHALLENGE_S = 60
_BODY_OF = {
    calls.COMMIT.path: REQUEST_LIMIT,
    calls.SETUP.path: REQUEST_LIMIT,
    calls.ACCEPT.path: REQUEST_LIMIT,
    calls.AUDIT_APPEND.path: 8 * 1024 * 1024,
}
_PATIENCE_S = 15.0
_PACE = 16 * 1024
_FREE_FAILURES = 5
_LONGEST_DELAY_S = 60.0


def body_limit(path: str) -> int:
    """The most bytes that a native call's body may have."""
    return _BODY_OF.get(path, SMALL_BODY)


def body_deadline_s(received: int) -> float:
    """How long after its beginning a body may still be coming in, by what has come."""
    return _PATIENCE_S + received / _PACE


@dataclass(frozen=True)
class Rate:
    """`per_s` in the long run, `burst` at once."""

    per_s: float
    burst: int


REQUESTS = Rate(200.0, 2_000)
OPEN_CALLS = Rate(5.0, 300)
LOGINS = Rate(0.5, 60)
# A gateway asks once for each of its tunnels, and after an outage for all of them at once.
RELAYS = Rate(5.0, 400)
DEVICE_CALLS = Rate(10.0, 100)
DEVICE_SOURCE = Rate(500.0, 2_000)


class RateLimiter:
    """Counts by key, and forgets the keys that were quiet longest when there are too many."""

    def __init__(self, rate: Rate, *, most: int = 20_000) -> None:
        self._rate = rate
        self._most = most
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: str, now: float) -> float:
        """Count one; 0 when it is allowed, else how long to wait (and it is not counted)."""
        level, since = self._levels.pop(key, (float(self._rate.burst), now))
        level = min(self._rate.burst, level + max(0.0, now - since) * self._rate.per_s)
        allowed = level >= 1.0
        self._levels[key] = (level - 1.0 if allowed else level, now)
        while len(self._levels) > self._most:
            self._levels.popitem(last=False)
        return 0.0 if allowed else (1.0 - level) / self._rate.per_s

    def check(self, key: str, now: float) -> None:
        """Count one. Raises Refused(too-many-requests)."""
        wait = self.wait_s(key, now)
        if wait:
            raise Refused(
                f"too many requests; wait {wait:.0f} s" if wait >= 1 else "too many requests",
                code=Code.TOO_MANY_REQUESTS,
                hint="slow down",
            )


class LoginDelays:
    """
    Makes guessing slow: after five failures in a row each next one doubles the wait, to 60 s.

    A certified device has a count of its own, so that strangers who fail under an account's
    name can't keep its owner out.
    """

    def __init__(self, *, most: int = 20_000) -> None:
        self._most = most
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, key: str, now: float) -> float:
        """How long the next attempt has to wait."""
        count, last = self._failures.get(key, (0, now))
        if count < _FREE_FAILURES:
            return 0.0
        return max(0.0, last + delay_after(count) - now)

    def failed(self, key: str, now: float) -> None:
        """Count a failure."""
        count, _ = self._failures.pop(key, (0, now))
        self._failures[key] = (count + 1, now)
        while len(self._failures) > self._most:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Begin anew."""
        self._failures.pop(key, None)


def delay_after(failures: int) -> float:
    """The wait after so many failures in a row."""
    if failures < _FREE_FAILURES:
        return 0.0
    # The exponent is capped so that a long attack can't make huge numbers.
    return float(min(_LONGEST_DELAY_S, 2.0 ** min(failures - _FREE_FAILURES, 10)))


class Once:
    """Remembers what was used, each until a time; bounded by refusing when full."""

    def __init__(self, *, most: int = 500_000) -> None:
        self._most = most
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def use(self, item: bytes, *, now: float, until: float) -> bool:
        """Use it up; False when it was used before. Raises Refused(too-many-requests) when full."""
        while self._until:
            first, expires = next(iter(self._until.items()))
            if expires > now:
                break
            del self._until[first]
        if item in self._until:
            return False
        if len(self._until) >= self._most:
            raise Refused("the server is too busy", code=Code.TOO_MANY_REQUESTS, hint="wait")
        self._until[item] = until
        return True

    def forget(self) -> None:
        """Begin anew, as after a restart."""
        self._until.clear()


def source_of(address: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        found: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(IPv6Address(int(found) >> 64 << 64)) + "/64"
    return str(found)
