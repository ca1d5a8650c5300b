from __future__ import annotations

import json

import pytest

from commander.errors import BY_CODE, CommanderError, NotFound, Refused
from commander.shell.output.failures import (
    CommandFailed,
    KeptGoing,
    LineFailed,
    code_of,
    error_json,
    error_text,
)

EXIT_CODES = {
    "failed": 1, "usage": 2, "invalid": 2, "not-found": 3, "not-allowed": 4, "refused": 4,
    "not-logged-in": 5, "unreachable": 6, "conflict": 7, "timed-out": 8, "approval-pending": 9,
    "interrupted": 130, "tampered": 1,
}  # fmt: skip


@pytest.mark.parametrize(("code", "status"), EXIT_CODES.items())
def test_exit_codes_are_the_published_ones(code: str, status: int) -> None:
    """Each branch of the error tree ends the program with its documented code."""
    assert code_of(BY_CODE[code]("x")) == status


def test_text_form() -> None:
    """`error:` and an indented `hint:`; controls of a peer's message are escaped."""
    error = Refused("no \x1b[2J", hint="ask", code="x")

    assert error_text(error) == "error: no \\x1b[2J\n  hint: ask\n"
    assert error_text(NotFound("gone")) == "error: gone\n"


def test_json_form() -> None:
    """One line with code, message and hint."""
    text = error_json(Refused("no \x9b", hint="ask", code="policy"))

    assert json.loads(text) == {"error": {"code": "policy", "message": "no \x9b", "hint": "ask"}}
    assert text.count("\n") == 1
    assert "\x9b" not in text


def test_a_fault_of_ours_shows_places_and_no_message() -> None:
    """Messages and locals of unexpected exceptions may hold secrets and are never shown."""
    try:
        raise RuntimeError("canary")
    except RuntimeError as caught:
        error = caught

    for text in (error_text(error), error_json(error)):
        assert "canary" not in text
        assert "RuntimeError" in text
        assert "test_failures.py" in text
    assert code_of(error) == 1


def test_a_failed_line_keeps_the_code_of_its_cause() -> None:
    """Places are added in front, one a file; code and hint are the cause's."""
    error = LineFailed("a line 2", LineFailed("b line 5", NotFound("gone", hint="look")))

    assert error.message == "a line 2: b line 5: gone"
    assert (error.code, error.hint, code_of(error)) == ("not-found", "look", 3)
    assert code_of(KeptGoing(2, 3, error)) == 3
    assert code_of(LineFailed("x", CommandFailed(42))) == 42
    assert code_of(CommanderError("x")) == 1
