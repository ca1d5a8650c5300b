from __future__ import annotations

import asyncio

import pytest

from commander.authority.refusals import Code
from commander.codec import encode
from commander.errors import Refused, UsageError
from commander.gateway.targets import (
    Target,
    TargetConnector,
    TargetRule,
    choose_target,
    normal_host,
    parse_allowance,
)
from commander.tunnel.codes import ResetCode, StreamRefused
from commander.wire.commands import StreamMeta

FORBIDDEN = [
    "127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
    "2002:7f00:1::1", "0.0.0.0", "0.1.2.3", "::", "169.254.169.254", "169.254.0.1",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1", "fe80::1%eth0", "fd00:ec2::254",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "239.255.255.255", "ff02::1",
    "255.255.255.255", "240.0.0.1",
]  # fmt: skip
ALLOWED = [
    "10.0.0.1",
    "192.168.1.1",
    "172.16.0.1",
    "100.64.0.1",
    "8.8.8.8",
    "2001:db8::1",
    "fd12::1",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_special_addresses_are_refused_in_every_dress(address: str) -> None:
    """Loopback, link-local, metadata, unspecified, multicast and reserved ones, also inside IPv6."""
    assert TargetRule().reason_against(address, 80)


@pytest.mark.parametrize("address", ALLOWED)
def test_ordinary_addresses_pass(address: str) -> None:
    """Private and public networks are what a gateway is for."""
    assert TargetRule().reason_against(address, 80) == ""


@pytest.mark.parametrize(
    ("text", "address", "port", "is_allowed"),
    [
        ("127.0.0.1/32", "127.0.0.1", 22, True),
        ("127.0.0.1/32", "::ffff:127.0.0.1", 22, True),
        ("127.0.0.1", "127.0.0.1", 22, True),
        ("127.0.0.1/32", "127.0.0.2", 22, False),
        ("127.0.0.0/8:22,8000-8100", "127.9.9.9", 22, True),
        ("127.0.0.0/8:22,8000-8100", "127.9.9.9", 8100, True),
        ("127.0.0.0/8:22,8000-8100", "127.9.9.9", 8101, False),
        ("127.0.0.0/8", "128.0.0.1", 22, True),
        ("127.0.0.0/31", "127.0.0.2", 22, False),
        ("::1/128", "::1", 22, True),
        ("[::1/128]:22", "::1", 22, True),
        ("[::1/128]:22", "::1", 23, False),
        ("::1/128", "127.0.0.1", 22, False),
    ],
)
def test_an_allowance_opens_exactly_its_network_and_ports(
    text: str, address: str, port: int, is_allowed: bool
) -> None:
    """Not one address or port beside it."""
    rule = TargetRule([parse_allowance(text)])

    assert (rule.reason_against(address, port) == "") is is_allowed


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/8:", "10.0.0.0/8:0", "10.0.0.0/8:x",
     "10.0.0.0/8:70000", "10.0.0.0/8:9-1", "[::1]:22:23", "10.0.0.0/8:\u0661", "[10.0.0.0/8"],
)  # fmt: skip
def test_a_bad_allowance_is_a_usage_error(text: str) -> None:
    """Nothing is guessed about what the owner meant."""
    with pytest.raises(UsageError):
        parse_allowance(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("DB.Example.ORG", "db.example.org"),
        ("db.example.org.", "db.example.org"),
        ("db", "db"),
        ("my_db-1.internal", "my_db-1.internal"),
        ("3com.example", "3com.example"),
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
    ],
)
def test_a_host_has_one_form(text: str, normal: str) -> None:
    """Case, a trailing dot and the spelling of an address make no difference."""
    assert normal_host(text) == normal


