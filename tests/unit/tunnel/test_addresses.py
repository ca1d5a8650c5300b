from __future__ import annotations

from ipaddress import ip_address

import pytest

from commander.tunnel.addresses import special_kind, unwrap


@pytest.mark.parametrize(
    ("dressed", "plain"),
    [
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("64:ff9b::a9fe:a9fe", "169.254.169.254"),
        ("2002:7f00:1::1", "127.0.0.1"),
        ("::10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_an_address_inside_another_is_found(dressed: str, plain: str) -> None:
    """IPv6 forms that carry an IPv4 address are judged as what they carry."""
    assert str(unwrap(ip_address(dressed))) == plain


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("169.254.169.254", "a cloud's metadata service"),
        ("fd00:ec2::254", "a cloud's metadata service"),
        ("0.0.0.0", "the unspecified address"),
        ("::", "the unspecified address"),
        ("127.9.9.9", "a loopback address"),
        ("::1", "a loopback address"),
        ("169.254.1.1", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("224.0.0.1", "a multicast address"),
        ("ff02::1", "a multicast address"),
        ("0.1.2.3", "a reserved address"),
        ("240.0.0.1", "a reserved address"),
        ("10.0.0.1", ""),
        ("192.168.1.1", ""),
        ("8.8.8.8", ""),
        ("fd12::1", ""),
    ],
)
def test_special_addresses_are_named(address: str, kind: str) -> None:
    """Each kind that nobody may name has its word; ordinary and private addresses have none."""
    assert special_kind(ip_address(address)) == kind
