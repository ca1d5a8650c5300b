"""Tests of commander/ksm/notation.py, held against the official Python SDK's parser."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keeper_secrets_manager_core.core import SecretsManager  # type: ignore[import-untyped]

from commander.errors import Conflict, InvalidInput, NotFound
from commander.ksm.notation import (
    MAX_NOTATION,
    Notation,
    Selector,
    is_notation,
    parse_notation,
    select,
    value_text,
)

_UID = "pbxV4snkAP9KGCUhSb6aQQ"
_TEXTS = st.text(alphabet=st.sampled_from("aZ9 _-/[]\\äöü.@"), min_size=1, max_size=12)
_MEMBERS = _TEXTS.filter(lambda text: not text.isdigit() and "[" not in text and "]" not in text)
_NAMED = st.builds(
    Notation,
    record=_TEXTS,
    selector=st.sampled_from([Selector.FIELD, Selector.CUSTOM_FIELD]),
    name=_TEXTS,
    index=st.one_of(st.none(), st.integers(0, 999_999)),
    member=st.one_of(st.just(""), _MEMBERS),
)
_PLAIN = st.builds(Notation, record=_TEXTS, selector=st.sampled_from(list(Selector)[:3]))
_FILES = st.builds(Notation, record=_TEXTS, selector=st.just(Selector.FILE), name=_TEXTS)
_ALL = st.one_of(_NAMED, _PLAIN, _FILES)
CONTENT: dict[str, Any] = {
    "title": "Orders DB",
    "type": "login",
    "notes": "",
    "fields": [
        {"type": "login", "value": ["app"]},
        {"type": "password", "value": ["s3cret"]},
        {"type": "url", "value": ["a", "b"]},
        {"type": "oneTimeCode", "value": []},
        {"type": "broken", "value": "text"},
    ],
    "custom": [
        {"type": "phone", "label": "Work", "value": [{"number": "1"}, {"ext": "2"}, None]},
        {"type": "text", "label": "twice", "value": ["x"]},
        {"type": "text", "label": "twice", "value": ["y"]},
        {"type": "pinCode", "label": "n", "value": [7]},
    ],
}


@given(_ALL)
def test_a_notation_that_is_written_is_read_again(notation: Notation) -> None:
    """Whatever titles, labels and members hold, writing and reading are inverse."""
    assert parse_notation(str(notation)) == notation


# Version 17.3 of the SDK takes a `\` that ends a name or member for one that escapes the bracket after it.
@given(_ALL.filter(lambda n: not (n.name.endswith("\\") or n.member.endswith("\\"))))
def test_the_official_sdk_reads_what_we_write(notation: Notation) -> None:
    """The Python SDK finds the same record, selector, name and indexes in it."""
    _, record, selector, _ = SecretsManager.parse_notation(str(notation))

    assert record.text is not None
    assert selector.text is not None
    assert (record.text[0], selector.text[0]) == (notation.record, notation.selector.value)
    if notation.selector.takes_name:
        assert selector.parameter is not None
        assert selector.parameter[0] == notation.name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"keeper://{_UID}/field/password", Notation(_UID, Selector.FIELD, "password")),
        (f"KEEPER://{_UID}/field/url[1]", Notation(_UID, Selector.FIELD, "url", 1)),
        (f"{_UID}/field/url[]", Notation(_UID, Selector.FIELD, "url", None)),
        (f"{_UID}/custom_field/n[first]", Notation(_UID, Selector.CUSTOM_FIELD, "n", 0, "first")),
        (f"{_UID}/FIELD/n[][last]", Notation(_UID, Selector.FIELD, "n", None, "last")),
        (f"{_UID}/field/n[2][x]", Notation(_UID, Selector.FIELD, "n", 2, "x")),
        (f"{_UID}/notes", Notation(_UID, Selector.NOTES)),
        (f"{_UID}/file/a.pem", Notation(_UID, Selector.FILE, "a.pem")),
        (r"A \/ B \[1\] \\/field/a\]b", Notation(r"A / B [1] \ "[:-1], Selector.FIELD, "a]b")),
    ],
)
def test_the_forms_of_the_sdks(text: str, expected: Notation) -> None:
    """Each documented form, also with other case, without prefix and as base64."""
    as_base64 = base64.urlsafe_b64encode(text.encode()).decode()

    assert parse_notation(text) == expected
    assert parse_notation(as_base64) == parse_notation(as_base64.rstrip("=")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "keeper://", "keeper:///field/x", f"{_UID}", "a b", "_w==", f"{_UID}/", f"{_UID}/bad",
        f"{_UID}/field", f"{_UID}/field/", f"{_UID}/notes/x", f"{_UID}/field/a[", f"{_UID}/field/a[1",
        f"{_UID}/field/a[1]x", f"{_UID}/field/a[x][y]", f"{_UID}/field/a[1][2]",
        f"{_UID}/field/a[1][]", f"{_UID}/field/a[1][b][c]", f"{_UID}/file/a[0]",
        f"{_UID}/field/a\\", f"{_UID}/field/a\\b", f"{_UID}/field/a[9999999][b]", "a\\/field/x",
        f"{_UID}/field/" + "x" * MAX_NOTATION,
    ],
)  # fmt: skip
def test_what_is_no_notation_is_refused(text: str) -> None:
    """Every malformed text is refused with a reason, none is guessed at."""
    with pytest.raises(InvalidInput):
        parse_notation(text)


_LONGEST = f"keeper://{_UID}/custom_field/pho\\[ne[0][number]"


def test_a_truncated_notation_never_reads_as_the_whole() -> None:
    """A cut text is refused or names something else."""
    for cut in range(len(_LONGEST)):
        try:
            found = parse_notation(_LONGEST[:cut])
        except InvalidInput:
            continue
        assert found != parse_notation(_LONGEST)


def test_only_the_prefix_tells_a_notation() -> None:
    """An ordinary value of the environment is none, whatever slashes it holds."""
    assert is_notation("Keeper://x")
    assert not is_notation("keeper:/x")
    assert not is_notation("a/field/b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("R/title", "Orders DB"),
        ("R/type", "login"),
        ("R/field/password", "s3cret"),
        ("R/field/url", "a"),
        ("R/field/url[1]", "b"),
        ("R/field/url[]", '["a","b"]'),
        ("R/custom_field/Work", '{"number":"1"}'),
        ("R/custom_field/phone[0][number]", "1"),
        ("R/custom_field/Work[number]", "1"),
        ("R/custom_field/Work[][number]", '["1"]'),
        ("R/custom_field/n", "7"),
    ],
)
def test_values_are_found(text: str, expected: str) -> None:
    """By type or label, by index and member; everything that is no text is JSON."""
    assert value_text(select(CONTENT, parse_notation(text))) == expected


@pytest.mark.parametrize(
    "text",
    [
        "R/notes", "R/field/none", "R/custom_field/password", "R/field/oneTimeCode", "R/field/broken",
        "R/field/url[2]", "R/custom_field/Work[1][number]", "R/custom_field/Work[2][number]",
        "R/field/login[member]", "R/custom_field/Work[][none]",
    ],
)  # fmt: skip
def test_what_is_not_there_is_an_error(text: str) -> None:
    """A program never gets an empty secret in silence."""
    with pytest.raises(NotFound):
        select(CONTENT, parse_notation(text))


def test_a_record_without_fields_says_so() -> None:
    """The hint lists what is there, here nothing."""
    with pytest.raises(NotFound) as caught:
        select({"title": "x", "type": "login"}, parse_notation("R/custom_field/x"))

    assert caught.value.hint == "there are: none"


@pytest.mark.parametrize("name", ["twice", "text"])
def test_a_name_of_two_fields_is_ambiguous(name: str) -> None:
    """Neither is taken."""
    with pytest.raises(Conflict):
        select(CONTENT, parse_notation(f"R/custom_field/{name}"))
