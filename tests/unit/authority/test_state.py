from __future__ import annotations

from commander.authority.state import Facts


def test_an_ended_fact_is_still_the_latest() -> None:
    """What a revoked producer signed is judged by the key it had."""
    facts: Facts[str] = Facts()
    facts.add("gateway", "first key", 1)
    facts.end("gateway", 5)

    assert (facts.get("gateway"), facts.latest("gateway")) == (None, "first key")
    assert facts.latest("another") is None
