"""Set-up that is stopped while the server makes the account: whatever came of it, nothing is lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from commander.errors import Conflict, Refused
from tests.integration.account.test_commands import EMAIL, PASSWORD, Machine, World, set_up, world

__all__ = ["world"]  # a fixture

pytestmark = pytest.mark.integration


async def stopped_setup(world: World) -> Machine:
    """A machine whose `setup` was cancelled while the server worked on it."""
    ann = world.machine("ann")
    join = ann.file("join", await world.setup_join())
    password = ann.file("password", PASSWORD + "\n")
    line = f"setup {EMAIL} --join-file {join} --password-file {password}"
    async with world.server.core.database.transaction():
        setting_up = asyncio.ensure_future(ann.run(line))
        async with asyncio.timeout(30):
            while not ann.context.paths.device_file.exists():
                await asyncio.sleep(0.01)
        setting_up.cancel()
        with suppress(asyncio.CancelledError):
            await setting_up
    return ann


async def test_setup_that_was_stopped_shows_the_kit_and_keeps_the_keys(world: World) -> None:
    """Nobody knows whether the account was made, so what opens it is kept and shown."""
    ann = await stopped_setup(world)

    assert "account secret:  A1-" in ann.notices
    assert "it is not known whether the account was made" in ann.notices
    assert ann.context.paths.device_file.exists()


async def test_setup_that_cannot_reach_the_server_leaves_nothing(world: World) -> None:
    """When certainly no account was made, machine and kit file are as before."""
    ann = await set_up(world)
    bob = world.machine("bob")
    join = bob.file("join", (ann.directory / "join").read_text())
    password = bob.file("password", PASSWORD)
    kit = bob.directory / "kit"

    with pytest.raises(Refused):
        await bob.run(
            f"setup bob@example.org --join-file {join} --password-file {password} --kit-file {kit}"
        )

    assert not kit.exists()
    assert not bob.context.paths.device_file.exists()


async def test_failure_after_the_account_was_made_shows_the_kit(world: World) -> None:
    """A file in the way of the gateway's join string ends the command, not the account."""
    ann = world.machine("ann")
    join = ann.file("join", await world.setup_join())
    password = ann.file("password", PASSWORD + "\n")
    taken: Path = ann.directory / "gateway"
    running = asyncio.ensure_future(
        ann.run(
            f"setup {EMAIL} --join-file {join} --password-file {password} "
            f"--gateway-join-file {taken}"
        )
    )
    async with asyncio.timeout(30):
        while not ann.context.paths.device_file.exists():
            await asyncio.sleep(0.01)
    taken.touch()

    with pytest.raises(Conflict):
        await running

    assert "account secret:  A1-" in ann.notices
    assert "the account is made: go on with `commander login`" in ann.notices
    assert await ann.run(f"login --password-file {password}") is not None
