"""Gate test T21 at a hundredth of its size; `scripts/soak` runs it whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import Size
from tests.soak.websockets import run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
# asyncio's own buffers alone would make it 300.
KIB_AT_MOST = 110.0


def test_abusers_and_slow_readers_are_cut_and_nobody_else(tmp_path: Path) -> None:
    """Honest sockets live on and cost little; times are only shown, since the machine is shared."""
    tmp_path.chmod(0o700)

    figures = {figure.name: figure for figure in run(Size(0.012, tmp_path))}

    assert all(figure.is_met for figure in figures.values()), list(map(str, figures.values()))
    assert figures["abuses"].value >= 5
    assert figures["memory of the router for each socket"].value <= KIB_AT_MOST
