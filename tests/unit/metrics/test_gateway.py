"""The gateway's table lists every value that its labels can take."""

from __future__ import annotations

from commander.authority.refusals import Code
from commander.metrics.gateway import ENDS, METRICS, PATHS
from commander.tunnel import path
from commander.tunnel.codes import CloseCode


def test_every_end_of_a_tunnel_has_a_series_of_its_own() -> None:
    """Close codes and refusal codes are counted by their names."""
    assert set(ENDS) == {*(code.label for code in CloseCode), *map(str, Code)}


def test_every_kind_of_path_has_a_series_of_its_own() -> None:
    """A kind added to the tunnel engine must be added to the table; memory is for tests only."""
    kinds = {value for name, value in vars(path).items() if name.startswith("KIND_")}

    assert kinds - {"memory"} <= set(PATHS)
    assert "commander_gateway_resume_seconds" in {metric.name for metric in METRICS}