@pytest.mark.parametrize(
    "text",
    ["", ".", "a b", "a\nb", "a\x00b", "user@db", "db/x", "db%0a", "db:22", "http://db", "d\u044c.example",
     "db..example", "-db", "db-", "x" * 300, "a." * 127 + "b", "x" * 64, "127.1", "0x7f000001",
     "0x7f.1", "2130706433", "017700000001", "1.2.3.4.5", "fe80::1%eth0", "[db]", "[", "1.2.3.256",
     "256", "\u0663", "db\u2024example", "127.0.0.01"],
)  # fmt: skip
def test_unclear_hosts_are_refused(text: str) -> None:
    """What one part reads as a name and another as an address, or what no name can be, is refused."""
    with pytest.raises(Refused) as caught:
        normal_host(text)

    assert caught.value.code == Code.TARGET_INVALID


def test_the_command_may_repeat_the_record() -> None:
    """Host and port of the record, given again, are no override; anything else is."""
    record = ("db.internal", 5432)

    for asked in (("", 0), record, ("", 5432), ("db.internal", 0)):
        found = choose_target(record=record, tunnel_port=0, asked=asked, may_supply=False)
        assert found == Target("db.internal", 5432)
    for asked in (("DB.internal", 0), ("db.internal.", 0), ("", 22), ("10.0.0.1", 0)):
        with pytest.raises(Refused) as caught:
            choose_target(record=record, tunnel_port=0, asked=asked, may_supply=False)
        assert caught.value.code == Code.TARGET_OVERRIDE


def test_a_supplied_target_is_brought_into_form() -> None:
    """Where the record lets the command choose, the same syntax rules hold."""
    found = choose_target(record=("", 0), tunnel_port=0, asked=("DB.", 22), may_supply=True)
    assert found == Target("db", 22)

    with pytest.raises(Refused) as caught:
        choose_target(record=("", 0), tunnel_port=0, asked=("db", 0), may_supply=True)
    assert caught.value.code == Code.TARGET_INVALID


async def test_one_good_address_among_bad_ones_is_enough() -> None:
    """A name with a forbidden and an allowed address is not refused; only the allowed one is used."""

    async def resolve(host: str, port: int) -> list[str]:
        return ["169.254.169.254", "10.0.0.1"]

    await TargetConnector(Target("db", 22), TargetRule(), resolve=resolve).check_now()


async def test_a_slow_resolver_does_not_refuse() -> None:
    """What can't be resolved in time is left to the streams, which say why."""

    async def resolve(host: str, port: int) -> list[str]:
        raise TimeoutError

    await TargetConnector(Target("db", 22), TargetRule(), resolve=resolve).check_now()


@pytest.mark.parametrize("port", [0, 22, 8080])
async def test_a_stream_reaches_the_ports_that_the_record_names(port: int) -> None:
    """The tunnel's own, by its number or by none, and each further one; checked like the first."""
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["169.254.169.254"]

    connector = TargetConnector(
        Target("db", 22), TargetRule(), further_ports=frozenset({8080}), resolve=resolve
    )
    with pytest.raises(StreamRefused, match="rules forbid this address"):
        await connector(encode(StreamMeta("psql", port)), asyncio.Protocol)
    assert asked


@pytest.mark.parametrize("port", [-1, 1, 23, 8081, 65536, 2**40])
async def test_a_stream_reaches_no_other_port(port: int) -> None:
    """The client's word is checked before a name is resolved."""

    async def resolve(host: str, port: int) -> list[str]:
        raise AssertionError("nothing is resolved for it")

    connector = TargetConnector(
        Target("db", 22), TargetRule(), further_ports=frozenset({8080}), resolve=resolve
    )
    with pytest.raises(StreamRefused) as caught:
        await connector(encode(StreamMeta("psql", port)), asyncio.Protocol)
    assert caught.value.reset_code is ResetCode.NOT_ALLOWED


async def test_a_word_for_the_audit_log_connects_nowhere() -> None:
    """Whatever port such a stream names beside."""

    async def resolve(host: str, port: int) -> list[str]:
        raise AssertionError("nothing is resolved for it")

    connector = TargetConnector(Target("db", 22), TargetRule(), resolve=resolve)
    with pytest.raises(StreamRefused, match="audit"):
        await connector(encode(StreamMeta("", 22, turned_away=1, uid=7)), asyncio.Protocol)
