from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.day import SHORT, play

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_work_survives_a_day_of_cut_links(tmp_path: Path) -> None:
    """psql, scp and pgbench go on through cut links, a killed router, a moved and a frozen client."""
    outcome = play(tmp_path, SHORT, seed=1)

    lost = [name for name, survived in outcome.survived.items() if not survived]
    assert lost == [], outcome.said
