"""Disks that are full, clocks that are wrong, certificates and configurations that were exchanged."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.target import ECHO
from tests.chaos.world import RECORD, Stream, World, check_echo
from tests.support.loop_thread import LoopThread
from tests.support.privilege import as_user, privileged
from tests.support.processes import Home, program
from tests.support.product import FOLDER, PASSWORD, User
from tests.support.servers.http_proxy import HttpProxy
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("bad-days")) as world:
        yield world


@contextlib.contextmanager
def small_disk(directory: Path, size: str) -> Iterator[None]:
    """A file system of its own over a directory, with the directory's content, for the block."""
    kept = directory.with_name(f"{directory.name}.kept")
    directory.rename(kept)
    directory.mkdir(mode=0o700)
    mount = f"size={size},mode=0700,uid={os.geteuid()},gid={os.getegid()}"
    subprocess.run(
        privileged("mount", "-t", "tmpfs", "-o", mount, "tmpfs", str(directory)), check=True
    )
    try:
        shutil.copytree(kept, directory, dirs_exist_ok=True)
        yield
        shutil.copytree(directory, kept, dirs_exist_ok=True)
    finally:
        subprocess.run(privileged("umount", "-l", str(directory)), check=True)
        directory.rmdir()
        kept.rename(directory)


@contextlib.contextmanager
def full(directory: Path) -> Iterator[None]:
    """No byte is free on the directory's file system during the block."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()


def add(user: User, title: str) -> subprocess.CompletedProcess[str]:
    return user.run("record-add", "-t", title, "-rt", "login", "--folder", FOLDER)


def test_a_full_disk_of_the_client_costs_no_command(world: World) -> None:
    """The local copy is a convenience: reading, writing and tunnels go on, and it is said."""
    user = world.user
    user.run("ls")
    with small_disk(user.home.commander, "2m"), full(user.home.commander):
        added, listed = add(user, "On a full disk"), user.run("ls", FOLDER)
        check_echo(world)

    assert added.returncode == 0, added.stderr
    assert "No space left" in added.stderr
    assert "On a full disk" in listed.stdout
    assert "On a full disk" in user("ls", FOLDER)


def test_a_full_disk_of_the_server_refuses_and_recovers(world: World) -> None:
    """What cannot be stored is not acknowledged; with space it goes on without a restart."""
    user, product = world.user, world.product
    world.server.stop()
    with small_disk(product.data, "16m"):
        product.start_server()
        with full(product.data):
            until(lambda: add(user, "Not stored").returncode != 0, "the disk is full")
            refused = add(user, "Not stored")
            still = user.run("ls", FOLDER)
        until(lambda: add(user, "Stored").returncode == 0, "space is used again")
        world.server.stop()
    product.start_server()

    assert refused.returncode == 6, refused.stderr
    assert "the database cannot be used now" in refused.stderr
    assert still.returncode == 0, still.stderr
    assert "Stored" in user("ls", FOLDER)
    until(world.gateway_is_online, "the gateway is back")


def test_a_full_disk_of_the_gateway_opens_no_tunnel(world: World) -> None:
    """Without an audit event there is no tunnel, and the user is told why."""
    start = ("pam", "tunnel", "start", RECORD, "--run", "true")
    state = world.product.directory / "gateway" / ".commander" / "gateway-config.state"
    world.gateway.stop()
    with small_disk(state, "64k"):
        world.product.start_gateway()
        with full(state):
            # The last page of the audit file still takes some events.
            until(lambda: world.user.run(*start).returncode, "the disk is full")
            refused = world.user.run(*start)
        allowed = world.user.run(*start)
        world.gateway.stop()
    world.product.start_gateway()

    assert refused.returncode == 4, refused.stderr
    assert "the gateway cannot write its" in refused.stderr
    assert allowed.returncode == 0, allowed.stderr


def test_a_read_only_home_is_named(world: World) -> None:
    """Commands that only read go on; one that must write says which file, not a trace."""
    password = world.user.secret_file("password.txt", PASSWORD)
    home = world.user.home.commander
    mount = privileged("mount", "--bind", "-o", "ro", str(home), str(home))
    subprocess.run(mount, check=True)
    try:
        listed = world.user.run("ls", FOLDER)
        refused = world.user.run("login", "--password-file", password)
    finally:
        subprocess.run(privileged("umount", "-l", str(home)), check=True)

    assert listed.returncode == 0, listed.stderr
    assert refused.returncode == 1, refused.stderr
    assert "Read-only file system" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert world.user.run("ls").returncode == 0


@pytest.mark.parametrize("offset", ["+10m", "-10m"])
def test_a_wrong_clock_is_named_with_both_times(world: World, offset: str) -> None:
    """A client ten minutes off is refused with its time and the server's."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    skewed = {
        "LD_PRELOAD": str(library), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip

    found = world.user.run("ls", FOLDER, environment=skewed)

    # Going back could prolong an unlocked login without end, so it locks.
    assert found.returncode == (5 if offset.startswith("-") else 4), found.stderr
    assert "clock" in found.stderr, found.stderr
    assert len(re.findall(r"\d\d:\d\d:\d\dZ", found.stderr)) == 2, found.stderr
    password = world.user.secret_file("password.txt", PASSWORD)
    world.user("login", "--password-file", password)
    world.user("ls")


def test_another_certificate_of_the_server_is_refused(world: World) -> None:
    """A server with another CA is not talked to; the right one works again."""
    data = world.product.data
    kept = {path: path.read_bytes() for path in (*data.glob("ca.*"), *data.glob("tls.*"))}
    world.server.stop()
    for path in kept:
        path.unlink()
    world.product.start_server()
    refused = add(world.user, "Never")
    world.server.stop()
    for path, content in kept.items():
        path.write_bytes(content)
    world.product.start_server()

    assert refused.returncode == 6, refused.stderr
    assert "certificate" in refused.stderr
    assert world.user.run("ls").returncode == 0
    until(world.gateway_is_online, "the gateway is back")


