from __future__ import annotations

import pytest

from commander.api.proxy import choose_proxy
from commander.errors import InvalidInput
from commander.wire.known_server import normal_address, split_address

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, ""),
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"https_proxy": PROXY}, PROXY),
        ({"HTTP_PROXY": PROXY}, ""),
        ({"ALL_PROXY": PROXY}, ""),
        ({"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, ""),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "a.test, vault.example"}, ""),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": ".example"}, ""),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "vault.example:8443"}, ""),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "vault.example:9"}, PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "ault.example"}, PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": ","}, PROXY),
    ],
)
def test_proxy_is_chosen_by_the_environment(environment: dict[str, str], wanted: str) -> None:
    """HTTPS_PROXY leads there, NO_PROXY exempts hosts, domains and host:port."""
    assert choose_proxy(environment, "vault.example:8443") == wanted


def test_bad_proxy_is_an_error_without_its_password() -> None:
    """The address may hold a password, so it is not quoted."""
    with pytest.raises(InvalidInput) as caught:
        choose_proxy({"HTTPS_PROXY": "ftp://user:hunter2@x"}, "vault.example:8443")

    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("vault.example", "vault.example:8443"),
        ("Vault.Example:1", "vault.example:1"),
        ("https://vault.example/", "vault.example:8443"),
        (" 10.0.0.1:65535 ", "10.0.0.1:65535"),
        ("[::1]:443", "[::1]:443"),
    ],
)
def test_addresses_have_one_form(text: str, wanted: str) -> None:
    """host:port, in lower case."""
    assert normal_address(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "http://x", "x:0", "x:65536", "x:1:2", "a b", "x/y", "user@x", "x:\u0662", "x" * 300],
)
def test_other_texts_are_no_address(text: str) -> None:
    """Only https, only host and port."""
    with pytest.raises(InvalidInput):
        normal_address(text)


def test_address_is_split() -> None:
    """Without the brackets of IPv6."""
    assert split_address("[::1]:443") == ("::1", 443)
    assert split_address("a:1") == ("a", 1)
