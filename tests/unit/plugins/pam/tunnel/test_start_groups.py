from __future__ import annotations

import pytest

from plugins.pam.tunnel.start_groups import OrderBroken, start_groups


def test_each_comes_as_early_as_those_before_it_allow() -> None:
    """Names keep their order within a group."""
    after = {"c": ["a", "b"], "a": [], "b": ["a"], "d": []}
    assert start_groups(after) == (("a", "d"), ("b",), ("c",))
    assert start_groups({}) == ()


@pytest.mark.parametrize(
    ("after", "circle"),
    [
        ({"a": ["a"]}, ("a", "a")),
        ({"a": ["b"], "b": ["c"], "c": ["b"], "d": []}, ("b", "c", "b")),
    ],
)
def test_a_circle_is_named(after: dict[str, list[str]], circle: tuple[str, ...]) -> None:
    """Only those of the circle, not those that wait for it."""
    with pytest.raises(OrderBroken) as broken:
        start_groups(after)
    assert broken.value.names == circle
