from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import Size
from tests.soak.webrtc import run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def test_hostile_peers_and_floods_end_no_tunnel_of_others(tmp_path: Path) -> None:
    """400 damaged packets inside associations, then a flood at the port: nobody else loses anything."""
    figures = {figure.name: figure for figure in run(Size(0.02, tmp_path))}

    for name in ("other tunnels that ended", "memory", "log lines a second", "tunnels that ended"):
        assert figures[name].is_met, figures[name]
    assert figures["of them dropped by the guards"].value > 0
    # Times belong to scripts/soak on a quiet machine; here only a freeze fails.
    assert figures["longest stall of the loop"].value < 5000
