"""Every end has its line: nothing that may end a tunnel is left without a sentence and a way out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from commander.authority.refusals import Code
from commander.hosting import ends
from commander.hosting.ends import LOCAL, explain_end
from commander.tunnel.codes import CloseCode

EVERY_CODE = [*(code.label for code in CloseCode), *map(str, Code), *LOCAL]


def test_every_close_code_and_every_refusal_code_has_its_own_line() -> None:
    """A code added later must be given a line here: why, a way out, and an exit code."""
    assert set(CloseCode) - ends._CLOSES.keys() == set()
    assert set(Code) - ends._REFUSALS.keys() == set()


def test_whatever_was_not_wanted_says_what_to_type_next() -> None:
    """Only an end that the user asked for has no hint; every other has one, and fails."""
    endings = {code: explain_end(code, record="Orders DB") for code in EVERY_CODE}
    stopped, idle = endings.pop("stopped"), endings.pop("idle")

    assert (stopped.is_clean, stopped.hint) == (True, "")
    assert (idle.is_clean, idle.hint) == (True, "pam tunnel start 'Orders DB'")
    for code, ending in endings.items():
        assert ending.sentence, code
        assert ending.hint, code
        assert ending.exit_code in {1, 3, 4, 5, 6, 7, 8}, code
        assert "{" not in ending.sentence + ending.hint, code


def test_the_reason_follows_the_sentence_when_it_adds_something() -> None:
    """The engine's own words are kept, and never said twice."""
    lost = explain_end(CloseCode.PATH_LOST, "no sign of life for 6 s", record="DB")
    revoked = explain_end(CloseCode.REVOKED, "revoked-meanwhile")

    assert lost.sentence == "the connection to the gateway was lost: no sign of life for 6 s"
    assert (lost.hint, lost.exit_code) == ("pam tunnel diagnose DB", 6)
    assert revoked.sentence == "a right it needs was taken away: revoked-meanwhile"
    assert revoked.exit_code == 4


def test_a_title_is_quoted_as_the_shell_reads_it() -> None:
    """What is printed can be typed: a title with a quote stays one word."""
    assert explain_end("idle", record="it's $HOME").hint == "pam tunnel start 'it'\"'\"'s $HOME'"
    assert explain_end("idle").hint == "pam tunnel start RECORD"


@given(code=st.text(max_size=100))
def test_any_code_of_a_later_version_is_named(code: str) -> None:
    """What this version does not know is told as it is, bounded, and counts as a failure."""
    ending = explain_end(code)

    assert ending.code == code
    if code not in EVERY_CODE:
        assert repr(code[:60]) in ending.sentence
        assert ending.exit_code == 1
