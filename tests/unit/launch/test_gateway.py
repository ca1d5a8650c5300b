from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest

from commander.crypto.aead import new_key
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import Conflict, InvalidInput
from commander.gateway.enrolment import save_config
from commander.ids import ApplicationUid, GatewayUid, new_uid
from commander.ksm.config import DeviceConfig, GatewayConfig, GatewayIdentity
from commander.ksm.keys import P256PrivateKey
from commander.launch import gateway
from commander.launch.gateway import check_directory, find_places, main
from commander.launch.gateway_program import describe_status, only_process


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own, no system configuration, and a program that runs nothing."""
    directory = tmp_path / "home"
    monkeypatch.setenv("COMMANDER_HOME", str(directory))
    monkeypatch.setattr(gateway, "SYSTEM_CONFIG", tmp_path / "none")
    monkeypatch.setattr(gateway, "protect_memory", lambda: None)
    hook, root = sys.excepthook, logging.getLogger()
    level = root.level
    yield directory
    for handler in root.handlers[:]:
        if isinstance(handler, RotatingFileHandler):
            root.removeHandler(handler)
            handler.close()
    sys.excepthook = hook
    root.setLevel(level)


def make_config() -> GatewayConfig:
    """A configuration of a gateway that no server knows."""
    ksm = P256PrivateKey.generate()
    return GatewayConfig(
        DeviceConfig("127.0.0.1:1", bytes(64), 21, ksm.public, ksm, new_key()),
        GatewayIdentity(
            GatewayUid(new_uid()), ApplicationUid(new_uid()), SigningKey.generate(),
            BoxPrivateKey.generate(), BoxPrivateKey.generate().public, bytes(32), "",
        ),
    )  # fmt: skip


def started_with(monkeypatch: pytest.MonkeyPatch) -> list[GatewayConfig]:
    """Configurations that the program would have run."""
    found: list[GatewayConfig] = []

    async def run(config: GatewayConfig, **options: object) -> None:
        found.append(config)

    monkeypatch.setattr(gateway, "run_gateway", run)
    return found


def test_places_belong_to_the_configuration(tmp_path: Path) -> None:
    """A given file, the user's, or the system's; each with a state directory of its own."""
    system = tmp_path / "etc" / "gateway-config.json"
    given = find_places({"HOME": "/home/u"}, "/srv/one.json", system=system)
    own = find_places({"HOME": "/home/u"}, "", system=system)
    system.parent.mkdir()
    system.touch()
    shared = find_places({"HOME": "/home/u"}, "", system=system)

    assert (given.config, given.state) == (Path("/srv/one.json"), Path("/srv/one.state"))
    assert own.config == Path("/home/u/.commander/gateway-config.json")
    assert shared.config == system
    assert shared.logs == Path("/var/log/commander-gateway")


def test_without_configuration_it_says_how_to_enrol(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and the words to type."""
    assert main(["start"]) == 2

    assert "--join-file" in capsys.readouterr().err


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
def test_a_readable_configuration_is_refused_with_its_repair(
    home: Path, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    """The exact command that repairs it is printed."""
    path = home / "gateway-config.json"
    save_config(path, make_config())
    path.chmod(mode)

    assert main(["start"]) == 2

    assert f"chmod 600 {path}" in capsys.readouterr().err


def test_a_directory_that_others_write_is_refused(tmp_path: Path) -> None:
    """Whoever can write the directory can swap the file."""
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o777)

    with pytest.raises(InvalidInput) as caught:
        check_directory(directory / "gateway-config.json")

    assert caught.value.hint == f"chmod go-w {directory}"
    directory.chmod(0o755)
    check_directory(directory / "gateway-config.json")


@pytest.mark.parametrize("content", ["", "{", "{}", '{"hostname": 1}', "A" * 200_000, "\x00"])
def test_a_damaged_configuration_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """One line, no traceback, the file stays as it was."""
    path = home / "gateway-config.json"
    save_config(path, make_config())
    path.write_text(content)

    assert main(["start"]) == 2

    assert capsys.readouterr().err.startswith("error: ")
    assert path.read_text() == content


