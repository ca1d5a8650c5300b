"""Which generations the carriers of one attempt have; pure, and the same at both ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from commander.errors import InvalidInput
from commander.tunnel.path import KIND_DIRECT
from commander.tunnel.seal import MAX_GENERATION

CARRIERS: Final[Mapping[str, int]] = {KIND_DIRECT: 4}
"""How many carriers a kind of path has; one, where it is not named."""


def number_carriers(kinds: Sequence[str], first: int) -> dict[str, range]:
    """
    The generations of each kind of an offer: counted from `first` in the order of the offer,
    one for each carrier. The first of a kind also names its group.

    Pass the kinds of the offer, not of the answer: a kind that the far end leaves out keeps its
    numbers. Raises InvalidInput for a kind named twice and numbers over the highest.
    """
    if len(set(kinds)) != len(kinds):
        raise InvalidInput("the offer names a kind of path twice")
    numbers: dict[str, range] = {}
    for kind in kinds:
        numbers[kind] = range(first, first + CARRIERS.get(kind, 1))
        first = numbers[kind].stop
    if first - 1 > MAX_GENERATION:
        raise InvalidInput(f"the tunnel has used all {MAX_GENERATION} generations")
    return numbers
