from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.soak import Size, paths, router, stalled

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
# Judged on a quiet machine only, by scripts/soak.
_TIMES = ("s", "ms")


def _missed(part: ModuleType, folder: Path) -> list[str]:
    figures = list(part.run(Size(0.03, folder)))
    return [str(figure) for figure in figures if not figure.is_met and figure.unit not in _TIMES]


def test_t08_no_byte_is_lost_while_paths_are_replaced(tmp_path: Path) -> None:
    """Every TCP connection below a tunnel is broken, three times; its connections keep every byte."""
    assert _missed(paths, tmp_path) == []


def test_t09_connections_survive_kill_9_of_the_router(tmp_path: Path) -> None:
    """The router is killed under live tunnels, relayed and direct; no connection is lost."""
    assert _missed(router, tmp_path) == []


def test_t22_a_side_that_does_not_read_costs_little_memory(tmp_path: Path) -> None:
    """Stalled sides beside bulk and a keystroke: a stalled connection costs 8 MiB at most."""
    assert _missed(stalled, tmp_path) == []
