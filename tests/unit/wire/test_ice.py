from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.wire.ice import MAX_URL, IceUrl, parse_ice_url


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("stun:relay.example.org", IceUrl("stun", "relay.example.org", 3478, "udp")),
        ("turn:10.1.2.3", IceUrl("turn", "10.1.2.3", 3478, "udp")),
        ("turn:Relay.Example.org:80?transport=udp", IceUrl("turn", "relay.example.org", 80, "udp")),
        ("turn:10.1.2.3:443?transport=tcp", IceUrl("turn", "10.1.2.3", 443, "tcp")),
        ("turns:relay", IceUrl("turns", "relay", 5349, "tls")),
        ("turns:relay:443?transport=tcp", IceUrl("turns", "relay", 443, "tls")),
        ("stun:[2001:DB8::1]:3479", IceUrl("stun", "2001:db8::1", 3479, "udp")),
    ],
)
def test_addresses_are_read_with_their_defaults(text: str, found: IceUrl) -> None:
    """Ports and transports that are left out are those of the standards."""
    assert parse_ice_url(text) == found
    assert found.is_turn == text.startswith("turn")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "relay.example.org",
        "http://relay",
        "stuns:relay",
        "turn:",
        "turn:relay:0",
        "turn:relay:65536",
        "turn:relay:+80",
        "turn:relay?transport=sctp",
        "turn:relay?transport=udp&x=1",
        "turns:relay?transport=udp",
        "stun:relay?transport=tcp",
        "turn:re lay",
        "turn:user@relay",
        "turn:relay\n",
        "turn:999.1.1.1",
        "turn:1.2.3",
        "turn:[::zz]",
        "turn:[1.2.3.4]:1\0",
        "turn:[1:2]",
        "turn:169.254.169.254",
        "turn:[fe80::1]",
        "turn:224.0.0.1",
        "turn:0.0.0.0",
        "turn:\u0661.example.org",
        "turn:" + "a" * MAX_URL,
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    """What two programs might read differently, and addresses that no server has."""
    with pytest.raises(InvalidInput):
        parse_ice_url(text)


@given(
    st.sampled_from(["stun", "turn", "turns"]),
    st.sampled_from(["relay", "10.9.8.7", "[2001:db8::7]"]),
    st.integers(1, 65535),
)
def test_writing_and_reading_again_gives_the_same(scheme: str, host: str, port: int) -> None:
    """There is one spelling that our own programs write."""
    found = parse_ice_url(f"{scheme}:{host}:{port}")

    assert parse_ice_url(str(found)) == found


@given(st.text(max_size=60))
def test_only_the_documented_error_comes_out(text: str) -> None:
    """Whatever is typed."""
    try:
        parse_ice_url(text)
    except InvalidInput:
        return
    try:
        parse_ice_url("turn:" + text)
    except InvalidInput:
        return
