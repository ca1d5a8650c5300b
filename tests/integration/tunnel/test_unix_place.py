"""A Unix socket as local end: private, never in another's place, never left behind."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from commander.errors import Conflict, InvalidInput
from commander.tunnel.listener import LocalListener
from commander.tunnel.unix_place import MAX_PATH_BYTES, UnixPlace
from tests.integration.tunnel.test_listener import STRANGER_UID, Seen
from tests.support.privilege import privileged
from tests.support.tunnels import eventually

pytestmark = pytest.mark.integration


def listener(path: Path) -> tuple[LocalListener, Seen]:
    seen = Seen()
    return LocalListener(UnixPlace(path), seen.protocol, seen), seen


async def ask(path: Path, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    answer = await reader.readexactly(len(data))
    writer.close()
    await writer.wait_closed()
    return answer


async def test_it_listens_privately_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """0600 while it is there; closing removes it, and closing twice is one close."""
    path = tmp_path / "orders.sock"
    listening, _ = listener(path)

    assert listening.open() == (str(path), 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await ask(path, b"hello") == b"hello"

    listening.close()
    listening.close()
    assert not path.exists()


def test_a_path_that_no_program_could_name_is_refused(tmp_path: Path) -> None:
    """The limit of sockaddr_un, told before anything is made."""
    path = tmp_path / ("x" * (MAX_PATH_BYTES - len(os.fsencode(tmp_path))))
    with pytest.raises(InvalidInput, match=str(MAX_PATH_BYTES)):
        UnixPlace(path).bind()
    longest = UnixPlace(Path(str(path)[:-1]))
    longest.bind().close()
    longest.release()


def test_a_socket_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    """What kill -9 left behind is no reason to choose another path."""
    path = tmp_path / "orders.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    place = UnixPlace(path)
    with place.bind():
        assert path.is_socket()
    place.release()
    assert not path.exists()


def test_a_socket_in_use_is_a_conflict_and_stays(tmp_path: Path) -> None:
    """The other program goes on, undisturbed."""
    path = tmp_path / "orders.sock"
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as client:
        other.bind(str(path))
        other.listen()
        with pytest.raises(Conflict, match="in use") as conflict:
            UnixPlace(path).bind()
        assert conflict.value.exit_code == 7
        other.settimeout(5)
        client.connect(str(path))
        other.accept()[0].close()


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_nothing_but_a_socket_is_replaced(tmp_path: Path, kind: str) -> None:
    """A file, and what a planted link points at, keep their content."""
    path, kept = tmp_path / "orders.sock", tmp_path / "kept"
    kept.write_text("precious")
    if kind == "file":
        path.write_text("precious")
    elif kind == "link":
        path.symlink_to(kept)
    else:
        path.mkdir()

    with pytest.raises(Conflict, match="no socket"):
        UnixPlace(path).bind()
    assert os.path.lexists(path)
    assert kept.read_text() == "precious"


def test_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """Whoever can write there could put a socket of their own in the place of ours."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(InvalidInput, match="other users"):
        UnixPlace(shared / "x.sock").bind()
    with pytest.raises(InvalidInput, match="cannot be used"):
        UnixPlace(tmp_path / "none" / "x.sock").bind()
    shared.chmod(0o1777)
    place = UnixPlace(shared / "x.sock")
    place.bind().close()
    place.release()


def test_a_socket_of_another_user_is_left_alone(tmp_path: Path) -> None:
    """In a directory for all, as /tmp: planted first, it is a conflict and not removed."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    path = shared / "x.sock"
    script = (
        "import os, socket\n"
        f"os.setuid({STRANGER_UID})\n"
        f"socket.socket(socket.AF_UNIX).bind({str(path)!r})\n"
    )
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and len(parent.parts) > 2:
            parent.chmod(parent.stat().st_mode | 0o011)
    subprocess.run(privileged(sys.executable, "-c", script), check=True, timeout=60)
    if os.getuid() != STRANGER_UID:
        with pytest.raises(Conflict, match="another user"):
            UnixPlace(path).bind()
        assert path.is_socket()


async def test_another_user_is_closed_before_a_byte_is_forwarded(tmp_path: Path) -> None:
    """Also root, whom no mode keeps out, and also when the mode was loosened by hand."""
    open_to_all = tmp_path
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and len(parent.parts) > 2:
            parent.chmod(parent.stat().st_mode | 0o011)
    path = open_to_all / "orders.sock"
    listening, seen = listener(path)
    listening.open()
    path.chmod(0o666)
    script = (
        "import os, socket\n"
        f"os.setuid({STRANGER_UID})\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(30)\n"
        f"s.connect({str(path)!r})\n"
        "try:\n    s.sendall(b'stolen'); raise SystemExit(len(s.recv(10)))\n"
        "except ConnectionError:\n    raise SystemExit(0)\n"
    )

    stranger = await asyncio.create_subprocess_exec(*privileged(sys.executable, "-c", script))
    code = await stranger.wait()

    assert code == 0
    await eventually(lambda: seen.refused, "the refusal")
    assert [(peer.uid, reason) for peer, reason in seen.refused] == [(STRANGER_UID, "another user")]
    assert seen.refused[0][0].pid == stranger.pid
    assert seen.received == b""
    assert await ask(path, b"ours") == b"ours"
    listening.close()


async def test_a_socket_that_was_exchanged_is_not_removed(tmp_path: Path) -> None:
    """At the end only what we made goes."""
    path = tmp_path / "orders.sock"
    listening, _ = listener(path)
    listening.open()
    path.unlink()
    path.write_text("somebody else's")

    listening.close()

    assert path.read_text() == "somebody else's"
