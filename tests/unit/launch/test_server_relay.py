from __future__ import annotations

import stat
from pathlib import Path

import pytest

from commander.errors import CommanderError, InvalidInput, NotFound, UsageError
from commander.launch.server_arguments import read_arguments
from commander.launch.server_relay import read_relays, relay_config

NAME = ("--public-name", "relay.example.org", "--relay-address", "203.0.113.7")


def configure(data: Path, *words: str) -> int:
    return relay_config(read_arguments(["relay-config", "--data", str(data), *NAME, *words], {}))


def test_configuration_and_secret_are_private_and_what_follows_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command writes what coturn needs; its output starts relay and server."""
    assert configure(tmp_path / "data") == 0

    relay = tmp_path / "data" / "relay"
    told = capsys.readouterr().out
    secret = (relay / "turn.secret").read_text().strip()
    for name in ("turnserver.conf", "turn.secret", "tls.key"):
        assert stat.S_IMODE((relay / name).stat().st_mode) == 0o600
    assert f"static-auth-secret={secret}\n" in (relay / "turnserver.conf").read_text()
    assert secret not in told
    assert f"turnserver -c {relay / 'turnserver.conf'}" in told


def test_the_server_reads_what_the_output_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The words it prints are the words that `start` understands."""
    configure(tmp_path / "data")
    told = capsys.readouterr().out.partition("commander-server start …")[2]
    words = told.replace("\\\n", " ").replace("'", "").split()

    relays = read_relays(read_arguments(["start", *words], {}))

    assert [str(url) for url in relays.urls] == [
        "stun:relay.example.org:3478",
        "turn:relay.example.org:3478",
        "turn:relay.example.org:3478?transport=tcp",
        "turns:relay.example.org:5349?transport=tcp",
    ]
    assert relays.secret is not None


def test_a_second_run_keeps_the_secret(tmp_path: Path) -> None:
    """Running relays and servers go on to agree when only the ports change."""
    configure(tmp_path / "data")
    first = (tmp_path / "data/relay/turn.secret").read_text()

    configure(tmp_path / "data", "--port", "3479")

    assert (tmp_path / "data/relay/turn.secret").read_text() == first
    assert "listening-port=3479" in (tmp_path / "data/relay/turnserver.conf").read_text()


def test_a_certificate_of_ones_own_is_used(tmp_path: Path) -> None:
    """Then none is made."""
    configure(tmp_path / "data", "--tls-cert", "/etc/relay.pem", "--tls-key", "/etc/relay.key")

    written = (tmp_path / "data/relay/turnserver.conf").read_text()
    assert "cert=/etc/relay.pem\npkey=/etc/relay.key\n" in written
    assert not (tmp_path / "data/relay/tls.key").exists()
    with pytest.raises(UsageError, match="belong together"):
        configure(tmp_path / "data", "--tls-cert", "/etc/relay.pem")


@pytest.mark.parametrize(
    "words",
    [
        ("--turn-url", "relay.example.org"),
        ("--turn-url", "turn:relay"),
        ("--turn-url", "stun:relay"),
        ("--stun-url", "turn:relay"),
        ("--turn-only",),
        ("--turn-url", "turn:relay", "--turn-secret-file", "SHORT"),
    ],
)
def test_relays_that_cannot_work_stop_the_start(words: tuple[str, ...], tmp_path: Path) -> None:
    """Whoever starts the server hears of it, not the first user."""
    short = tmp_path / "short"
    short.touch(0o600)
    given = [str(short) if word == "SHORT" else word for word in words]

    with pytest.raises(InvalidInput):
        read_relays(read_arguments(["start", *given], {}))


def test_a_secret_that_is_missing_or_public_is_refused(tmp_path: Path) -> None:
    """Everyone who reads it can use the relay."""
    words = ["start", "--turn-url", "turn:relay", "--turn-secret-file", str(tmp_path / "secret")]
    with pytest.raises(NotFound, match="is not there"):
        read_relays(read_arguments(words, {}))

    (tmp_path / "secret").write_text("0123456789abcdef")
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(CommanderError):
        read_relays(read_arguments(words, {}))


@pytest.mark.parametrize("words", [("--port", "0"), ("--relay-ports", "9"), ("--tls-port", "x")])
def test_ports_are_checked(words: tuple[str, ...]) -> None:
    """With a pointer to the help."""
    with pytest.raises(UsageError):
        read_arguments(["relay-config", *NAME, *words], {})