def test_a_proxy_carries_all_and_its_refusals_are_named(
    world: World, server_loop: LoopThread
) -> None:
    """Through HTTPS_PROXY a tunnel works and comes back; a proxy that refuses or goes is named."""
    proxy = HttpProxy()
    server_loop.run(proxy.start())
    environment = {"HTTPS_PROXY": proxy.url, "NO_PROXY": ""}
    start = ("pam", "tunnel", "start", RECORD, "--new", "--path", "relay")
    try:
        tunnel = world.user.start(*start, environment=environment)
        port = int(tunnel.wait_for_line(r"Listening on: \S*?:(\d+)\b")[1])
        stream = Stream(port, ECHO)
        assert stream.is_going.wait(30), stream.cause
        proxy.drop_connections()
        tunnel.wait_for_line("is back after")
        stream.is_going.clear()
        assert stream.is_going.wait(30), stream.cause
        tunnel.interrupt()
        status = tunnel.wait()
        proxy.refuse = True
        refused = world.user.run(*start, environment=environment)
    finally:
        server_loop.run(proxy.close())
    gone = world.user.run(*start, environment=environment)

    assert proxy.connects
    assert status == 130, tunnel.output
    for failed in (refused, gone):
        assert failed.returncode == 6, failed.stderr
        assert "proxy" in failed.stderr.lower(), failed.stderr


@pytest.mark.parametrize("form", ["readable", "link", "pipe", "directory", "foreign"])
def test_a_gateway_configuration_others_may_touch_is_refused(
    world: World, form: str, tmp_path: Path
) -> None:
    """It does not start, and prints the command that repairs it."""
    whole = world.product.directory / "gateway" / ".commander" / "gateway-config.json"
    config = tmp_path / "gw.json"
    shutil.copy(whole, tmp_path / "other.json")
    if form == "link":
        config.symlink_to(tmp_path / "other.json")
    elif form == "pipe":
        os.mkfifo(config, 0o600)
    elif form == "directory":
        config.mkdir()
    else:
        shutil.copy(whole, config)
        config.chmod(0o644 if form == "readable" else 0o600)
    if form == "foreign":
        subprocess.run(privileged("chown", "65534", str(config)), check=True)

    found = world.product.family.run(
        ["gateway", "start", "--config-file", config], Home(tmp_path / "home"), deadline_s=30
    )

    assert found.returncode == 2, found.stderr
    assert "hint: " in found.stderr
    assert str(config) in found.stderr


def test_ports_that_cannot_be_had_are_named(world: World) -> None:
    """A taken port is a conflict, a low one without the right is not allowed."""
    start = ("pam", "tunnel", "start", RECORD, "--new", "--run", "true", "--port")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        conflict = world.user.run(*start, str(taken.getsockname()[1]))
    bare = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"]
    words = [*(bare if os.geteuid() == 0 else []), "commander", *start, "443"]
    low = world.product.family.run(_ours(words), world.user.home)

    assert conflict.returncode == 7, conflict.stderr
    assert low.returncode == 4, low.stderr
    assert "443" in low.stderr


def _ours(words: list[str]) -> list[str]:
    at = words.index("commander")
    return [*words[:at], *program(words[at:])]


def test_connections_of_another_user_are_closed(world: World) -> None:
    """Not a byte of another uid is forwarded; it is in the log; one's own goes on."""
    tunnel, port = world.user.start_tunnel(RECORD, "--new")
    own = Stream(port, ECHO)
    assert own.is_going.wait(30), own.cause
    before = world.target.connections
    script = f"exec 3<>/dev/tcp/127.0.0.1/{port}; printf Ehello >&3; head -c 1 <&3 | wc -c"

    other = subprocess.run(
        as_user("65534", "bash", "-c", script), capture_output=True, text=True, timeout=60
    )

    assert other.stdout.strip() in ("0", ""), other
    assert world.target.connections == before
    [row] = world.user.json("pam", "tunnel", "list")
    logged = world.user("pam", "tunnel", "tail", row["tunnel_id"], "--no-follow")
    assert "refused uid=65534" in logged
    own.leave()
    tunnel.interrupt()
    assert tunnel.wait() == 130


def test_a_host_short_of_descriptors_pauses_and_recovers(world: World) -> None:
    """With 80 descriptors a hundred connections do not end the tunnel nor spin; later ones work."""
    limited = ["bash", "-c", 'ulimit -n 80; exec "$@"', "sh"]
    tunnel = world.product.family.start(
        "limited", [*limited, *_ours(["commander", "pam", "tunnel", "start", RECORD, "--new"])],
        world.user.home,
    )  # fmt: skip
    port = int(tunnel.wait_for_line(r"Listening on: \S*?:(\d+)\b")[1])
    crowd = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(100)]
    [row] = world.user.json("pam", "tunnel", "list")
    until(lambda: "accept-paused" in _log_of(world, row["tunnel_id"]), "the listener pauses")
    log, spent = _log_of(world, row["tunnel_id"]), _cpu_seconds(tunnel.pid)
    for connection in crowd:
        connection.close()
    again = Stream(port, ECHO)

    assert again.is_going.wait(30), (again.cause, tunnel.output)
    assert "refused" not in log
    assert _cpu_seconds(tunnel.pid) - spent < 5
    again.leave()
    tunnel.interrupt()
    assert tunnel.wait() == 130


def _log_of(world: World, tunnel: str) -> str:
    return world.user("pam", "tunnel", "tail", tunnel, "--no-follow", "--lines", "1000")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
