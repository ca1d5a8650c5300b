from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.chaos.kills import KILLS, check_audit
from tests.chaos.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("kill")) as world:
        yield world
        check_audit(world)


@pytest.mark.parametrize("part", KILLS)
@pytest.mark.parametrize("seed", range(6))
def test_kill_9_is_noticed_and_survived(world: World, part: str, seed: int) -> None:
    """After kill -9 the others say so in time, recover, and no acknowledged write is lost."""
    KILLS[part](world, random.Random(f"{part} {seed}"))
