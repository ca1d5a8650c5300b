from __future__ import annotations

import pytest

from commander.gateway import limits
from commander.gateway.limits import STARTS_BURST, STARTS_PER_S, StartLimits


def test_a_user_may_burst_and_then_go_on_at_the_rate() -> None:
    """The first commands pass at once, then as many as time gives back."""
    start = StartLimits()

    assert all(start.may_ask("ann", 0.0) for _ in range(int(STARTS_BURST)))
    assert not start.may_ask("ann", 0.0)
    assert sum(start.may_ask("ann", 1.0) for _ in range(100)) == STARTS_PER_S


def test_users_do_not_share_an_allowance() -> None:
    """What one user uses up is not missing to another."""
    start = StartLimits()
    while start.may_ask("ann", 0.0):
        pass

    assert start.may_ask("bob", 0.0)


def test_the_table_of_users_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many users cost no more than the bound; the longest known is forgotten."""
    monkeypatch.setattr(limits, "MAX_USERS_REMEMBERED", 2)
    start = StartLimits()

    for user in ("a", "b", "c"):
        start.may_ask(user, 0.0)

    assert len(start._starts._of) == 2


@pytest.mark.parametrize(
    ("open_tunnels", "of_user", "word"),
    [(0, 0, ""), (9, 1, ""), (10, 0, "gateway"), (5, 2, "user"), (10, 2, "gateway")],
)
def test_open_tunnels_have_two_limits(open_tunnels: int, of_user: int, word: str) -> None:
    """The gateway's and the user's; the reason says which one was reached."""
    reason = StartLimits(tunnels=10, tunnels_per_user=2).reason_against(
        open_tunnels=open_tunnels, of_user=of_user
    )

    assert (word in reason) if word else (reason == "")


def test_a_lost_connection_is_noticed_and_mended_in_time() -> None:
    """Within ten seconds it is known to be dead, within five of the server's return it is back."""
    assert limits.PING_EVERY_S + limits.PONG_WITHIN_S <= 10
    # The call that comes first waits as long again before it tries.
    assert 2 * limits.RECONNECT_LIMIT_S < 5


@pytest.mark.parametrize(("open_tunnels", "may"), [(0, True), (5, True), (6, False)])
def test_tunnels_get_more_carriers_while_half_of_the_room_is_free(
    open_tunnels: int, may: bool
) -> None:
    """One with sixteen needs the descriptors of two."""
    assert StartLimits(tunnels=10).may_widen(open_tunnels=open_tunnels) is may
