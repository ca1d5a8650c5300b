"""What a keeper decides, without a network: each rule of the module's table, and its limits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from commander.authority.refusals import Code
from commander.hosting import keeper_plan as plans
from commander.hosting.keeper_plan import (
    AUTO,
    CHOICES,
    Ask,
    GiveUp,
    Group,
    KeeperPlan,
    Prefer,
    Retire,
    choose_best,
    first_kinds,
    kinds_of_choice,
)
from commander.tunnel.codes import CloseCode

ALL = ("relay", "direct", "webrtc")
NOW = 1000.0


def plan_of(kinds: Sequence[str] = ALL, *, random: float = 1.0) -> KeeperPlan:
    return KeeperPlan(kinds, random=lambda: random)


def group(
    kind: str,
    number: int = 1,
    *,
    rtt_s: float | None = 0.1,
    since: float = NOW - 100,
    preferred: bool = False,
) -> Group:
    return Group(kind, number, rtt_s, since, preferred)


def acts(
    plan: KeeperPlan, live: Sequence[Group], now: float, *, connected: bool = True
) -> list[object]:
    return list(plan.decide(live, now, is_connected=connected).actions)


def kinds_asked(actions: Sequence[object]) -> list[tuple[str, ...]]:
    return [action.kinds for action in actions if isinstance(action, Ask)]


# --- interrupted ---------------------------------------------------------------------------------


def test_an_interrupted_tunnel_asks_for_the_fast_kinds_at_once() -> None:
    """Within a tenth of a second, so that many tunnels do not ask in the same moment."""
    plan = plan_of()
    plan.interrupted("cut", NOW, gone=False)

    assert acts(plan, [], NOW) == []
    assert plan.decide([], NOW, is_connected=True).again_at == NOW + plans.FIRST_WAIT_S
    assert acts(plan, [], NOW + plans.FIRST_WAIT_S) == [Ask(("relay", "direct"), "cut")]


def test_failed_attempts_are_repeated_ever_more_rarely() -> None:
    """Pauses double from 0.1 s to 2 s."""
    plan = plan_of(("relay",), random=1.0)
    plan.interrupted("cut", NOW, gone=False)
    now, pauses = NOW + 1, []
    for _ in range(7):
        assert kinds_asked(acts(plan, [], now)) == [("relay",)]
        plan.attempt_ended(now)
        again = plan.decide([], now, is_connected=True).again_at
        assert again is not None
        pauses.append(round(again - now, 3))
        now = again

    assert pauses == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


def test_jitter_takes_up_to_half_of_a_pause() -> None:
    """Clients that were cut together do not come back together."""
    plan = plan_of(("relay",), random=0.0)
    plan.interrupted("cut", NOW, gone=False)
    acts(plan, [], NOW)
    plan.attempt_ended(NOW)

    assert plan.decide([], NOW, is_connected=True).again_at == NOW + 0.1


def test_an_attempt_that_hangs_gets_company_but_not_endlessly() -> None:
    """Three run at once at most; the fourth waits for one to end."""
    plan = plan_of(("relay",))
    plan.interrupted("cut", NOW, gone=False)
    begun = [acts(plan, [], NOW + 1 + n * plans.HEDGE_S) for n in range(4)]

    assert [len(one) for one in begun] == [1, 1, 1, 0]
    plan.attempt_ended(NOW + 20)
    assert len(acts(plan, [], NOW + 23)) == 1


def test_without_a_router_one_attempt_waits_for_it() -> None:
    """More would all be sent in the moment it is back."""
    plan = plan_of()
    plan.interrupted("cut", NOW, gone=False)

    assert len(acts(plan, [], NOW + 1, connected=False)) == 1
    assert acts(plan, [], NOW + 9, connected=False) == []
    assert len(acts(plan, [], NOW + 9, connected=True)) == 1


def test_webrtc_is_tried_when_the_fast_kinds_fail_again_and_again() -> None:
    """Each third attempt offers everything; a tunnel without fast kinds always does."""
    plan = plan_of()
    plan.interrupted("cut", NOW, gone=False)
    asked = []
    for n in range(3):
        asked += kinds_asked(acts(plan, [], NOW + 10 * n + 1))
        plan.attempt_ended(NOW + 10 * n + 2)

    assert asked == [("relay", "direct"), ("relay", "direct"), ALL]
    only = plan_of(("webrtc",))
    only.interrupted("cut", NOW, gone=False)
    assert kinds_asked(acts(only, [], NOW + 1)) == [("webrtc",)]


def test_in_a_crowd_nothing_heavy_is_tried() -> None:
    """WebRTC for hundreds of tunnels at once would cost all of them their paths; alone it is all there is."""
    plan = plan_of()
    plan.interrupted("cut", NOW, gone=False)
    asked = []
    for n in range(6):
        decision = plan.decide([], NOW + 10 * n + 1, is_connected=True, is_crowded=True)
        asked += kinds_asked(decision.actions)
        plan.attempt_ended(NOW + 10 * n + 2)
    live = plan_of()
    live.kind_failed("direct", NOW)
    beside = live.decide([group("relay", preferred=True)], NOW, is_connected=True, is_crowded=True)
    only = plan_of(("webrtc",))
    only.interrupted("cut", NOW, gone=False)

    assert asked == [("relay", "direct")] * 6
    assert beside.actions == ()
    decision = only.decide([], NOW + 1, is_connected=True, is_crowded=True)
    assert kinds_asked(decision.actions) == [("webrtc",)]


def test_a_gone_gateway_that_is_offline_for_five_seconds_has_ended() -> None:
    """Its process closed the path and does not come back: nothing is left to wait for."""
    plan = plan_of()
    plan.interrupted("closed by the far end", NOW, gone=True)
    acts(plan, [], NOW + 0.1)
    plan.gateway_offline(NOW + 0.2)
    plan.attempt_ended(NOW + 0.2)

    assert not any(isinstance(a, GiveUp) for a in acts(plan, [], NOW + 5.0))
    assert acts(plan, [], NOW + 5.2) == [
        GiveUp(CloseCode.PATH_LOST, "the gateway's process ended, it is offline")
    ]


def test_a_silent_gateway_is_waited_for() -> None:
    """Its network may be away: what the router says of it ends nothing."""
    plan = plan_of()
    plan.interrupted("no sign of life", NOW, gone=False)
    plan.gateway_offline(NOW)

    assert not any(isinstance(a, GiveUp) for a in acts(plan, [], NOW + 300))


def test_a_server_that_went_as_well_proves_nothing_about_the_gateway() -> None:
    """A restart closes relays in order, too; afterwards the gateway needs a moment to come back."""
    plan = plan_of()
    plan.interrupted("the relay closed", NOW, gone=True)
    acts(plan, [], NOW + 1, connected=False)
    plan.gateway_offline(NOW + 3)

    assert not any(isinstance(a, GiveUp) for a in acts(plan, [], NOW + 60))


def test_an_answer_of_the_gateway_takes_the_offline_back() -> None:
    """Five seconds count from the router's last word alone."""
    plan = plan_of()
    plan.interrupted("closed", NOW, gone=True)
    plan.gateway_offline(NOW)
    plan.answered()
    plan.gateway_offline(NOW + 4)

    assert not any(isinstance(a, GiveUp) for a in acts(plan, [], NOW + 6))


