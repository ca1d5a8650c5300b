"""The local port: who may bind where, who may connect, and what cannot stop it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from commander.errors import Conflict, InvalidInput, NotAllowed
from commander.tunnel import peer
from commander.tunnel.listener import FIRST_AUTO_PORT, ListenOn, LocalListener, bind
from commander.tunnel.peer import Peer, Program, ProgramFinder, identify
from tests.support.privilege import privileged
from tests.support.tunnels import eventually
from tests.support.waiting import DEADLINE_S

pytestmark = pytest.mark.integration

STRANGER_UID = 54321


class Seen:
    """Listener events, and the bytes that came through."""

    def __init__(self) -> None:
        self.refused: list[tuple[Peer, str]] = []
        self.paused: list[str] = []
        self.received = bytearray()
        self.connections: list[asyncio.Transport] = []

    def connection_refused(self, peer: Peer, reason: str) -> None:
        self.refused.append((peer, reason))

    def accept_paused(self, reason: str) -> None:
        self.paused.append(reason)

    def protocol(self, peer: Peer) -> asyncio.Protocol:
        return Echo(self)


class Echo(asyncio.Protocol):
    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.seen.connections.append(transport)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.seen.received += data
        self.transport.write(data)


def listener(where: ListenOn) -> tuple[LocalListener, Seen]:
    seen = Seen()
    return LocalListener(where, seen.protocol, seen), seen


async def ask(address: tuple[str, int], data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(data)
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.readexactly(len(data))
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.8.7", "::1", "localhost"])
async def test_connections_are_accepted_on_the_address_that_is_shown(host: str) -> None:
    """Any loopback address; nothing listens before `open` and after `close`."""
    listening, _ = listener(ListenOn(host))
    shown = listening.open()
    assert shown == listening.address
    assert shown[1] >= FIRST_AUTO_PORT
    assert await ask(shown, b"hello") == b"hello"

    listening.close()
    listening.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*shown)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "8.8.8.8"])
async def test_addresses_that_others_reach_need_to_be_allowed(host: str) -> None:
    """The control is loopback, above; a name is no address at all."""
    with pytest.raises(NotAllowed):
        listener(ListenOn(host))
    with pytest.raises(InvalidInput):
        listener(ListenOn("example.org"))


async def test_a_wildcard_address_works_once_allowed() -> None:
    """The owner's decision; then no owner check is possible."""
    listening, _ = listener(ListenOn("0.0.0.0", allow_remote=True))
    _, port = listening.open()
    assert await ask(("127.0.0.1", port), b"x") == b"x"
    listening.close()


@pytest.mark.parametrize("squatter", ["127.0.0.1", "0.0.0.0", "::1", "::"])
async def test_a_busy_fixed_port_is_a_conflict_that_names_it(squatter: str) -> None:
    """Also when the stranger holds it on another address of `localhost`; exit 7."""
    family = socket.AF_INET6 if ":" in squatter else socket.AF_INET
    with socket.socket(family) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((squatter, 0))
        held.listen()
        port = held.getsockname()[1]

        with pytest.raises(Conflict) as conflict:
            bind(ListenOn(port=port))
        assert str(port) in conflict.value.message
        assert conflict.value.exit_code == 7
        assert conflict.value.hint

        auto = bind(ListenOn(preferred=port))
        assert auto.getsockname()[1] != port
        auto.close()


def listen_too(other: socket.socket, address: tuple[str, int]) -> None:
    other.bind(address)
    other.listen()


async def test_nobody_can_share_our_port() -> None:
    """Neither SO_REUSEADDR nor SO_REUSEPORT lets a second program in."""
    with bind(ListenOn()) as ours, socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            listen_too(other, ours.getsockname())


async def test_yesterdays_port_is_used_again_at_once() -> None:
    """Connections in TIME_WAIT do not keep the port from coming back."""
    listening, seen = listener(ListenOn())
    address = listening.open()
    _, writer = await asyncio.open_connection(*address)
    await eventually(lambda: seen.connections, "the connection")
    seen.connections[0].close()  # the side that closes first keeps TIME_WAIT
    writer.close()
    await writer.wait_closed()
    listening.close()

    again, _ = listener(ListenOn(preferred=address[1]))
    assert again.open() == address
    again.close()


async def test_many_ports_are_found_without_trying_those_that_are_taken() -> None:
    """Each of a hundred tries a few, not all before it; a closed one's port is used again."""
    tried: list[int] = []
    is_watched = True

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if is_watched and event == "socket.bind":
            address = arguments[1]
            assert isinstance(address, tuple)
            tried.append(address[1])

    sys.addaudithook(note)
    # An address of our own: what other programs take and leave on 127.0.0.1 meanwhile is not counted.
    where = ListenOn(f"127.91.{os.getpid() // 256 % 256}.{os.getpid() % 254 + 1}")
    listening = [listener(where)[0] for _ in range(100)]
    ports = [one.open()[1] for one in listening]
    assert len(set(ports)) == 100
    assert len(tried) < 100 * 10
    listening[3].close()
    assert listening[3].open()[1] == ports[3]
    is_watched = False
    for one in listening:
        one.close()


