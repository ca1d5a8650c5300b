from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.authority.email import is_normal_email, normal_email
from commander.errors import InvalidInput


@pytest.mark.parametrize(
    "text",
    ["bob@acme.example", " Bob@ACME.example ", "\uff22ob@acme.example", "BOB@acme.example\n"],
)
def test_variants_are_one_account(text: str) -> None:
    """Case, white space and full-width letters do not make another account."""
    assert normal_email(text) == "bob@acme.example"


@pytest.mark.parametrize(
    "text",
    ["", "bob", "@", "a@", "@b", "a b@c", "a@b@c", "a\x00@b", "<a@b>", "x" * 300 + "@b", "a@b,c"],
)
def test_other_texts_are_refused(text: str) -> None:
    """What is no address is no account name."""
    with pytest.raises(InvalidInput):
        normal_email(text)


@given(st.text(max_size=80))
def test_the_normal_form_is_stable(text: str) -> None:
    """Normalising twice changes nothing."""
    try:
        once = normal_email(text)
    except InvalidInput:
        return
    assert normal_email(once) == once
    assert is_normal_email(once)