@pytest.mark.parametrize(
    ("code", "close"),
    [
        (Code.CONVERSATION_UNKNOWN, CloseCode.PATH_LOST),
        (Code.COMMAND_UNKNOWN_ACTION, CloseCode.PATH_LOST),
        (Code.ACCESS_MISSING, CloseCode.REVOKED),
        (Code.POLICY_MISSING, CloseCode.REVOKED),
        (Code.ACCESS_EXPIRED, CloseCode.EXPIRED),
        (Code.TUNNEL_DISABLED, CloseCode.REVOKED),
        (Code.PEER_UNKNOWN, CloseCode.REVOKED),
        (Code.LIMIT_REACHED, None),
        (Code.LOG_BEHIND, None),
        (Code.LOG_FORKED, None),
        (Code.RECORDS_UNAVAILABLE, None),
        (Code.COMMAND_EXPIRED, None),
        (Code.GATEWAY_STOPPING, None),
        ("a-code-of-a-later-version", None),
    ],
)
def test_some_refusals_are_the_end(code: str, close: CloseCode | None) -> None:
    """Those that would be given again, and no other; the code is in the reason."""
    plan = plan_of()
    plan.interrupted("cut", NOW, gone=False)
    plan.refused(code, "because")

    ends = [a for a in acts(plan, [], NOW + 1) if isinstance(a, GiveUp)]
    assert [end.code for end in ends] == ([close] if close else [])
    assert all(code in end.reason for end in ends)