def test_a_low_port_without_the_right_is_a_clear_error() -> None:
    """The message says what is missing and what to choose."""
    script = (
        "import os\n"
        "from commander.errors import NotAllowed\n"
        "from commander.tunnel.listener import ListenOn, bind\n"
        f"os.setuid({STRANGER_UID})\n"
        "try:\n    bind(ListenOn(port=81))\n"
        "except NotAllowed as error:\n    raise SystemExit(f'{error.message}|{error.hint}')\n"
    )
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as first:
        assert int(first.read()) > 81
    done = subprocess.run(
        privileged(sys.executable, "-c", script),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "port 81 needs a right" in done.stderr
    assert "1024" in done.stderr


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_numbers_that_are_no_ports_are_refused(port: int) -> None:
    """Before any socket is made."""
    with pytest.raises(InvalidInput):
        bind(ListenOn(port=port))
    with pytest.raises(InvalidInput):
        bind(ListenOn(preferred=port))


def test_an_address_of_another_machine_is_a_conflict() -> None:
    """Allowed or not, it cannot be bound here."""
    with pytest.raises(Conflict):
        bind(ListenOn("192.0.2.1", port=5000, allow_remote=True))
    with pytest.raises(Conflict):
        bind(ListenOn("192.0.2.1", allow_remote=True))


def connect_as_stranger(port: int) -> int:
    """Connect and send as another user; returns the exit code of that process."""
    script = (
        "import os, socket, encodings.idna\n"
        f"os.setuid({STRANGER_UID})\n"
        f"s = socket.create_connection(('127.0.0.1', {port}), timeout=30)\n"
        "try:\n    s.sendall(b'stolen'); raise SystemExit(len(s.recv(10)))\n"
        "except ConnectionError:\n    raise SystemExit(0)\n"
    )
    command = privileged(sys.executable, "-c", script)
    return subprocess.run(command, timeout=60, check=False).returncode


async def test_another_user_is_closed_before_a_byte_is_forwarded() -> None:
    """And reported, while our own connections go on."""
    listening, seen = listener(ListenOn())
    host, port = listening.open()
    code = await asyncio.get_running_loop().run_in_executor(None, connect_as_stranger, port)

    assert code == 0
    assert seen.received == b""
    assert [(refused.uid, reason) for refused, reason in seen.refused] == [
        (STRANGER_UID, "another user")
    ]
    assert await ask((host, port), b"ours") == b"ours"
    listening.close()


async def test_kernel_and_tables_agree_about_the_owner(tmp_path: Path) -> None:
    """Both ways to ask see our own connection, and the program behind it."""
    # The finder gives up early where many processes are newer than ours: here it sees no other.
    (tmp_path / str(os.getpid())).symlink_to(f"/proc/{os.getpid()}")
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        ours, theirs = server.getsockname(), client.getsockname()
        by_table = peer._read_tables(theirs, ours, Path("/proc"))
        assert by_table is not None
        assert by_table.uid == os.getuid()
        assert peer._ask_kernel(theirs, ours) == by_table
        assert identify(ours, theirs) == Peer(theirs, os.getuid(), by_table.inode)
        found = ProgramFinder(proc=tmp_path).find(identify(ours, theirs))
        assert found == Program(os.getpid(), Path("/proc/self/comm").read_text().strip())


async def test_many_questions_about_owners_need_one_descriptor() -> None:
    """The socket to the kernel is kept; a question is answered by its own answer only."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as clients:
        connect = partial(socket.create_connection, server.getsockname())
        connections = [clients.enter_context(connect()) for _ in range(20)]
        inodes = [os.fstat(connection.fileno()).st_ino for connection in connections]
        peer._ask_kernel(connections[0].getsockname(), server.getsockname())
        before = len(os.listdir("/proc/self/fd"))
        found = [identify(server.getsockname(), each.getsockname()) for each in connections]
        assert [each.inode for each in found] == inodes
        assert peer._ask_kernel(("127.0.0.1", 1), ("127.0.0.1", 1)) is None
        assert len(os.listdir("/proc/self/fd")) == before


async def test_a_connection_that_was_closed_already_is_not_forwarded() -> None:
    """Its owner can no longer be proved, so its bytes go nowhere."""
    listening, seen = listener(ListenOn())
    address = listening.open()
    with socket.create_connection(address) as hasty:
        hasty.sendall(b"fire and forget")
    await eventually(lambda: seen.refused, "the refusal")
    assert seen.refused[0][1] == "unknown owner"
    assert seen.received == b""
    listening.close()


async def test_running_out_of_descriptors_pauses_and_recovers() -> None:
    """No busy loop, no lost listener: the waiting connection is served later."""
    listening, seen = listener(ListenOn())
    address = listening.open()
    client = socket.socket()
    client.setblocking(False)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    fillers = [os.dup(client.fileno()) for _ in range(highest)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(fillers) + 1, limits[1]))
    try:
        await asyncio.get_running_loop().sock_connect(client, address)
        await eventually(lambda: len(seen.paused) >= 2, "two pauses")
        assert set(seen.paused) == {"EMFILE"}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for filler in fillers:
            os.close(filler)
    await eventually(lambda: seen.connections, "the connection")
    client.close()
    assert await ask(address, b"alive") == b"alive"
    listening.close()


async def test_a_failing_protocol_does_not_end_the_listener() -> None:
    """One bad connection is one bad connection."""
    failures = iter([Conflict("no stream for you")])
    seen = Seen()

    def make(peer: Peer) -> asyncio.Protocol:
        for failure in failures:
            raise failure
        return seen.protocol(peer)

    listening = LocalListener(ListenOn(), make, seen)
    address = listening.open()
    reader, writer = await asyncio.open_connection(*address)
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert await ask(address, b"next") == b"next"
    listening.close()


async def test_a_burst_of_connections_is_accepted() -> None:
    """More at once than are accepted in one turn of the loop."""
    listening, seen = listener(ListenOn())
    address = listening.open()
    await asyncio.gather(*(ask(address, b"%03d" % number) for number in range(300)))
    assert len(seen.received) == 900
    listening.close()