def test_a_configuration_in_the_environment_is_used_and_dropped(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """GATEWAY_CONFIG takes JSON or base64, is not saved, and not handed on to children."""
    config = make_config()
    found = started_with(monkeypatch)

    for text in (config.to_json(), config.to_base64()):
        monkeypatch.setenv("GATEWAY_CONFIG", text)
        assert main(["start"]) == 0
        assert "GATEWAY_CONFIG" not in os.environ

    assert [one.identity.gateway for one in found] == [config.identity.gateway] * 2
    assert not (home / "gateway-config.json").exists()


def test_an_enrolled_gateway_ignores_a_join_string(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Starting again with the same words goes on with the saved configuration."""
    save_config(home / "gateway-config.json", make_config())
    found = started_with(monkeypatch)

    assert main(["start", "--join-file", "/nowhere"]) == 0

    assert len(found) == 1
    assert "not used" in capsys.readouterr().err


def test_a_join_string_in_the_arguments_warns(capsys: pytest.CaptureFixture[str]) -> None:
    """It works, but others can read it; the string itself is not repeated."""
    assert main(["start", "--join", "join1.AAAA"]) == 2

    told = capsys.readouterr().err
    assert "warning: other users" in told
    assert "AAAA" not in told


def test_a_join_string_comes_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--join -` reads it there, without a warning."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("join1.AAAA\n"))

    assert main(["start", "--join", "-"]) == 2

    told = capsys.readouterr().err
    assert "damaged" in told
    assert "warning" not in told


def test_a_readable_join_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file with a secret has to be private."""
    path = tmp_path / "join.txt"
    path.write_text("join1.AAAA")
    path.chmod(0o644)

    assert main(["start", "--join-file", str(path)]) == 2

    assert f"chmod 600 {path}" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["nonsense", "10.0.0.1/8", "10.0.0.0/8:99999"])
def test_a_bad_allowance_ends_it(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is opened."""
    assert main(["start", "--allow-target", text]) == 2

    assert text in capsys.readouterr().err


def test_one_process_per_configuration(tmp_path: Path) -> None:
    """The second one is told, and after the first ended the next may start."""
    state = tmp_path / "state"
    with only_process(state), pytest.raises(Conflict), only_process(state):
        pass

    with only_process(state):
        pass


def test_status_tells_stopped(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A gateway that does not run: state stopped, exit code 6."""
    config = make_config()
    save_config(home / "gateway-config.json", config)

    assert main(["status", "--format", "json"]) == 6

    told = json.loads(capsys.readouterr().out)
    assert (told["gateway"], told["state"]) == (config.identity.gateway, "stopped")


def test_status_tells_what_the_process_wrote(tmp_path: Path) -> None:
    """While a process holds the state its own word counts, afterwards it does not."""
    config, state = make_config(), tmp_path / "state"
    with only_process(state):
        file = state / "status.json"
        file.touch(mode=0o600)
        file.write_text('{"state": "online", "tunnels": 3}')
        found = describe_status(config, state)
        assert (found["state"], found["tunnels"]) == ("online", 3)
        file.write_text("{")
        assert describe_status(config, state)["state"] == "offline"

    assert describe_status(config, state)["state"] == "stopped"


def test_logs_are_private(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log file is 0600 in a 0700 directory, whatever the umask."""
    save_config(home / "gateway-config.json", make_config())
    started_with(monkeypatch)

    assert main(["start"]) == 0

    log = home / "logs" / "gateway.log"
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.parent.stat().st_mode & 0o777 == 0o700


def test_python_without_assertions_is_refused() -> None:
    """`python -O` does not start."""
    done = subprocess.run(
        [sys.executable, "-O", "-m", "commander.launch.gateway", "status"],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode != 0
    assert "python -O" in done.stderr


def test_no_token_is_spent_on_a_configuration_that_cannot_be_saved(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The place is tried before the server is asked."""
    home.mkdir(mode=0o700)
    (home / "logs").mkdir(mode=0o700)
    monkeypatch.setattr(sys, "stdin", io.StringIO("join1.AAAA"))
    home.chmod(0o777)

    assert main(["start", "--join", "-"]) == 2

    told = capsys.readouterr().err
    assert f"chmod go-w {home}" in told
    assert "join string" not in told
