from __future__ import annotations

import pytest

from commander import errors
from commander.errors import BY_CODE, CommanderError, Refused, SealBroken

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, CommanderError)
]
EXIT_CODES = {
    "failed": 1, "usage": 2, "invalid": 2, "not-found": 3, "not-allowed": 4, "refused": 4,
    "not-logged-in": 5, "unreachable": 6, "conflict": 7, "timed-out": 8, "approval-pending": 9,
    "interrupted": 130, "tampered": 1, "seal-broken": 1,
}  # fmt: skip


def test_codes_and_exit_codes_are_the_published_ones() -> None:
    """Scripts rely on them: changing one is a change of the interface."""
    assert {kind.default_code: kind.exit_code for kind in KINDS} == EXIT_CODES


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not SealBroken])
def test_wire_code_leads_back_to_the_type(kind: type[CommanderError]) -> None:
    """An error that travels is raised as the same type on the other side."""
    assert BY_CODE[kind.default_code] is kind


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not SealBroken])
def test_message_hint_and_code_are_kept(kind: type[CommanderError]) -> None:
    """The text of an error is its message; the way out stands apart."""
    error = kind("record x is gone", hint="sync-down")

    assert str(error) == error.message == "record x is gone"
    assert (error.hint, error.code) == ("sync-down", kind.default_code)


def test_own_code_replaces_the_default() -> None:
    """A refusal carries the code of the published table; its exit code stays."""
    error = Refused("no", code="policy-missing")

    assert (error.code, error.exit_code) == ("policy-missing", 4)


def test_broken_seal_says_nothing_about_why() -> None:
    """One text for all failures, so that a peer learns nothing."""
    assert str(SealBroken()) == "seal does not verify"
    assert SealBroken().hint == ""
