from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import Size
from tests.soak.tunnels import run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_many_tunnels_in_one_process(tmp_path: Path) -> None:
    """40 idle and 8 active tunnels of one client process: each works at the end, none is fat."""
    figures = list(run(Size(0.04, tmp_path)))

    missed = [figure for figure in figures if not figure.is_met and "memory" not in figure.name]
    assert missed == [], figures
