"""How the answers of STUN and TURN servers read in a diagnosis."""

from __future__ import annotations

import pytest

from commander.diagnosis.report import State
from commander.diagnosis.steps import Skipped
from commander.tunnel.transports.webrtc_probe import ServerReport
from plugins.pam.tunnel.diagnose_relays import judge

GOOD = ServerReport("turn:a.example:3478", True, 0.0126, "192.0.2.1", "")
BAD = ServerReport("turns:b.example:5349?transport=tcp", False, 5.0, "", "wrong credentials")


def test_servers_that_all_work_are_fine() -> None:
    """Each with its time; the address that was found is not shown."""
    outcome = judge([GOOD], "turn", "--turn-url X")

    assert (outcome.state, outcome.figure) == (State.OK, "turn:a.example:3478 in 13 ms")


def test_one_that_does_not_work_is_a_warning_with_its_reason() -> None:
    """The others are still listed, and scripts get the counts."""
    outcome = judge([GOOD, BAD], "turn", "--turn-url X")

    assert (outcome.state, outcome.code, outcome.exit_code) == (State.WARN, "turn-no-answer", 0)
    assert "a.example" in outcome.figure
    assert outcome.reason == "turns:b.example:5349?transport=tcp: wrong credentials"
    assert outcome.values == {"working": 1, "asked": 2}


def test_none_configured_says_how_to_configure_one() -> None:
    """Skipped, with the server's option."""
    with pytest.raises(Skipped) as caught:
        judge([], "stun", "--stun-url stun:HOST:3478")

    assert "--stun-url" in caught.value.hint
