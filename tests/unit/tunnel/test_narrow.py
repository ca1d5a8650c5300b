from __future__ import annotations

from dataclasses import replace

import pytest

from commander.tunnel.narrow import Narrowness, TcpCounts, is_narrow

NEW = TcpCounts(sent=0, repeated=0, received=0, out_of_order=0, rtt_s=0.041, least_rtt_s=0.04)
LOSSY_UP = replace(NEW, sent=500, repeated=5)
LOSSY_DOWN = replace(NEW, received=500, out_of_order=40)
SPAN_S = 2.0


def after(counts: TcpCounts, more: TcpCounts, times: int = 1) -> TcpCounts:
    """The counts after so much more of the same."""
    return replace(
        more,
        sent=counts.sent + times * more.sent,
        repeated=counts.repeated + times * more.repeated,
        received=counts.received + times * more.received,
        out_of_order=counts.out_of_order + times * more.out_of_order,
    )


@pytest.mark.parametrize("counts", [LOSSY_UP, LOSSY_DOWN])
def test_losses_on_a_long_way_are_narrow_in_either_direction(counts: TcpCounts) -> None:
    """What is sent is sent again; what is received comes before its turn."""
    assert is_narrow(NEW, counts, SPAN_S)
    assert is_narrow(counts, after(counts, counts), SPAN_S)


@pytest.mark.parametrize(
    ("why", "counts"),
    [
        ("nothing is lost", replace(LOSSY_UP, repeated=0)),
        ("little is lost", replace(LOSSY_UP, repeated=1)),
        ("too few segments", replace(LOSSY_UP, sent=100)),
        ("the way is short", replace(LOSSY_UP, rtt_s=0.001, least_rtt_s=0.0005)),
        ("the link is full: a queue has grown", replace(LOSSY_UP, rtt_s=0.12)),
        ("it is fast all the same", replace(LOSSY_UP, sent=12_000, repeated=120)),
        ("2 MiB/s, as BBR on a busy machine", replace(LOSSY_UP, sent=3_000, repeated=30)),
        ("a few come late", replace(LOSSY_DOWN, out_of_order=4)),
    ],
)
def test_what_more_carriers_would_not_help(why: str, counts: TcpCounts) -> None:
    """More connections there would only take from others."""
    assert not is_narrow(NEW, counts, SPAN_S), why


class Group:
    """Carriers that all move the same, looked at every two seconds."""

    def __init__(self, carriers: int) -> None:
        self.narrowness = Narrowness()
        self.now = 100.0
        self.counts = dict.fromkeys(range(1, carriers + 1), NEW)
        assert not self.look()

    def look(self) -> bool:
        return self.narrowness.look(self.counts, self.now)

    def move(self, more: TcpCounts, *, span_s: float = SPAN_S) -> bool:
        self.now += span_s
        for number in list(self.counts)[1:]:
            self.counts[number] = after(self.counts[number], more)
        return self.look()

    def widen(self) -> None:
        for number in range(len(self.counts) + 1, 2 * len(self.counts) + 1):
            self.counts[number] = NEW


def test_more_are_asked_for_once_and_again_only_if_it_paid() -> None:
    """Twice the carriers with twice the rate: again. With the same rate: the link is full after all."""
    pays, full = Group(4), Group(4)
    assert pays.move(LOSSY_UP)
    assert not pays.move(LOSSY_UP)
    pays.widen()
    pays.move(NEW)
    assert pays.move(LOSSY_UP)

    assert full.move(LOSSY_UP)
    full.widen()
    full.move(NEW)
    half = replace(LOSSY_UP, sent=220, repeated=3)
    assert not full.move(half)
    assert not full.move(half)


def test_one_lossy_carrier_of_several_says_nothing() -> None:
    """It may have had bad luck."""
    group = Group(4)
    group.now += SPAN_S
    group.counts[2] = after(group.counts[2], LOSSY_UP)
    assert not group.look()


def test_what_was_forgotten_begins_anew() -> None:
    """After an idle minute the first look has nothing to compare with."""
    group = Group(4)
    group.narrowness.forget()
    assert not group.move(LOSSY_UP, span_s=60.0)
    assert group.move(LOSSY_UP)


def test_without_counts_nothing_is_asked_for() -> None:
    """Systems other than Linux."""
    narrowness = Narrowness()
    assert not narrowness.look({}, 1.0)
    assert not narrowness.look({}, 3.0)
