from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.audit.classes import MAX_TEXT
from commander.audit.sealed import PREFIX, open_value, seal_value
from commander.errors import SealBroken

KEY = b"k" * 32


@given(st.text(alphabet=st.characters(codec="ascii", exclude_characters="\0"), max_size=253))
def test_a_host_is_read_back_by_who_has_the_record(host: str) -> None:
    """What was sealed opens under the same key, and always fits into an event."""
    value = seal_value(KEY, "conversation", host)

    assert open_value(KEY, "conversation", value) == host
    assert len(value) <= MAX_TEXT


def test_lengths_of_ordinary_hosts_are_alike() -> None:
    """A short name and a long one look the same to the server."""
    assert len(seal_value(KEY, "c", "db")) == len(
        seal_value(KEY, "c", "orders.db.internal.example")
    )


def test_nobody_else_reads_it() -> None:
    """Another key, another conversation, an altered or an unsealed value does not open."""
    value = seal_value(KEY, "conversation", "db.internal")
    flipped = value[:-2] + ("A" if value[-2] != "A" else "B") + value[-1]
    for key, conversation, text in (
        (b"K" * 32, "conversation", value),
        (KEY, "other", value),
        (KEY, "conversation", flipped),
        (KEY, "conversation", "db.internal"),
        (KEY, "conversation", PREFIX),
        (KEY, "conversation", PREFIX + "***"),
    ):
        with pytest.raises(SealBroken):
            open_value(key, conversation, text)
