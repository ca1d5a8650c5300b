"""
What to do about the paths of one tunnel, from what is live and what happened. Pure: no IO, no clock.

    interrupted   ask for the fast kinds at once, then again with back-off, until one carries
    live          carry on the best kind; ask again for better ones, ever more rarely; retire the rest

A relay beside a better path is retired after half a minute and not kept warm: a thousand idle tunnels
would cost the router two thousand sockets and their heartbeats, and a new one takes one command and
one connection, a few tenths of a second, while connections only wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from commander.authority.refusals import Code
from commander.tunnel.codes import CloseCode
from commander.tunnel.generations import CARRIERS
from commander.tunnel.path import KIND_DIRECT, KIND_RELAY, KIND_TURN, KIND_WEBRTC

FAST_KINDS = (KIND_RELAY, KIND_DIRECT)
"""What one command brings up in a round trip or two; asked for first, and together."""
ICE_KINDS = (KIND_WEBRTC, KIND_TURN)
"""Slow to prepare, and one of them at a time: TURN is WebRTC that shows no address."""
AUTO = "auto"
CHOICES = (AUTO, KIND_DIRECT, KIND_RELAY, KIND_WEBRTC, KIND_TURN)

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0
"""Pauses between attempts while nothing carries the tunnel."""
HEDGE_S = 2.0
"""An attempt that has not ended by then gets company: what was sent into a dead network may never return."""
MAX_RUNNING = 3
WEBRTC_EVERY = 3
"""Which attempts of an interruption try WebRTC as well; it is slow to prepare."""

RETRY_S = 30.0
LONGEST_RETRY_S = 900.0
"""Pauses between attempts for a better kind while another one carries."""
RETIRE_AFTER_S = 30.0
RETIRE_SAME_AFTER_S = 2.0
"""How long a path that is not preferred any more stays."""
WIDEST = 16
"""Carriers of a direct path that is long and loses much: twice as many at a time, while that pays."""
SLOW_RELAY_S = 0.005
"""A relay with a shorter round trip is near: WebRTC could not be better."""
CLEARLY_BETTER = 0.7
MEASURED_S = 6.0
"""Three heartbeats; a round trip is believed after that."""
SHORT_LIFE_S = 30.0
"""A better path that dies sooner counts as one that did not come up."""
OFFLINE_S = 5.0
"""With the word of the router that the gateway is offline for so long, a gone path was its process's end."""

_ENDING = {
    Code.CONVERSATION_UNKNOWN: CloseCode.PATH_LOST,
    Code.COMMAND_UNKNOWN_ACTION: CloseCode.PATH_LOST,
    **dict.fromkeys(
        (
            Code.DEVICE_REVOKED, Code.USER_UNKNOWN, Code.USER_REVOKED, Code.POLICY_MISSING,
            Code.ACCESS_MISSING, Code.ACCESS_NOT_YET, Code.RIGHT_MISSING, Code.OBJECT_UNKNOWN,
            Code.OBJECT_REVOKED, Code.RECORD_UNKNOWN, Code.RECORD_TAMPERED, Code.SETTINGS_TAMPERED,
            Code.SETTINGS_MISSING, Code.CONFIGURATION_MISSING, Code.CONFIGURATION_OTHER_GATEWAY,
            Code.TUNNELING_OFF, Code.TUNNEL_DISABLED, Code.LINK_NOT_ALLOWED, Code.TARGET_OVERRIDE,
            Code.TARGET_INVALID, Code.TARGET_FORBIDDEN, Code.SEAL_BROKEN, Code.SEAL_AUTHOR,
            Code.REVOKED_MEANWHILE, Code.PEER_UNKNOWN,
        ),
        CloseCode.REVOKED,
    ),
    Code.ACCESS_EXPIRED: CloseCode.EXPIRED,
}  # fmt: skip
"""Refusals after which no further attempt is accepted; all others may pass."""


@dataclass(frozen=True)
class Group:
    """The live carriers of one attempt and kind; `since` is monotonic, `rtt_s` the leading one's."""

    kind: str
    group: int
    rtt_s: float | None
    since: float
    is_preferred: bool
    carriers: int = 1


@dataclass(frozen=True)
class Ask:
    """Ask the gateway for paths of these kinds, which join a live group of the same kind, or none (0)."""

    kinds: tuple[str, ...]
    why: str
    group: int = 0


