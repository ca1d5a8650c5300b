"""
kill -9 of one part at a seeded moment, while the others work; what they must then do.

Each function returns how long each thing took, and raises AssertionError for what did not happen.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.chaos.world import BATCH, RECORD, Work, World, check_echo, leftovers, measured
from tests.support.processes import Child
from tests.support.waiting import until

NOTICE_S = 10.0  # the others say so
RESET_S = 7.0  # a local socket whose tunnel is gone ends
RESUMED_S = 5.0  # connections go on, counted from the gateway being back
FREED_S = 15.0  # a gateway waits so long for a client whose host closed its paths
BACK_S = 15.0  # connected again, counted from the restarted part being ready
LATEST_S = 2.5  # the longest that work goes on before the kill
GIVEN_UP_S = 30.0  # a gateway waits so long for a client that asked and never came
UNREACHABLE = (6, 8)  # no way there, or no answer in time
# Two cores are shared with the tests themselves: a machine that is busy is not a fault.
SLACK_S = 15.0

Seconds = dict[str, float]


def kill_server(world: World, rng: random.Random) -> Seconds:
    """Clients and gateway notice, and come back; no connection and nothing acknowledged is lost."""
    seconds: Seconds = {}
    with Work(world) as work:
        _wait(work, rng)
        online = lines(world.gateway, " online")
        world.server.kill()
        with measured(seconds, "gateway offline"):
            _wait_for_line(world.gateway, " offline", online)
        # Commands fail meanwhile; the tunnel waits.
        work.pause()
        _check_failures(work)
        world.product.start_server()
        with measured(seconds, "gateway back"):
            _wait_for_line(world.gateway, " online", online, within_s=BACK_S)
        with measured(seconds, "bytes go on"):
            work.streams_go_on(within_s=RESUMED_S + SLACK_S)
        assert work.tunnel.is_running, work.tunnel.output
    _check_all_is_well(world, work, seconds)
    return seconds


def kill_gateway(world: World, rng: random.Random) -> Seconds:
    """The client says that its tunnel is lost, the server that the gateway is offline."""
    seconds: Seconds = {}
    with Work(world) as work:
        _wait(work, rng)
        world.gateway.kill()
        _check_lost_tunnel(work, seconds)
        with measured(seconds, "said offline"):
            until(lambda: not world.gateway_is_online(), "offline", deadline_s=NOTICE_S + SLACK_S)
        work.stop()
        _check_failures(work, needs_no="record-add")
        with measured(seconds, "gateway back"):
            world.product.start_gateway()
    _check_all_is_well(world, work, seconds)
    return seconds


def kill_client(world: World, rng: random.Random) -> Seconds:
    """The gateway lets the tunnel go, and the user's next commands see nothing of it."""
    seconds: Seconds = {}
    with Work(world) as work:
        starting = world.user.start("pam", "tunnel", "start", RECORD, "--new")
        adding = world.start_adding(10 * BATCH)
        _wait(work, rng)
        for child in (work.tunnel, starting, adding):
            child.kill()
        world.note_added(adding)
        with measured(seconds, "sockets"):
            work.streams_ended(within_s=RESET_S + SLACK_S)
        with measured(seconds, "gateway frees"):
            until(
                lambda: not world.target.connections,
                "the target's connections ended",
                deadline_s=FREED_S + NOTICE_S + SLACK_S,
            )
        work.stop()
        assert not work.failures, work.failures[0]
        assert world.user.json("pam", "tunnel", "list") == []
        # A killed writer leaves its half; the next write of that file removes it.
        assert [name for name in leftovers(world.user) if not name.endswith(".new")] == []
    _check_all_is_well(world, work, seconds)
    return seconds


KILLS: dict[str, Callable[[World, random.Random], Seconds]] = {
    "server": kill_server,
    "gateway": kill_gateway,
    "client": kill_client,
}


def lines(child: Child, text: str) -> int:
    """How many lines with a text a program has printed."""
    return sum(text in line for line in child.output.splitlines())


def _wait(work: Work, rng: random.Random) -> None:
    work.go_on(rng.uniform(0, LATEST_S))


def _wait_for_line(child: Child, text: str, seen: int, *, within_s: float = NOTICE_S) -> None:
    # "online" and "offline" alternate, so the number of either is the same once it is told.
    wanted = seen if text == " offline" else seen + 1
    until(
        lambda: lines(child, text) >= wanted,
        f"{child.name} says{text}",
        deadline_s=within_s + SLACK_S,
    )


def _check_lost_tunnel(work: Work, seconds: Seconds) -> None:
    """Local sockets end, and the process says why and exits with 6."""
    with measured(seconds, "sockets"):
        work.streams_ended(within_s=RESET_S + SLACK_S)
    with measured(seconds, "client says"):
        status = work.tunnel.wait(deadline_s=NOTICE_S + SLACK_S)
    assert status == 6, f"exit {status}: {work.tunnel.output}"
    assert "was lost" in work.tunnel.output, work.tunnel.output


def _check_failures(work: Work, *, needs_no: str = "") -> None:
    """Every command that failed said why; `needs_no` names one that must not have."""
    for failure in work.failures:
        assert failure.returncode in UNREACHABLE, f"exit {failure.returncode}: {failure.stderr}"
        assert "internal fault" not in failure.stderr, failure
        assert "Traceback" not in failure.stderr, failure
        assert failure.stderr, failure
        assert not needs_no or needs_no not in failure.args, failure


def _check_all_is_well(world: World, work: Work, seconds: Seconds) -> None:
    with measured(seconds, "new tunnel"):
        check_echo(world)
    assert work.wrong_bytes() == []
    assert world.missing_records() == set()


def check_audit(world: World) -> None:
    """At the end of it all every chain is whole, and every tunnel that was begun has an outcome."""

    def settled() -> bool:
        return not world.audit().tunnels_without_outcome()

    until(settled, "every tunnel has an outcome", deadline_s=GIVEN_UP_S + SLACK_S)
    verdict = world.audit().verdict
    assert verdict.is_sound, [str(problem) for problem in verdict.problems]
