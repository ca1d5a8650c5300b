from __future__ import annotations

import pytest

from commander.plugin.results import Column


@pytest.mark.parametrize(
    ("key", "heading"),
    [("record_uid", "Record UID"), ("title", "Title"), ("rtt", "RTT"), ("bytes_in", "Bytes In")],
)
def test_headings_are_made_from_keys(key: str, heading: str) -> None:
    """A column without a title reads as its key in words."""
    assert Column(key).heading == heading
    assert Column(key, "Own").heading == "Own"