@dataclass(frozen=True)
class Prefer:
    """Let a group carry from now on."""

    group: Group
    why: str


@dataclass(frozen=True)
class Retire:
    """Replace a group that is not needed any more."""

    group: Group
    why: str


@dataclass(frozen=True)
class GiveUp:
    """End the tunnel."""

    code: CloseCode
    reason: str


Action = Ask | Prefer | Retire | GiveUp


@dataclass(frozen=True)
class Decision:
    """What to do now, and when to ask again if nothing happens before (monotonic; None: no need)."""

    actions: tuple[Action, ...]
    again_at: float | None


@dataclass
class _Kind:
    """How often a kind failed in a row, and when it may be asked for again beside a live path."""

    failures: int = 0
    not_before: float = 0.0


@dataclass
class _Interruption:
    since: float
    reason: str
    gone: bool
    next_try: float
    tries: int = 0
    offline_since: float | None = None


class KeeperPlan:
    """
    The decisions for one tunnel.

    Tell it what happens, then ask `decide` with the live groups; every `Ask` that it returns has
    begun and must end in `attempt_ended`. `random` gives numbers from 0 to 1 for jitter.
    """

    def __init__(self, kinds: Sequence[str], *, random: Callable[[], float]) -> None:
        self._kinds = dict.fromkeys(kinds)
        self._random = random
        self._of = {kind: _Kind() for kind in (*kinds,)}
        self._running = 0
        self._interruption: _Interruption | None = None
        self._end: GiveUp | None = None
        self._is_signed_out = False
        self._is_crowded = False
        self._wants_fresh = ""
        self._preferred: tuple[int, float] = (0, 0.0)
        self._narrow = 0
        self._widening = 0
        self._widenings = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that may be used, as far as is known."""
        return tuple(self._kinds)

    @property
    def _ice(self) -> str | None:
        return next((kind for kind in ICE_KINDS if kind in self._kinds), None)

    # --- what happened -----------------------------------------------------------------------

    def forbid(self, kind: str) -> None:
        """The gateway does not offer a kind for this record: do not ask for it again."""
        if len(self._kinds) > 1:
            self._kinds.pop(kind, None)

    def narrow(self, group: int) -> None:
        """More carriers of a group would carry more; it is said again once that proved right."""
        self._narrow = group

    def interrupted(self, reason: str, now: float, *, gone: bool) -> None:
        """No path is left; `gone` when the gateway's host closed the last one."""
        first = now + self._random() * FIRST_WAIT_S
        self._interruption = _Interruption(now, reason, gone, first)

    def resumed(self) -> None:
        """A path carries the tunnel again."""
        self._interruption = None
        self._wants_fresh = ""

    def kind_up(self, kind: str) -> None:
        """A path of a kind was verified."""
        if kind in self._of:
            self._of[kind].failures = 0

    def kind_failed(self, kind: str, now: float) -> None:
        """A kind did not come up in an attempt that the gateway accepted."""
        self._delay(kind, now)

    def group_lost(self, group: Group, now: float) -> None:
        """A group died; one that had just come up is not asked for again soon."""
        if now - group.since < SHORT_LIFE_S:
            self._delay(group.kind, now)

    def attempt_begun(self) -> None:
        """An attempt runs that `decide` did not ask for: that of the start."""
        self._running += 1

    def attempt_ended(self, now: float) -> None:
        """An `Ask` has ended, however it did."""
        self._running -= 1
        found = self._interruption
        if found is not None:
            span = min(FIRST_WAIT_S * 2 ** min(found.tries, 16), LONGEST_WAIT_S)
            wait = span * (0.5 + self._random() / 2)
            found.next_try = min(found.next_try, now + wait)

    def answered(self) -> None:
        """The gateway answered: it lives."""
        if self._interruption is not None:
            self._interruption.offline_since = None

    def gateway_offline(self, now: float) -> None:
        """The router is connected and says that the gateway is not."""
        if self._interruption is not None and self._interruption.offline_since is None:
            self._interruption.offline_since = now

    def refused(self, code: str, reason: str) -> None:
        """The gateway refused a path; some refusals are the end of a tunnel without one."""
        self.answered()
        close = next((close for known, close in _ENDING.items() if known == code), None)
        if close is None:
            return
        if code == Code.CONVERSATION_UNKNOWN:
            reason = f"the gateway was restarted, or ended it: {reason} ({code})"
        elif code == Code.PEER_UNKNOWN:
            # The server hides what one may not use. It is not believed in anything else, but it
            # could as well pass nothing on.
            reason = f"the server says that you may not use its gateway any more ({code})"
        elif code == Code.COMMAND_UNKNOWN_ACTION:
            reason = f"the gateway is of a version that cannot resume ({code})"
        else:
            reason = f"{reason} ({code})"
        self._end = GiveUp(close, reason)

    def signed_out(self, reason: str) -> None:
        """The session ended: no command can be sent any more."""
        self._end = GiveUp(CloseCode.PATH_LOST, reason)
        self._is_signed_out = True

    def signed_in(self) -> None:
        """There is a session again."""
        if self._is_signed_out:
            self._end, self._is_signed_out = None, False

    def surroundings_changed(self, why: str) -> None:
        """The machine slept or has another address: what failed before may work, what works may not."""
        for kind in self._of.values():
            kind.not_before = 0.0
        self._wants_fresh = why
        if self._interruption is not None:
            self._interruption.next_try = self._interruption.since

    # --- what to do --------------------------------------------------------------------------

    def decide(
        self, live: Sequence[Group], now: float, *, is_connected: bool, is_crowded: bool = False
    ) -> Decision:
        """
        What follows from all that.

        `is_connected` says whether commands can be sent, `is_crowded` that the process has so many
        tunnels that what is heavy would cost all of them their paths.
        """
        self._is_crowded = is_crowded
        if live:
            return self._decide_live(live, now)
        if self._interruption is None:
            return Decision((), None)
        return self._decide_interrupted(self._interruption, now, is_connected=is_connected)

    def _decide_interrupted(
        self, found: _Interruption, now: float, *, is_connected: bool
    ) -> Decision:
        if self._end is not None:
            return Decision((self._end,), None)
        if not is_connected:
            # The server went as well: it may have closed the path, and its word of the gateway
            # means little until that one had time to come back, too.
            found.gone = False
        times = []
        if found.gone and found.offline_since is not None:
            if now - found.offline_since >= OFFLINE_S:
                return Decision(
                    (GiveUp(CloseCode.PATH_LOST, "the gateway's process ended, it is offline"),),
                    None,
                )
            times.append(found.offline_since + OFFLINE_S)
        actions: tuple[Action, ...] = ()
        # One attempt waits for the router to be back; more would only be sent with it.
        if self._running < (MAX_RUNNING if is_connected else 1):
            if now >= found.next_try:
                found.tries += 1
                found.next_try = now + HEDGE_S
                actions = (self._ask(self._kinds_to_resume(found.tries), found.reason),)
            times.append(found.next_try)
        return Decision(actions, min(times, default=None))

    def _kinds_to_resume(self, tries: int) -> tuple[str, ...]:
        fast = tuple(kind for kind in FAST_KINDS if kind in self._kinds)
        if not fast or (tries % WEBRTC_EVERY == 0 and not self._is_crowded):
            return tuple(self._kinds)
        return fast

    def _decide_live(self, live: Sequence[Group], now: float) -> Decision:
        best, why = choose_best(live, now)
        actions: list[Action] = []
        times: list[float] = []
        if not best.is_preferred:
            actions.append(Prefer(best, why))
        if self._preferred[0] != best.group:
            self._preferred = (best.group, now)
        for group in live:
            if group is not best:
                at = self._retire_at(group, best)
                if at <= now:
                    actions.append(Retire(group, why))
                    if group.kind in ICE_KINDS and group.kind != best.kind:
                        # It came up and was not better: it will hardly be soon.
                        self._delay(group.kind, now)
                else:
                    times.append(at)
        times += self._measured_at(live, now)
        if self._end is None and not self._running:
            asked, again_at = self._ask_for_better(live, now)
            actions += asked or self._widen(best)
            times += again_at
        return Decision(tuple(actions), min(times, default=None))

    def _measured_at(self, live: Sequence[Group], now: float) -> list[float]:
        """When round trips will be known by which WebRTC is judged."""
        if self._ice is None or any(group.kind == KIND_DIRECT for group in live):
            return []
        return [group.since + MEASURED_S for group in live if now < group.since + MEASURED_S]

    def _retire_at(self, group: Group, best: Group) -> float:
        since = max(self._preferred[1], group.since)
        if group.kind == best.kind:
            return since + RETIRE_SAME_AFTER_S
        return since + RETIRE_AFTER_S

    def _ask_for_better(
        self, live: Sequence[Group], now: float
    ) -> tuple[list[Action], list[float]]:
        if self._wants_fresh:
            why, self._wants_fresh = self._wants_fresh, ""
            return [self._ask(self._kinds_to_resume(1), why)], []
        kind = self._better_kind(live)
        if kind is None:
            return [], []
        at = self._of[kind].not_before
        if at > now:
            return [], [at]
        # Until its outcome is known; a kind that comes up is asked for no more.
        self._of[kind].not_before = now + RETRY_S
        return [self._ask((kind,), f"{kind} may be better")], []

    def _widen(self, best: Group) -> list[Action]:
        if self._narrow == best.group and not self._is_crowded:
            self._widening, self._narrow = best.group, 0
            wanted = min(best.carriers, WIDEST - best.carriers)
            # One of four may have died.
            self._widenings = round(max(0, wanted) / CARRIERS[KIND_DIRECT])
        if self._widening != best.group or best.kind != KIND_DIRECT or not self._widenings:
            return []
        self._widenings -= 1
        return [self._ask((best.kind,), "what carries is long and loses much", best.group)]

    def _better_kind(self, live: Sequence[Group]) -> str | None:
        have = {group.kind for group in live}
        if KIND_DIRECT in have:
            return None
        if KIND_DIRECT in self._kinds and not self._of[KIND_DIRECT].failures:
            return KIND_DIRECT
        candidates = [kind for kind in (KIND_DIRECT,) if kind in self._kinds]
        may_be_heavy = self._ice is not None and not self._is_crowded
        if may_be_heavy and self._ice not in have and _is_slow(live):
            assert self._ice is not None
            candidates.append(self._ice)
        return min(candidates, key=lambda kind: self._of[kind].not_before, default=None)

    def _ask(self, kinds: tuple[str, ...], why: str, group: int = 0) -> Ask:
        self._running += 1
        return Ask(kinds, why, group)

    def _delay(self, kind: str, now: float) -> None:
        found = self._of.get(kind)
        if found is not None:
            span = min(RETRY_S * 2 ** min(found.failures, 16), LONGEST_RETRY_S)
            found.failures += 1
            found.not_before = now + span * (0.5 + self._random() / 2)


