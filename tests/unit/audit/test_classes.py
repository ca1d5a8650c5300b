from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from commander.audit.classes import PublicText, PublicUid, SensitiveText, Sensitivity, classify
from commander.audit.events import KINDS, Event


class Mixed(msgspec.Struct):
    plain: str
    known: PublicText
    closed: SensitiveText
    twice: Annotated[PublicUid, Sensitivity.SENSITIVE]
    limited: Annotated[int, msgspec.Meta(ge=0)]


def test_unclassified_field_is_secret() -> None:
    """Forgetting to classify hides a value, and the stricter of two marks counts."""
    assert classify(Mixed) == {
        "plain": Sensitivity.SECRET,
        "known": Sensitivity.PUBLIC,
        "closed": Sensitivity.SENSITIVE,
        "twice": Sensitivity.SENSITIVE,
        "limited": Sensitivity.SECRET,
    }


@pytest.mark.parametrize("kind", KINDS.values())
def test_every_field_of_every_event_is_classified(kind: type[Event]) -> None:
    """No event has a field that nobody could ever read."""
    assert Sensitivity.SECRET not in classify(kind).values()


@pytest.mark.parametrize("kind", KINDS.values())
def test_hosts_programs_addresses_and_reasons_are_never_public(kind: type[Event]) -> None:
    """What tells about a network or holds a stranger's text is for auditors only."""
    marks = classify(kind)

    for name in ("address", "program", "programs", "reason", "target_host", "account", "os_user"):
        assert marks.get(name, Sensitivity.SENSITIVE) is Sensitivity.SENSITIVE