def test_a_refusal_beside_a_live_path_ends_nothing() -> None:
    """The gateway ends the tunnel itself when it has to; nothing more is asked for."""
    plan = plan_of()
    plan.refused(Code.CONVERSATION_UNKNOWN, "because")

    assert acts(plan, [group("relay", preferred=True)], NOW) == []


def test_who_is_signed_out_cannot_resume() -> None:
    """No command can be sent any more."""
    plan = plan_of()
    plan.interrupted("cut", NOW, gone=False)
    plan.signed_out("the session ended")

    assert acts(plan, [], NOW) == [GiveUp(CloseCode.PATH_LOST, "the session ended")]


def test_who_signs_in_again_in_time_can_resume() -> None:
    """While a path was alive the session ended and began again: nothing is held against the tunnel."""
    plan = plan_of()
    plan.signed_out("the session ended")
    plan.signed_in()
    plan.interrupted("cut", NOW, gone=False)

    assert kinds_asked(acts(plan, [], NOW + 1)) == [("relay", "direct")]
    plan.refused(Code.ACCESS_MISSING, "because")
    plan.signed_in()
    assert [type(a) for a in acts(plan, [], NOW + 2)] == [GiveUp]


def test_a_tunnel_that_never_had_a_path_is_not_kept() -> None:
    """Its start tells why."""
    assert acts(plan_of(), [], NOW) == []


# --- live ----------------------------------------------------------------------------------------


def test_direct_takes_over_from_the_relay_and_the_relay_goes_later() -> None:
    """Preferred when it verifies; the relay stays half a minute."""
    plan = plan_of()
    relay = group("relay", 1, preferred=True)
    direct = group("direct", 2, since=NOW)

    assert acts(plan, [relay, direct], NOW) == [Prefer(direct, "direct is the shortest path")]
    relay, direct = group("relay", 1), group("direct", 2, since=NOW, preferred=True)
    decision = plan.decide([relay, direct], NOW + 1, is_connected=True)
    assert decision.actions == ()
    assert decision.again_at == NOW + plans.RETIRE_AFTER_S
    assert acts(plan, [relay, direct], NOW + plans.RETIRE_AFTER_S) == [
        Retire(relay, "direct is the shortest path")
    ]


def test_a_fresh_path_of_the_same_kind_replaces_the_old_one_soon() -> None:
    """The newest carries; the older is retired after two seconds."""
    plan = plan_of(("relay",))
    old, new = group("relay", 1, preferred=True), group("relay", 7, since=NOW)

    assert [type(a) for a in acts(plan, [old, new], NOW)] == [Prefer]
    new = group("relay", 7, since=NOW, preferred=True)
    old = group("relay", 1)
    assert [type(a) for a in acts(plan, [old, new], NOW + 2)] == [Retire]


def test_direct_is_asked_for_beside_a_relay_ever_more_rarely() -> None:
    """At once when it was never tried, then after 30 s, 60 s, ... 15 minutes."""
    plan = plan_of(("relay", "direct"))
    live = [group("relay", rtt_s=0.001, preferred=True)]
    now, pauses = NOW, []
    for _ in range(8):
        assert kinds_asked(acts(plan, live, now)) == [("direct",)]
        plan.kind_failed("direct", now)
        plan.attempt_ended(now)
        again = plan.decide(live, now, is_connected=True).again_at
        assert again is not None
        pauses.append(again - now)
        now = again

    assert pauses == [30, 60, 120, 240, 480, 900, 900, 900]


