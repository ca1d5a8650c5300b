"""Gate T18: another user of the same machine connects, squats, reads and plants; each with a control."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.setting import TARGET, Setting, fetch
from tests.support.privilege import privileged
from tests.support.waiting import free_port, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

STRANGER = 54321
_BECOME = f"import os, sys, socket, encodings.idna\nos.setgroups([])\nos.setgid({STRANGER})\nos.setuid({STRANGER})\n"


def as_stranger(script: str) -> subprocess.CompletedProcess[str]:
    """Run Python as another user; the interpreter starts before it becomes one."""
    return subprocess.run(
        privileged(sys.executable, "-c", _BECOME + script),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def open_parents(setting: Setting) -> Path:
    """Let others pass to the user's home, as on a machine with /home 0755: its own modes must do."""
    home = setting.ann.home.directory
    for parent in (home, *home.parents):
        if parent.stat().st_uid == os.getuid() and len(parent.parts) > 2:
            parent.chmod(parent.stat().st_mode | 0o011)
    setting.ann.home.work.chmod(0o755)
    return home


@pytest.fixture(autouse=True)
def nothing_left(setting: Setting) -> Iterator[None]:
    """No scenario leaves a tunnel to the next one."""
    yield
    setting.ann("pam", "tunnel", "stop", "--all")


def test_a_stranger_gets_nothing_through_the_local_port(setting: Setting) -> None:
    """Closed before a byte is forwarded, shown with the uid, in the log and in audit; our own go on."""
    _, port = setting.ann.start_tunnel(TARGET)
    script = (
        f"s = socket.create_connection(('127.0.0.1', {port}), timeout=30)\n"
        "try:\n    s.sendall(b'GET /hello?stolen HTTP/1.0\\r\\n\\r\\n'); print(len(s.recv(10)))\n"
        "except ConnectionError:\n    print(0)\n"
    )
    stolen = [as_stranger(script).stdout.strip() for _ in range(3)]

    assert stolen == ["0", "0", "0"]
    assert "stolen" not in setting.http.log
    assert fetch(port).stdout == "hello"
    until(lambda: "/hello" in setting.http.log, "the control in the target's log")
    shown = setting.ann.json("pam", "tunnel", "show", TARGET)
    assert (shown["refused"], shown["refused_uids"]) == (3, [STRANGER])
    assert shown["bytes_out"] > 0
    tail = setting.ann("pam", "tunnel", "tail", TARGET, "--no-follow")
    assert tail.count(f"refused uid={STRANGER}") == 3
    assert tail.count("accept stream=") == 1
    setting.ann("pam", "tunnel", "stop", TARGET)
    words = ("audit-log", "--record", TARGET, "--event", "stream-refused")
    events = until(lambda: setting.ann.json(*words), "the gateway's signed word of it")
    assert str(STRANGER) in json.dumps(events)
    assert "another-user" in json.dumps(events)
    setting.ann("audit", "verify")


def test_a_stranger_gets_nothing_through_sockets_and_files(
    setting: Setting, open_parents: Path
) -> None:
    """Unix and control sockets refuse; no file of the user can be read or its directory listed."""
    path = setting.ann.home.work / "wiki.sock"
    child = setting.ann.start("pam", "tunnel", "start", TARGET, "--unix", str(path))
    child.wait_for_line("Listening on:")
    controls = list(setting.ann.home.runtime.rglob("host-*.sock"))
    sockets = [str(one) for one in (path, *controls)]
    connect = (
        f"for path in {sockets!r}:\n"
        "    s = socket.socket(socket.AF_UNIX)\n"
        "    try:\n        s.connect(path); print('in', path)\n"
        "    except OSError as error:\n        print(error.errno)\n"
    )
    secret = [str(setting.ann.home.commander), str(setting.ann.home.runtime)]
    read = (
        "seen = []\n"
        f"for top in {secret!r}:\n"
        "    for folder, _, names in os.walk(top, onerror=lambda e: print(e.errno)):\n"
        "        seen += [n for n in names if os.access(os.path.join(folder, n), os.R_OK)]\n"
        "print(seen)\n"
    )

    assert controls
    assert set(as_stranger(connect).stdout.split()) == {"13"}
    files = as_stranger(read)
    assert files.stdout.splitlines()[-1] == "[]", files.stderr
    assert any(Path(secret[0]).rglob("*.json")), "the control: there was something to read"
    done = subprocess.run(
        ["curl", "-sS", "--unix-socket", str(path), "http://localhost/hello"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "hello"


def test_a_squatted_port_is_noticed(setting: Setting) -> None:
    """A stranger on yesterday's port gets nobody: another one is shown, and --port is exit 7."""
    port = free_port()
    first, _ = setting.ann.start_tunnel(TARGET, "--port", str(port))
    first.interrupt()
    first.wait()
    squat = _BECOME + (
        f"s = socket.create_server(('127.0.0.1', {port}))\nprint('there', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        privileged(sys.executable, "-c", squat),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as squatter:
        assert squatter.stdout is not None
        assert squatter.stdout.readline() == "there\n"
        strict = setting.ann.run("pam", "tunnel", "start", TARGET, "--port", str(port))
        _, other = setting.ann.start_tunnel(TARGET)
        assert squatter.stdin is not None
        squatter.stdin.close()
        squatter.wait(timeout=60)

    assert strict.returncode == 7
    assert f"port {port} on 127.0.0.1 is in use" in strict.stderr
    assert other != port
    assert fetch(other).stdout == "hello"


@pytest.mark.parametrize("planted", ["directory", "link"])
def test_a_planted_runtime_directory_is_refused(
    setting: Setting, open_parents: Path, tmp_path: Path, planted: str
) -> None:
    """A directory or link that a stranger made first, where anybody may write, is never used."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and len(parent.parts) > 2:
            parent.chmod(parent.stat().st_mode | 0o011)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    theirs = shared / "theirs"
    place = shared / "commander"
    plant = f"os.mkdir({str(theirs)!r}, 0o777)\n"
    plant += (
        f"os.symlink({str(theirs)!r}, {str(place)!r})\n"
        if planted == "link"
        else f"os.rename({str(theirs)!r}, {str(place)!r})\n"
    )
    assert as_stranger(plant).returncode == 0

    planted_there = {"COMMANDER_RUNTIME": str(place)}
    password = setting.ann.home.work / "password.txt"
    login = setting.ann.run(
        "login", setting.ann.email, "--password-file", password, environment=planted_there
    )
    start = setting.ann.run(
        "pam", "tunnel", "start", TARGET, "--run", "true", environment=planted_there
    )

    assert "not a directory of this user" in login.stderr
    assert login.returncode != 0
    assert start.returncode != 0
    assert list(place.iterdir()) == []


def test_a_planted_socket_is_left_alone(setting: Setting, tmp_path: Path) -> None:
    """--unix in a directory for all: what a stranger put there first is exit 7, and stays."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and len(parent.parts) > 2:
            parent.chmod(parent.stat().st_mode | 0o011)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    path = shared / "x.sock"
    assert as_stranger(f"socket.socket(socket.AF_UNIX).bind({str(path)!r})\n").returncode == 0

    done = setting.ann.run("pam", "tunnel", "start", TARGET, "--unix", path)

    assert done.returncode == 7
    assert "another user" in done.stderr
    assert path.lstat().st_uid == STRANGER
    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind(str(shared / "ours.sock"))
