from __future__ import annotations

from typing import Any

from scripts.lib.bench import wan

RATES = ("down x1", "up x1", "down x16", "up x16")


def row(name: str, control: str, *rounds: dict[str, Any]) -> wan.Row:
    """A row that was measured already."""

    def start() -> Any:
        raise AssertionError("nothing is started here")

    return wan.Row(name, control, start, list(rounds))


def found(rate: float, trip: float = 0.04) -> dict[str, Any]:
    """One round in which every step gave a figure."""
    figures = dict.fromkeys(RATES, rate) | {"first byte": 2 * trip}
    return {"figures": figures, "failed": {}, "idle": [trip], "loaded": [trip]}


def test_rows_stand_beside_the_baseline_with_the_same_congestion_control() -> None:
    """What BBR gives to both must not look like a merit of the tunnel."""
    text = wan.figures(
        [
            row("ssh -L", "cubic", found(1.0)),
            row("commander, direct", "cubic", found(4.0), found(6.0)),
            row("ssh -L", "bbr", found(10.0)),
            row("commander, direct", "bbr", found(12.0)),
        ],
        16,
    )

    lines = [line for line in text.splitlines() if line.startswith("| commander")]
    assert [line.split(" | ")[-2:] for line in lines] == [["5.0", "5.0 |"], ["1.2", "1.2 |"]]
    assert "Failed" not in text


def test_a_tunnel_that_stood_still_gets_dashes_and_its_reason() -> None:
    """One of them does not cost the table."""
    stuck = {"figures": {}, "failed": {"down x1": "not done within 18 s"}, "idle": [], "loaded": []}
    text = wan.figures([row("ssh -L", "cubic", found(1.0)), row("other", "cubic", stuck)], 16)

    assert "| other | cubic | - | - | - | - | - | - | - | - | - | - | - |" in text
    assert "* other, cubic: down x1: not done within 18 s" in text
