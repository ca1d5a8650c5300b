from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.wire.join import Join, JoinKind, read_join, write_join

SECRET = bytes(range(32))
GATEWAY = Join("gateway", "host:8443", SECRET, bytes(32), bytes(32))


@pytest.mark.parametrize(
    "join",
    [
        GATEWAY,
        Join("setup", "host:1", SECRET, b"", bytes(32)),
        Join("invite", "host:1", SECRET, bytes(32), b""),
        Join("login", "host:1", b"", bytes(32), bytes(32)),
    ],
)
def test_join_strings_round_trip(join: Join) -> None:
    """What was written is read, also with white space around it."""
    assert read_join(f"  {write_join(join)}\n", join.kind) == join


@pytest.mark.parametrize(
    "join",
    [
        Join("setup", "h", b"", b"", b""),
        Join("gateway", "h", SECRET, b"", b""),
        Join("login", "h", SECRET, bytes(32), b""),
        Join("gateway", "h", SECRET[:31], bytes(32), b""),
        Join("gateway", "h", SECRET, bytes(31), b""),
    ],
)
def test_incomplete_join_strings_are_refused(join: Join) -> None:
    """A missing secret or fingerprint is damage, never a weaker join."""
    with pytest.raises(InvalidInput):
        read_join(write_join(join), join.kind)


@pytest.mark.parametrize("kind", ["setup", "invite", "login"])
def test_a_join_string_is_for_one_thing(kind: JoinKind) -> None:
    """A gateway's string sets up nothing else."""
    with pytest.raises(InvalidInput, match="not for"):
        read_join(write_join(GATEWAY), kind)


def test_damage_is_named_without_quoting_the_secret() -> None:
    """Truncated at each character, or with a changed one, the string is refused in clear words."""
    text = write_join(GATEWAY)
    for cut in range(len(text)):
        with pytest.raises(InvalidInput) as caught:
            read_join(text[:cut], "gateway")
        assert text[10:30] not in str(caught.value)
    with pytest.raises(InvalidInput):
        read_join(text.upper(), "gateway")


@given(st.text(max_size=200))
def test_other_texts_are_refused(text: str) -> None:
    """Nothing else is a join string."""
    with pytest.raises(InvalidInput):
        read_join("join1." + text, "gateway")
