from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.chaos.interrupts import COMMANDS, SIGNALS, interrupt, interrupt_setup
from tests.chaos.world import World, check_echo
from tests.support.product import Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("interrupt")) as world:
        yield world


@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_at_any_moment_leaves_nothing_behind(world: World, name: str) -> None:
    """Ctrl-C, SIGTERM and SIGHUP end a command with 128 + n, without process, port or file left."""
    for moment in range(3):
        rng = random.Random(f"{name} {moment}")
        interrupt(world, name, rng, SIGNALS[moment % len(SIGNALS)])

    assert world.user.json("pam", "tunnel", "list") == []
    check_echo(world)


@pytest.mark.parametrize("moment", range(3))
def test_a_signal_during_setup_loses_no_account(product: Product, moment: int) -> None:
    """The first account is either not made, and can be, or is there and can be used."""
    interrupt_setup(product, random.Random(f"setup {moment}"), SIGNALS[moment])
