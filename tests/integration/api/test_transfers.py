"""Transfers against a server that answers what a test wants."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commander.api.http import HttpTransport
from commander.api.transfers import Transfers
from commander.authority.statements import Right
from commander.errors import CommanderError, Refused, Unreachable
from tests.support.backend_server import running
from tests.support.sdk_devices import build_world

pytestmark = pytest.mark.integration
PLACE = "/api/rest/sm/v1/files/"


async def pieces() -> AsyncIterator[bytes]:
    yield b"x" * 100


@pytest.fixture
async def transfers(tmp_path: Path) -> AsyncIterator[Transfers]:
    """To a real server, where nobody has given out any place."""
    tmp_path.chmod(0o700)
    async with running(tmp_path) as server:
        owner = await server.set_up()
        await build_world(server, owner, tmp_path, rights=(Right.VIEW,))
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        transport = HttpTransport(server.known.address, context)
        yield Transfers(transport)
        await transport.close()


async def test_a_place_nobody_gave_is_refused_with_the_servers_word(transfers: Transfers) -> None:
    """Both ways; what the server says is cut to a line."""
    with pytest.raises(Refused, match=r"the server refuses the transfer: .*not valid"):
        await transfers.upload(f"{PLACE}made-up", pieces(), size=100)
    with pytest.raises(Refused):
        async for _ in transfers.download(f"{PLACE}made-up", size=100):
            pass


async def test_other_answers_are_failures(transfers: Transfers) -> None:
    """A page that is none of the device API's, and a body longer than was said."""
    with pytest.raises(CommanderError):
        async for _ in transfers.download("/api/v1/info", size=3):
            pass
    with pytest.raises(CommanderError):
        await transfers.upload("/api/v1/info", pieces(), size=100)


async def test_no_server_is_unreachable() -> None:
    """Said as everywhere."""
    transport = HttpTransport("127.0.0.1:1", ssl.create_default_context())

    with pytest.raises(Unreachable):
        await Transfers(transport).upload(f"{PLACE}x", pieces(), size=100)

    await transport.close()
