"""Hosts and allowances as people and records write them: a refusal, or a target that the rule judges."""

from __future__ import annotations

import contextlib
import ipaddress

from commander.errors import Refused, UsageError
from commander.gateway.targets import TargetRule, normal_host, parse_allowance

NAME = "gateway-targets"
_RULE = TargetRule()


def seeds() -> list[bytes]:
    """Good ones and near misses."""
    texts = (
        "db.internal", "DB.Example.org.", "10.0.0.1", "[2001:db8::1]", "::ffff:127.0.0.1", "127.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1%eth0", "0x7f000001", "127.0.0.1/32",
        "10.0.0.0/8:22,8000-8100", "[::1/128]:22", "::1/128", "0.0.0.0/0:1-65535",
    )  # fmt: skip
    return [text.encode() for text in texts]


def fuzz(data: bytes) -> None:
    """Read the bytes as a host and as an allowance."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(UsageError):
        parse_allowance(text)
    try:
        host = normal_host(text)
    except Refused:
        return
    # One form: what was accepted is accepted again, unchanged, and is ASCII without surprises.
    assert normal_host(host) == host
    assert host.isascii()
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        assert not address.is_loopback or _RULE.reason_against(host, 80)