def choose_best(live: Sequence[Group], now: float) -> tuple[Group, str]:
    """
    Which group should carry, and why; of one kind the newest.

    A direct path always; WebRTC before a relay only when its round trip is clearly shorter, since
    a data channel carries less.
    """
    newest: dict[str, Group] = {}
    for group in sorted(live, key=lambda group: group.since):
        newest[group.kind] = group
    direct = newest.get(KIND_DIRECT)
    if direct is not None:
        return direct, "direct is the shortest path"
    relay, webrtc = newest.get(KIND_RELAY), newest.get(KIND_WEBRTC) or newest.get(KIND_TURN)
    if relay is None or webrtc is None:
        only = max(live, key=lambda group: group.since)
        return only, f"{only.kind} is the newest path"
    if _is_clearly_better(webrtc, relay, now):
        return webrtc, f"{webrtc.kind} has the clearly shorter round trip"
    return relay, f"{webrtc.kind} is not clearly shorter than the relay"


def _is_clearly_better(webrtc: Group, relay: Group, now: float) -> bool:
    if webrtc.rtt_s is None or relay.rtt_s is None or now - webrtc.since < MEASURED_S:
        return webrtc.is_preferred
    # Once it carries, only a relay that is plainly better takes over again.
    factor = 1 / CLEARLY_BETTER if webrtc.is_preferred else CLEARLY_BETTER
    return webrtc.rtt_s < factor * relay.rtt_s


def _is_slow(live: Sequence[Group]) -> bool:
    return all(group.rtt_s is not None and group.rtt_s > SLOW_RELAY_S for group in live)


def kinds_of_choice(choice: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """
    The kinds that `--path` stands for, within those the record's rules allow.

    Auto takes WebRTC, or where that may not be used, its form through TURN alone.
    """
    if choice != AUTO:
        return (choice,) if choice in allowed else ()
    fast = tuple(kind for kind in FAST_KINDS if kind in allowed)
    return fast + tuple(kind for kind in ICE_KINDS if kind in allowed)[:1]


def first_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """What a start asks for: the fast kinds, or what is left when none of them may be used."""
    return tuple(kind for kind in FAST_KINDS if kind in kinds) or tuple(kinds)
