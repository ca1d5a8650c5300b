"""Everybody comes back after the router was killed; `scripts/soak storm` does it with ten thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import Size
from tests.soak.storm import run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


def test_all_come_back_to_a_router_that_was_killed(tmp_path: Path) -> None:
    """None is lost; how long it takes is only shown, since the machine is shared."""
    tmp_path.chmod(0o700)

    figures = {figure.name: figure for figure in run(Size(0.01, tmp_path))}

    assert figures["sockets that were cut at once"].value == 100
    assert figures["sockets that did not come back"].value == 0
