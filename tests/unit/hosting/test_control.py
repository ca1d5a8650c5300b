from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from commander.errors import CommanderError, InvalidInput, NotFound, Unreachable
from commander.hosting.control import ControlServer, ask_host, list_others, other_hosts
from commander.hosting.model import Ask, Told
from tests.unit.hosting.test_model import info

PARENT = os.getppid()


async def answer(ask: Ask) -> Told:
    if ask.operation == "list":
        return Told((info("a" * 22),))
    raise NotFound(f"no tunnel {ask.tunnel}")


async def test_another_process_is_asked_for_its_tunnels(tmp_path: Path) -> None:
    """Listing asks every living process of the runtime directory."""
    runtime = tmp_path / "run"
    server = ControlServer(runtime / f"host-{PARENT}.sock", answer)
    await server.start()

    found = await list_others(runtime)
    await server.close()

    assert [tunnel.tunnel for tunnel in found] == ["a" * 22]
    assert await list_others(runtime) == []


async def test_errors_come_back_by_code(tmp_path: Path) -> None:
    """An error of the other process keeps its code; nonsense is answered with one."""
    path = tmp_path / "run" / f"host-{PARENT}.sock"
    server = ControlServer(path, answer)
    await server.start()

    assert (await ask_host(path, Ask("stop", "t"))).code == NotFound.default_code
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"nonsense\n")
    assert b'"code":"invalid"' in await reader.readline()
    writer.close()
    await server.close()
    await server.close()


async def test_sockets_of_dead_processes_are_removed(tmp_path: Path) -> None:
    """A crash leaves nothing that would be asked for ever; foreign names are left alone."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    dead, odd = runtime / "host-999999999.sock", runtime / "host-x.sock"
    dead.touch()
    odd.touch()

    assert other_hosts(runtime) == []
    assert other_hosts(tmp_path / "missing") == []
    assert not dead.exists()
    assert odd.exists()


async def test_a_silent_process_is_unreachable(tmp_path: Path) -> None:
    """A socket nobody listens on is named, not waited for."""
    path = tmp_path / f"host-{PARENT}.sock"
    path.touch()

    with pytest.raises(Unreachable):
        await ask_host(path, Ask("list"))
    assert await list_others(tmp_path) == []


async def test_a_public_directory_is_refused(tmp_path: Path) -> None:
    """Where others may enter, no control socket is opened."""
    tmp_path.chmod(0o755)
    server = ControlServer(tmp_path / "host-1.sock", answer)

    with pytest.raises(InvalidInput):
        await server.start()
    assert issubclass(InvalidInput, CommanderError)


async def test_a_long_directory_is_no_obstacle(tmp_path: Path) -> None:
    """The system's limit on socket names is not the user's problem."""
    runtime = tmp_path / ("x" * 120) / "run"
    server = ControlServer(runtime / f"host-{PARENT}.sock", answer)
    await server.start()

    assert [tunnel.tunnel for tunnel in await list_others(runtime)] == ["a" * 22]
    await server.close()
    assert list(runtime.iterdir()) == []
