from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.wire.pam import (
    MAX_PORT_PAIRS,
    SWITCHES,
    ConfigurationSettings,
    PortPair,
    ResourceSettings,
    TunnelSettings,
    parse_paths,
    parse_settings,
    serialize_settings,
)


def test_settings_round_trip() -> None:
    """Both kinds of settings are read as they were written, padded to 256 bytes."""
    for settings in (
        ResourceSettings(
            configuration="c", launch_credential="l", tunnel=TunnelSettings(enabled=True)
        ),
        ConfigurationSettings(gateway="g", tunneling="on", port_mappings=("2222=ssh",)),
    ):
        data = serialize_settings(settings)
        assert len(data) % 256 == 0
        assert parse_settings(data) == settings


def test_default_switches_mean_what_people_know() -> None:
    """Rotation is on unless switched off; everything else is off unless switched on."""
    settings = ConfigurationSettings(gateway="g")

    assert [name for name in SWITCHES if settings.is_on(name)] == ["rotation"]
    assert ConfigurationSettings(gateway="g", tunneling="on").is_on("tunneling")
    assert not ConfigurationSettings(gateway="g", rotation="off").is_on("rotation")


def test_linked_records_are_named() -> None:
    """Both credentials count, empty ones do not."""
    settings = ResourceSettings(administrative_credential="a", launch_credential="")

    assert settings.linked_records() == ("a",)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b'{"type":"other"}', b'{"type":"configuration"}',
     b'{"type":"configuration","gateway":"g","tunneling":"maybe"}',
     b'{"type":"resource","unknown":1}', b"x" * 50_000],
)  # fmt: skip
def test_malformed_settings_are_refused(data: bytes) -> None:
    """A gateway never guesses what settings mean."""
    with pytest.raises(InvalidInput):
        parse_settings(data)


@given(st.binary(max_size=300))
def test_any_bytes_give_only_documented_errors(data: bytes) -> None:
    """Hostile settings end in InvalidInput."""
    try:
        parse_settings(data)
    except InvalidInput:
        return


@pytest.mark.parametrize(
    ("text", "kinds"),
    [("relay", ("relay",)), ("relay,direct", ("direct", "relay")), ("turn,turn", ("turn",)),
     ("all", ()), ("", ())],
)  # fmt: skip
def test_kinds_of_path_are_read_in_one_order(text: str, kinds: tuple[str, ...]) -> None:
    """However they are named, the same rule is written; all is no rule."""
    assert parse_paths(text) == kinds


@pytest.mark.parametrize("text", ["pigeon", "relay,", "relay, direct", "RELAY", "all,relay"])
def test_an_unknown_kind_of_path_is_refused(text: str) -> None:
    """Nothing is guessed: a rule that is not what was meant would open or close a network."""
    with pytest.raises(InvalidInput, match="no kind of path"):
        parse_paths(text)


def test_port_pairs_are_bounded() -> None:
    """Sixteen pairs of real ports; without any the settings read as before."""
    pairs = tuple(PortPair(remote) for remote in range(1, MAX_PORT_PAIRS + 1))
    settings = ResourceSettings(tunnel=TunnelSettings(enabled=True, ports=pairs))

    read = parse_settings(serialize_settings(settings))

    assert read == settings
    assert settings.tunnel.further_ports() == frozenset(range(1, 17))
    assert b"ports" not in serialize_settings(ResourceSettings(tunnel=TunnelSettings(enabled=True)))
    for ports in ('[{"remote":0}]', '[{"remote":65536}]', '[{"remote":1,"local":-1}]', "[{}]"):
        with pytest.raises(InvalidInput):
            parse_settings(b'{"type":"resource","tunnel":{"ports":' + ports.encode() + b"}}")
    too_many = TunnelSettings(ports=(*pairs, PortPair(99)))
    with pytest.raises(InvalidInput):
        parse_settings(serialize_settings(ResourceSettings(tunnel=too_many)))
