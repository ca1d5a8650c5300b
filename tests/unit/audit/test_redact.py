from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.audit.chain import ChainWriter, Entry
from commander.audit.classes import PublicHash, PublicText, SensitiveText, Sensitivity
from commander.audit.events import Event, TokenRefused, TunnelIntent
from commander.audit.redact import describe, line, redact
from commander.crypto.signing import SigningKey

KEY = SigningKey(bytes(32))
INTENT = TunnelIntent("c", "u", "d", "g", "r", "p", 7, "db.internal", 5432)


class Sample(Event, frozen=True):
    shown: PublicText
    digest: PublicHash
    closed: SensitiveText
    forgotten: str


SAMPLE = Sample("seen", b"\x01\xff", "for auditors", "hunter2")


def entry_of(event: Event) -> Entry:
    return ChainWriter("p", KEY).seal(event, time_ms=1_800_000_000_123)


def test_public_reader_sees_public_values_only() -> None:
    """Sensitive and secret values are replaced by what they are."""
    assert redact(SAMPLE) == {
        "shown": "seen", "digest": "01ff", "closed": "<sensitive>", "forgotten": "<secret>",
    }  # fmt: skip


@pytest.mark.parametrize("show", list(Sensitivity))
def test_secret_values_are_shown_to_nobody(show: Sensitivity) -> None:
    """Even when asked for, and with a matching key, an unclassified value stays hidden."""
    for key in (None, bytes(32)):
        assert redact(SAMPLE, show=show, matching_key=key)["forgotten"] == "<secret>"


def test_auditor_sees_sensitive_values() -> None:
    """The second level shows what the first hides, without codes."""
    shown = redact(INTENT, show=Sensitivity.SENSITIVE, matching_key=bytes(32))

    assert (shown["target_host"], shown["target_port"]) == ("db.internal", 5432)


def test_matching_codes_are_equal_where_values_are() -> None:
    """Codes depend on key, field and value, and tell nothing else."""
    same = msgspec.structs.replace(INTENT, user="another")
    other = msgspec.structs.replace(INTENT, target_host="other.internal")
    codes = [redact(e, matching_key=b"k" * 32)["target_host"] for e in (INTENT, same, other)]

    assert codes[0] == codes[1] != codes[2]
    assert codes[0] != redact(INTENT, matching_key=b"x" * 32)["target_host"]
    assert str(codes[0]).startswith("hmac:")
    assert "internal" not in str(codes)
    swapped = msgspec.structs.replace(SAMPLE, closed="seen")
    assert redact(swapped, matching_key=b"k" * 32)["shown"] == "seen"


def test_empty_values_are_shown_as_empty() -> None:
    """That nothing is known is no secret."""
    event = TokenRefused("used", "gateway", b"", "", "")

    assert redact(event)["address"] == ""


def test_description_names_producer_sequence_time_and_kind() -> None:
    """Time is UTC with milliseconds."""
    shown = describe(entry_of(INTENT))

    assert shown["producer"] == "p"
    assert shown["sequence"] == 1
    assert shown["time"] == "2027-01-15T08:00:00.123Z"
    assert shown["kind"] == "tunnel-intent"
    assert shown["target_host"] == "<sensitive>"


def test_unknown_kind_is_described_without_its_fields() -> None:
    """An entry of a newer producer is listed, not lost, and nothing of it is shown."""
    entry = msgspec.structs.replace(entry_of(INTENT), kind="from-the-future")

    shown = describe(entry, show=Sensitivity.SENSITIVE)

    assert shown["unreadable"] == f"{len(entry.body)} bytes"
    assert "db.internal" not in str(shown)


@given(text=st.text(max_size=100))
def test_one_event_is_one_line(text: str) -> None:
    """Whatever a value holds, the line is printable ASCII JSON with the value in it."""
    event = msgspec.structs.replace(INTENT, target_host=text)

    written = line(entry_of(event), show=Sensitivity.SENSITIVE)

    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written)["target_host"] == text


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", "a|b=c\\", '"}', "\x1b]0;t\x07", "\u2028", "<14>1 - -", "\u202e"]
)
def test_separators_of_other_formats_do_not_get_through(text: str) -> None:
    """Line breaks, escapes and marks of direction are written as escapes."""
    event = msgspec.structs.replace(INTENT, target_host=text)

    assert line(entry_of(event), show=Sensitivity.SENSITIVE).isprintable()
