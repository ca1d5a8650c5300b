from __future__ import annotations

import contextlib
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.audit.events import (
    KINDS,
    MAX_EVENT_BYTES,
    Event,
    LogHeadChanged,
    LoginFailed,
    TunnelOutcome,
    clip,
    decode_event,
    encode_event,
    kind_of,
    subject_of,
)
from commander.errors import InvalidInput

VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=60),
    int: st.integers(0, 2**63 - 1),
    bytes: st.binary(max_size=32),
}


def events_of(kind: type[Event]) -> st.SearchStrategy[Event]:
    """Any event of a kind."""
    return st.builds(kind, **{name: VALUES[hint] for name, hint in get_type_hints(kind).items()})


EVENTS = st.one_of([events_of(kind) for kind in KINDS.values()])
FAILED = LoginFailed("bad-password", "u", "d", "someone@example", "192.0.2.1")


@given(event=EVENTS)
def test_round_trip(event: Event) -> None:
    """Every event is read back as it was written, in one form."""
    data = encode_event(event)

    assert decode_event(kind_of(event), data) == event
    assert encode_event(decode_event(kind_of(event), data)) == data


def test_largest_event_of_every_kind_fits() -> None:
    """The limits of the fields and of the whole agree."""
    largest: dict[Any, Any] = {str: "é" * 512, int: 2**63 - 1, bytes: bytes(64)}
    for kind in KINDS.values():
        values = {
            name: "u" * 64 if "64" in str(get_type_hints(kind, include_extras=True)[name])
            and hint is str else largest[hint]
            for name, hint in get_type_hints(kind).items()
        }  # fmt: skip
        assert len(encode_event(kind(**values))) <= MAX_EVENT_BYTES


@pytest.mark.parametrize("account", ["x" * 513, "é" * 600])
def test_text_over_its_limit_is_not_written(account: str) -> None:
    """What readers would refuse is refused by the writer; `clip` is the way out."""
    with pytest.raises(InvalidInput):
        encode_event(LoginFailed("c", "u", "d", account, ""))

    encode_event(LoginFailed("c", "u", "d", clip(account), ""))


@pytest.mark.parametrize("number", [-1, 2**63])
def test_number_out_of_range_is_not_written(number: int) -> None:
    """Counts fit 63 bits, as databases keep them."""
    with pytest.raises(InvalidInput):
        encode_event(LogHeadChanged(number, b"", 0, 0))


def test_cut_event_is_refused() -> None:
    """An event cut at any place is refused."""
    for cut in range(len(encode_event(FAILED))):
        with pytest.raises(InvalidInput):
            decode_event("login-failed", encode_event(FAILED)[:cut])


def test_trailing_or_foreign_bytes_are_refused() -> None:
    """There is one form only: no bytes after it, no other kind's form."""
    data = encode_event(FAILED)

    with pytest.raises(InvalidInput):
        decode_event("login-failed", data + b"\x00")
    with pytest.raises(InvalidInput):
        decode_event("login-succeeded", data)
    with pytest.raises(InvalidInput, match="is unknown"):
        decode_event("never-heard-of", data)


@given(kind=st.sampled_from([*KINDS]) | st.text(max_size=10), data=st.binary(max_size=100))
def test_any_bytes_give_an_event_or_the_documented_error(kind: str, data: bytes) -> None:
    """Random bytes never fail otherwise."""
    with contextlib.suppress(InvalidInput):
        decode_event(kind, data)


@given(text=st.text(max_size=700), limit=st.integers(1, 512))
def test_clip_makes_any_text_short_and_printable(text: str, limit: int) -> None:
    """Line breaks, escapes and right-to-left marks do not survive."""
    clipped = clip(text, limit)

    assert len(clipped) == min(len(text), limit)
    assert all(c.isprintable() or c == "\ufffd" for c in clipped)


def test_clip_keeps_ordinary_text() -> None:
    """Letters of any script and spaces are kept."""
    assert clip("Zürich 東京 (psql)") == "Zürich 東京 (psql)"
    assert clip("a\nb\x1b[0m\u202ec") == "a\ufffdb\ufffd[0m\ufffdc"


def test_subject_names_user_and_record_where_there_are_any() -> None:
    """Indexes are filled from the event itself."""
    outcome = TunnelOutcome("c", "user", "record", "ended", "relay", 1, 2, 3, 4, 0, "", "")

    assert subject_of(outcome) == ("user", "record")
    assert subject_of(FAILED) == ("u", "")
    assert subject_of(LogHeadChanged(1, b"", 0, 0)) == ("", "")


def test_kinds_and_types_stand_for_each_other() -> None:
    """Every name has its own type."""
    assert len(set(KINDS.values())) == len(KINDS)
    assert all(len(name) <= 40 for name in KINDS)
