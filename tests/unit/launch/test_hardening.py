from __future__ import annotations

import pytest

from commander.launch.hardening import drop_key_log, show_fault


def test_b025_the_key_log_is_taken_out_of_the_environment() -> None:
    """SSLKEYLOGFILE is removed before any TLS library sees it, and that is told."""
    environment = {"SSLKEYLOGFILE": "/tmp/keys", "A": "b"}

    assert drop_key_log(environment)
    assert environment == {"A": "b"}
    assert not drop_key_log(environment)


def test_a_fault_is_shown_without_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    """Type and code places are printed; the message, which may hold a secret, is not."""
    try:
        raise ValueError("canary")
    except ValueError as error:
        show_fault(type(error), error, error.__traceback__)

    shown = capsys.readouterr().err
    assert "ValueError" in shown
    assert "test_hardening.py" in shown
    assert "canary" not in shown
