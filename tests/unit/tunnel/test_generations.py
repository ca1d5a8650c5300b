from __future__ import annotations

import pytest

from commander.errors import InvalidInput
from commander.tunnel.generations import number_carriers
from commander.tunnel.seal import MAX_GENERATION


def test_each_carrier_has_a_number_of_its_own() -> None:
    """Numbers follow the order of the offer, four for a direct path and one for any other."""
    assert number_carriers(("relay", "direct", "webrtc"), 1) == {
        "relay": range(1, 2), "direct": range(2, 6), "webrtc": range(6, 7),
    }  # fmt: skip


def test_a_later_attempt_counts_on() -> None:
    """The first number is the caller's."""
    assert number_carriers(("direct",), 7) == {"direct": range(7, 11)}


def test_a_kind_named_twice_is_refused() -> None:
    """One kind could not have two groups."""
    with pytest.raises(InvalidInput, match="twice"):
        number_carriers(("relay", "relay"), 1)


def test_numbers_end() -> None:
    """The highest generation is used; the one behind it is refused."""
    assert number_carriers(("direct",), MAX_GENERATION - 3)["direct"].stop == MAX_GENERATION + 1

    with pytest.raises(InvalidInput, match="generations"):
        number_carriers(("direct",), MAX_GENERATION - 2)
