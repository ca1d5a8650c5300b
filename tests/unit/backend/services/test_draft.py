from __future__ import annotations

from collections.abc import Callable

import pytest

from commander.authority.refusals import Code
from commander.backend.services.draft import need_once, need_size, need_uid
from commander.errors import Refused
from commander.ids import new_uid


@pytest.mark.parametrize(
    ("check", "code"),
    [
        (lambda: need_uid("x", "it"), Code.REQUEST_MALFORMED),
        (lambda: need_uid("-" + "A" * 21, "it"), Code.REQUEST_MALFORMED),
        (lambda: need_size(b"12345", 4, "it"), Code.TOO_LARGE),
        (lambda: need_size(b"1", 4, "it", least=2), Code.REQUEST_MALFORMED),
        (lambda: need_once(["a", "b", "a"], "it"), Code.REQUEST_MALFORMED),
    ],
)
def test_bad_forms_are_refused_with_their_code(check: Callable[[], None], code: str) -> None:
    """The message names what it is about."""
    with pytest.raises(Refused, match="it ") as refused:
        check()

    assert refused.value.code == code


def test_good_forms_pass() -> None:
    """At the limits too."""
    need_uid(new_uid(), "it")
    need_size(b"1234", 4, "it", least=4)
    need_once(["a", "b"], "it")
