from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import Size
from tests.soak.paths import run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_t08_no_byte_is_lost_while_paths_are_replaced(tmp_path: Path) -> None:
    """Every TCP connection below a tunnel is broken, three times; its connections keep every byte."""
    figures = {figure.name: figure for figure in run(Size(0.03, tmp_path))}

    # Stalls are judged on a quiet machine, by scripts/soak.
    missed = [f for f in figures.values() if not f.is_met and not f.name.startswith("stall")]
    assert missed == []
    assert figures["forced replacements"].value == 3