def test_webrtc_is_asked_for_only_where_it_can_help() -> None:
    """Direct failed, and the relay's round trip is over 5 ms."""
    near, far = (
        group("relay", rtt_s=0.004, preferred=True),
        group("relay", rtt_s=0.006, preferred=True),
    )
    for live, asked in (([near], []), ([far], [("webrtc",)])):
        plan = plan_of()
        plan.kind_failed("direct", NOW)
        assert kinds_asked(acts(plan, live, NOW)) == asked


def test_one_attempt_at_a_time_looks_for_something_better() -> None:
    """While one runs nothing else is asked for."""
    plan = plan_of()
    live = [group("relay", preferred=True)]
    plan.attempt_begun()

    assert acts(plan, live, NOW) == []
    plan.attempt_ended(NOW)
    assert kinds_asked(acts(plan, live, NOW)) == [("direct",)]


def test_with_a_direct_path_nothing_better_is_looked_for() -> None:
    """It is what everything else is measured by."""
    decision = plan_of().decide([group("direct", preferred=True)], NOW, is_connected=True)

    assert decision == plans.Decision((), None)


def wide(carriers: int, number: int = 1) -> Group:
    return Group("direct", number, 0.04, NOW - 100, True, carriers)


def test_a_long_path_that_loses_much_gets_twice_the_carriers_and_no_more_than_sixteen() -> None:
    """Four by each command, one command after the other; again only when it is told again."""
    plan, widths = plan_of(), [4]
    for _ in range(4):
        plan.narrow(1)
        while asked := acts(plan, [wide(widths[-1])], NOW):
            assert asked == [Ask(("direct",), "what carries is long and loses much", 1)]
            assert acts(plan, [wide(widths[-1])], NOW) == []
            plan.attempt_ended(NOW)
            widths.append(widths[-1] + 4)
        assert len(widths) <= 4

    assert widths == [4, 8, 12, 16]


@pytest.mark.parametrize(
    ("carriers", "commands"), [(3, 1), (4, 1), (7, 2), (8, 2), (12, 1), (15, 0), (16, 0), (20, 0)]
)
def test_a_path_that_lost_some_of_its_carriers_is_widened_too(carriers: int, commands: int) -> None:
    """About twice as many, about sixteen at most."""
    plan, asked = plan_of(), 0
    plan.narrow(1)
    while acts(plan, [wide(carriers)], NOW):
        asked += 1
        plan.attempt_ended(NOW)

    assert asked == commands


def test_carriers_that_do_not_come_up_are_not_asked_for_again_and_again() -> None:
    """Each is asked for once, whatever becomes of it."""
    plan = plan_of()
    plan.narrow(1)
    assert len(acts(plan, [wide(4)], NOW)) == 1
    plan.attempt_ended(NOW)
    assert acts(plan, [wide(4)], NOW) == []


def test_only_the_direct_path_that_carries_is_widened() -> None:
    """Not one that was replaced meanwhile, no relay, and nothing in a crowd."""
    plan = plan_of()
    plan.narrow(1)
    assert acts(plan, [wide(4, number=9)], NOW) == []

    plan = plan_of(("relay",))
    plan.narrow(1)
    assert acts(plan, [group("relay", preferred=True)], NOW) == []

    plan = plan_of()
    plan.narrow(1)
    crowded = plan.decide([wide(4)], NOW, is_connected=True, is_crowded=True)
    assert crowded.actions == ()


def test_a_path_that_dies_young_counts_as_failed() -> None:
    """A direct path that comes and goes is not asked for at once again."""
    plan = plan_of(("relay", "direct"))
    live = [group("relay", rtt_s=0.001, preferred=True)]
    plan.group_lost(group("direct", 2, since=NOW - 3), NOW)

    assert kinds_asked(acts(plan, live, NOW + 1)) == []
    plan.kind_up("direct")
    plan.group_lost(group("direct", 3, since=NOW - 300), NOW)
    assert kinds_asked(acts(plan, live, NOW + 31)) == [("direct",)]


