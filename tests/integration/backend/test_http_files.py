"""Attachments over HTTP: streamed, whole or not at all, whatever stops them."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from commander.backend.storage.files import FileStore, Incoming
from commander.crypto.kdf import sha256
from tests.support.sdk_devices import RawDevice, SdkWorld, path_of
from tests.support.sdk_program import HEAD, TAIL, Program, prepare

pytestmark = pytest.mark.integration
PIECE = bytes(range(256)) * 256


@pytest.fixture
def program(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Program]:
    tmp_path.chmod(0o700)
    config, content = asyncio.run(prepare(tmp_path, getattr(request, "param", 3 * len(PIECE))))
    found = Program(tmp_path, config, content)
    yield found
    found.server.stop(signal.SIGKILL)


def test_killed_while_it_receives_a_file_it_serves_no_half(program: Program) -> None:
    """The restart sweeps; the same place takes the file; another kill -9 loses nothing."""
    url = program.call("add_file", **program.content)["url"]
    upload = program.begin(url, 3 * len(PIECE))
    upload.send(PIECE * 2)
    while not program.names():
        os.sched_yield()
    program.again()
    upload.close()
    assert program.names() == []
    assert program.file()["url"] is None

    with closing(program.begin(url, 3 * len(PIECE))) as upload:
        upload.send(PIECE * 3 + TAIL)
        answer = upload.getresponse()
        assert (answer.status, answer.getheader("connection")) == (201, "close")
        assert answer.read()
    program.again()
    with closing(program.connect()) as connection:
        connection.request("GET", path_of(program.file()["url"]))
        assert connection.getresponse().read() == PIECE * 3
    assert len(program.names()) == 1


@pytest.mark.parametrize("program", [100 * 1024 * 1024], indirect=True)
def test_large_file_needs_little_memory(program: Program) -> None:
    """100 MB up and down; the server's peak grows by less than 32 MB."""
    url = program.call("add_file", **program.content)["url"]
    pid, size = program.server.child.pid, program.content["fileSize"]
    before = peak_bytes(pid)
    digest = hashlib.sha256()
    with closing(program.begin(url, size)) as upload:
        for number in range(size // len(PIECE)):
            piece = number.to_bytes(4, "big") + PIECE[4:]
            digest.update(piece)
            upload.send(piece)
        upload.send(TAIL)
        assert upload.getresponse().status == 201
    found = hashlib.sha256()
    with closing(program.connect()) as connection:
        connection.request("GET", path_of(program.file()["url"]))
        answer = connection.getresponse()
        while piece := answer.read(1024 * 1024):
            found.update(piece)

    assert found.digest() == digest.digest()
    assert peak_bytes(pid) - before < 32 * 1024 * 1024


def peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no peak")


# --- odd clients ---------------------------------------------------------------------------------


@pytest.fixture
async def place(world: SdkWorld, device: RawDevice) -> AsyncIterator[str]:
    """Where 100 bytes may be put."""
    content = device.new_file((await device.newest())["revision"])
    _, answer = await device.call("add_file", **content)
    yield answer["url"]
    files = world.server.core.files.directory
    assert (
        not files.exists() or [path.name for path in files.iterdir() if path.name[0] == "."] == []
    )


async def post(
    world: SdkWorld, url: str, body: bytes, kind: str = "multipart/form-data; boundary=cut"
) -> int:
    client = world.server.http()
    try:
        response = await client.post(path_of(url), content=body, headers={"content-type": kind})
    finally:
        await client.aclose()
    return response.status_code


async def test_body_that_is_not_the_announced_file_is_refused(world: SdkWorld, place: str) -> None:
    """Shorter, longer, cut off, doubled, nothing; and the place is still good."""
    for body in (
        HEAD + bytes(99) + TAIL,
        HEAD + bytes(101) + TAIL,
        HEAD + bytes(100),
        HEAD + bytes(100) + TAIL[:-4],
        HEAD + bytes(100) + b"\r\n" + HEAD + bytes(100) + TAIL,
        b"",
        TAIL,
        bytes(200),
        HEAD + bytes(200 * 1024) + TAIL,
    ):
        assert (len(body), await post(world, place, body)) == (len(body), 400)
    assert await post(world, place, HEAD + bytes(100) + TAIL, "text/plain") == 400
    assert await post(world, place, HEAD + bytes(100) + TAIL) == 201


async def test_addresses_of_nothing_are_refused(world: SdkWorld, place: str) -> None:
    """Guessed, cut, of another method."""
    for url in (place[:-1], place + "A", place.rsplit("/", 1)[0] + "/x"):
        assert await post(world, url, HEAD + bytes(100) + TAIL) == 403
    client = world.server.http()
    response = await client.put(path_of(place), content=b"x")
    await client.aclose()
    assert response.status_code == 405


async def test_client_that_goes_away_leaves_nothing(world: SdkWorld, place: str) -> None:
    """A connection reset in the middle of an upload."""
    host, port = world.hostname.rsplit(":", 1)
    context = ssl.create_default_context(cafile=str(world.ca_file))
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    head = (
        f"POST {path_of(place)} HTTP/1.1\r\nhost: {world.hostname}\r\n"
        "content-type: multipart/form-data; boundary=cut\r\ncontent-length: 300\r\n\r\n"
    )
    writer.write(head.encode() + HEAD + bytes(10))
    await writer.drain()
    files = world.server.core.files.directory
    while not (files.exists() and any(files.iterdir())):
        await asyncio.sleep(0)
    raw: socket.socket = writer.get_extra_info("socket")
    assert raw.fileno() > 0
    writer.transport.abort()
    async with asyncio.timeout(30):
        while any(files.iterdir()):
            await asyncio.sleep(0)

    assert await post(world, place, HEAD + bytes(100) + TAIL) == 201


async def test_missing_file_is_named_and_not_half_served(world: SdkWorld, place: str) -> None:
    """A backup's store without its files."""
    assert await post(world, place, HEAD + bytes(100) + TAIL) == 201
    device = await world.device()
    url = (await device.newest())["files"][0]["url"]
    for path in world.server.core.files.directory.iterdir():
        path.write_bytes(bytes(99))

    client = world.server.http()
    response = await client.get(path_of(url))
    await client.aclose()

    assert (response.status_code, "missing" in response.text) == (404, True)
    assert sha256(b"") not in response.content


class FullDisk(FileStore):
    """A store whose disk takes no byte."""

    def receive(self, uid: str, size: int) -> Incoming:
        raise OSError(errno.ENOSPC, "no space left on device")

    def has_room(self, size: int) -> bool:
        return False


async def test_full_disk_is_told_and_nothing_is_half_there(
    world: SdkWorld, place: str, device: RawDevice
) -> None:
    """Uploads are to be tried again; new ones are not begun."""
    core = world.server.core
    honest, core.files = core.files, FullDisk(core.files.directory)

    assert await post(world, place, HEAD + bytes(100) + TAIL) == 503
    status, answer = await device.call("add_file", **device.new_file(2))

    assert (status, answer["error"]) == (500, "server_error")
    core.files = honest
    assert await post(world, place, HEAD + bytes(100) + TAIL) == 201
