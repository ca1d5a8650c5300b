from __future__ import annotations

import asyncio

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Statement
from commander.errors import CommanderError, Refused
from commander.gateway.follower import LogFollower, try_to_catch_up
from commander.wire.calls import LogAnswer
from tests.support.enterprise import Enterprise
from tests.support.gateway_world import World


def answer(statements: list[Statement], since: int, page: int = 500) -> LogAnswer:
    """What a server with these statements says."""
    head = statements[-1]
    return LogAnswer(tuple(statements[since + 1 :][:page]), head.seq, head.digest())


def follower_of(world: World, statements: list[Statement], page: int = 500) -> LogFollower:
    """A follower of any log, which expects this world's."""

    async def fetch(since: int) -> LogAnswer:
        return answer(statements, since, page)

    found = world.follower()
    found._fetch = fetch
    return found


async def test_pages_are_put_together(world: World) -> None:
    """A log that comes in small pages is the whole log, told once."""
    follower = follower_of(world, world.enterprise.statements, page=2)
    moved: list[int] = []
    follower.on_moved = lambda: moved.append(follower.state.seq)

    await follower.catch_up()

    assert moved == [world.enterprise.state.seq]
    assert world.pins.log == (world.enterprise.state.seq, world.enterprise.state.head)


async def test_another_enterprise_is_a_fork(world: World) -> None:
    """A log that begins with another root is refused at the first fetch."""
    follower = follower_of(world, Enterprise().statements)

    with pytest.raises(Refused) as caught:
        await follower.catch_up()

    assert caught.value.code == Code.LOG_FORKED
    with pytest.raises(Refused):
        follower.check()


async def test_a_restart_remembers(world: World) -> None:
    """A log shorter than the pinned one is a fork, also for the next process."""
    await world.follower().catch_up()
    follower = follower_of(world, world.enterprise.statements[:-1])

    with pytest.raises(Refused) as caught:
        await follower.catch_up()

    assert caught.value.code == Code.LOG_FORKED


async def test_another_head_is_a_fork(world: World) -> None:
    """The same length with another hash: the server showed two logs."""
    follower = world.follower()
    await follower.catch_up()

    async def fetch(since: int) -> LogAnswer:
        return LogAnswer((), since, bytes(32))

    follower._fetch = fetch

    with pytest.raises(Refused) as caught:
        await follower.catch_up()
    assert caught.value.code == Code.LOG_FORKED


async def test_a_forged_statement_is_a_fork(world: World) -> None:
    """A statement that nobody entitled signed is not taken, nor anything after it."""
    good = world.enterprise.statements
    forged = Statement(
        good[-1].seq + 1, good[-1].digest(), good[-1].kind, good[-1].time, good[-1].body,
        good[-1].signer, bytes(64),
    )  # fmt: skip
    follower = follower_of(world, [*good, forged])

    with pytest.raises(Refused) as caught:
        await follower.catch_up()

    assert caught.value.code == Code.LOG_FORKED
    assert follower.state.seq == good[-1].seq


async def test_one_fetch_serves_all_who_wait(world: World) -> None:
    """Many commands at once that need the log cost two fetches at most."""
    follower = world.follower()

    await asyncio.gather(*(follower.catch_up() for _ in range(20)))

    assert world.server.log_requests <= 2


async def test_a_server_that_is_away_changes_nothing(world: World) -> None:
    """It is told as an error, and the known state stays."""
    follower = world.follower()
    await follower.catch_up()
    world.server.is_down = True

    with pytest.raises(CommanderError):
        await follower.catch_up()
    await try_to_catch_up(follower)

    follower.check()
    assert follower.state.seq == world.enterprise.state.seq


async def test_a_log_that_breaks_off_is_not_known(world: World) -> None:
    """A first fetch that fails half-way skips no check: root and pin are looked at once all is there."""
    await world.follower().catch_up()
    foreign = Enterprise()
    follower = follower_of(world, foreign.statements, page=2)
    fetch, left = follower._fetch, [1]

    async def breaks_off(since: int) -> LogAnswer:
        if not left:
            raise CommanderError("the connection broke")
        left.pop()
        return await fetch(since)

    follower._fetch = breaks_off
    with pytest.raises(CommanderError):
        await follower.catch_up()
    assert follower.state.seq > 0
    with pytest.raises(Refused) as caught:
        follower.check()
    assert caught.value.code == Code.LOG_BEHIND

    follower._fetch = fetch
    with pytest.raises(Refused) as caught:
        await follower.catch_up()
    assert caught.value.code == Code.LOG_FORKED


async def test_a_server_that_hangs_is_given_up(world: World) -> None:
    """Each page has a deadline of its own."""

    async def hang(since: int) -> LogAnswer:
        await asyncio.Event().wait()
        raise AssertionError

    follower = world.follower()
    follower._fetch, follower._deadline_s = hang, 0.01

    with pytest.raises(TimeoutError):
        await follower.catch_up()