def test_new_surroundings_ask_for_a_fresh_path_and_forget_failures() -> None:
    """What failed may work now, and what works may have moved."""
    plan = plan_of(("relay", "direct"))
    live = [group("relay", rtt_s=0.001, preferred=True)]
    plan.kind_failed("direct", NOW)
    plan.surroundings_changed("the machine slept")

    assert acts(plan, live, NOW) == [Ask(("relay", "direct"), "the machine slept")]
    plan.attempt_ended(NOW)
    assert kinds_asked(acts(plan, live, NOW + 1)) == [("direct",)]


def test_new_surroundings_hurry_an_interrupted_tunnel() -> None:
    """It does not wait for its pause to end, and asks once."""
    plan = plan_of(("relay",))
    plan.interrupted("cut", NOW, gone=False)
    acts(plan, [], NOW + 1)
    plan.attempt_ended(NOW + 1)
    plan.surroundings_changed("moved")

    assert len(acts(plan, [], NOW + 1)) == 1
    plan.resumed()
    plan.attempt_ended(NOW + 2)
    assert acts(plan, [group("relay", preferred=True)], NOW + 2) == []


def test_a_kind_that_the_gateway_does_not_offer_is_not_asked_for_again() -> None:
    """The last kind that is left is kept: without any there would be nothing to ask for."""
    plan = plan_of(("relay", "direct"))
    plan.forbid("direct")
    plan.forbid("relay")

    assert plan.kinds == ("relay",)
    assert acts(plan, [group("relay", preferred=True)], NOW) == []


# --- which is best -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("webrtc_s", "age_s", "preferred", "best"),
    [
        (0.050, 100, False, "webrtc"),
        (0.069, 100, False, "webrtc"),
        (0.071, 100, False, "relay"),
        (0.050, 5, False, "relay"),
        (None, 100, False, "relay"),
        (None, 100, True, "webrtc"),
        (0.120, 100, True, "webrtc"),
        (0.150, 100, True, "relay"),
    ],
)
def test_webrtc_wins_when_its_round_trip_is_clearly_shorter(
    webrtc_s: float | None, age_s: float, preferred: bool, best: str
) -> None:
    """By three tenths, measured for a while; what carries is left only for something plainly better."""
    relay = group("relay", 1, rtt_s=0.1, preferred=not preferred)
    webrtc = group("webrtc", 2, rtt_s=webrtc_s, since=NOW - age_s, preferred=preferred)

    assert choose_best([relay, webrtc], NOW)[0].kind == best


def test_webrtc_that_is_not_better_is_retired_and_not_asked_for_soon() -> None:
    """It came up and lost: it costs memory for nothing."""
    plan = plan_of(("relay", "webrtc"))
    relay = group("relay", 1, rtt_s=0.1, preferred=True)
    webrtc = group("webrtc", 2, rtt_s=0.1, since=NOW)

    acts(plan, [relay, webrtc], NOW)
    assert acts(plan, [relay, webrtc], NOW + plans.RETIRE_AFTER_S) == [
        Retire(webrtc, "webrtc is not clearly shorter than the relay")
    ]
    assert acts(plan, [relay], NOW + plans.RETIRE_AFTER_S + 1) == []


def test_direct_wins_always() -> None:
    """Whatever its round trip was measured to be."""
    live = [
        group(kind, n, rtt_s=0.1 * n) for n, kind in enumerate(("relay", "webrtc", "direct"), 1)
    ]

    assert choose_best(live, NOW)[0].kind == "direct"


def test_choices_stand_for_kinds() -> None:
    """Auto is all of them, fast ones first; rules take away."""
    assert kinds_of_choice(AUTO, ALL) == ALL
    assert kinds_of_choice(AUTO, ("webrtc", "relay")) == ("relay", "webrtc")
    assert [kinds_of_choice(choice, ALL) for choice in CHOICES[1:]] == [
        ("direct",), ("relay",), ("webrtc",), ()
    ]  # fmt: skip
    assert kinds_of_choice("direct", ("relay",)) == ()
    assert kinds_of_choice(AUTO, ("turn", "direct")) == ("direct", "turn")
    assert kinds_of_choice(AUTO, (*ALL, "turn")) == ALL
    assert first_kinds(ALL) == ("relay", "direct")
    assert first_kinds(("webrtc",)) == ("webrtc",)
