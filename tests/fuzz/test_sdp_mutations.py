"""Beside the other parsers: session descriptions at the number that the reference names."""

from __future__ import annotations

from tests.fuzz import fuzz_sdp


def test_twenty_thousand_mutations_give_only_invalid_input() -> None:
    """Neither parser lets any other error out, whatever was changed (B111)."""
    outcomes = fuzz_sdp.run_mutations(rounds=20_000, seed=20_000)

    assert outcomes["text refused"] > 5_000
    assert outcomes["wire refused"] > 5_000
    assert outcomes["text accepted"] > 0
