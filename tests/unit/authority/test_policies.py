from __future__ import annotations

import pytest

from commander.authority.policies import parse_policy
from commander.authority.refusals import EXPLANATIONS, Code
from commander.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ALLOW_LAUNCH_PAM_TUNNELS:true", True),
        ('"ALLOW_LAUNCH_PAM_TUNNELS":true', True),
        ("ALLOW_LAUNCH_PAM_TUNNELS:True", True),
        ("allow_launch_pam_tunnels:on", True),
        ("ALLOW_LAUNCH_PAM_TUNNELS: false", False),
    ],
)
def test_both_spellings_parse(text: str, value: bool) -> None:
    """Quotes around the key and any case of key and value are taken."""
    assert parse_policy(text) == ("ALLOW_LAUNCH_PAM_TUNNELS", value)


@pytest.mark.parametrize(
    "text",
    ["", "ALLOW_LAUNCH_PAM_TUNNELS", "NOPE:true", "ALLOW_PAM_GATEWAY:maybe", ":true", "A:b:c"],
)
def test_unknown_keys_and_values_are_errors(text: str) -> None:
    """Nothing is skipped in silence."""
    with pytest.raises(InvalidInput):
        parse_policy(text)


def test_every_code_is_explained() -> None:
    """The published table has a line for each code and none for what does not exist."""
    assert set(EXPLANATIONS) == set(Code)
