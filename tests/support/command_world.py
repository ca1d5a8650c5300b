"""An administrator logged in on a `MemoryServer`, for tests that run commands."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from typing import Any

import msgspec

from commander.api.transport import HttpAnswer
from commander.clock import ManualClock
from commander.crypto.signing import SigningKey
from commander.ksm.keys import P256PrivateKey
from commander.plugin.results import Result
from commander.plugin.testing import FakeConsole, FakeContext, run_command
from commander.shell.output.machine import render_json
from commander.shell.output.render import shown_part
from commander.vault.session import Vault
from commander.wire.calls import ServerInfo
from commander.wire.proofs import sign_server_info
from plugins.secrets_manager.server_keys import ServerKeys
from tests.support.memory_server import MemoryServer
from tests.support.vaults import SERVER, first_vault, second_vault

KSM_KEY_ID = 30
KSM_KEY = P256PrivateKey.generate()


def server_info(key: SigningKey | None = None) -> ServerInfo:
    """The pinned server's description, signed by its key, or by another one."""
    signer = key or SigningKey(bytes(32))
    info = ServerInfo(
        SERVER.server, "1", "", signer.public.raw, SERVER.box_key, KSM_KEY_ID,
        KSM_KEY.public.raw, True, 0, b"",
    )  # fmt: skip
    return msgspec.structs.replace(info, signature=sign_server_info(signer, info))


class InfoTransport:
    """Gives a server's description and nothing else."""

    def __init__(self, info: ServerInfo) -> None:
        self._answer = HttpAnswer(200, msgspec.json.encode(info))

    async def get(self, path: str, *, timeout_s: float) -> HttpAnswer:
        """The description."""
        return self._answer

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> HttpAnswer:
        """Nothing is posted to it."""
        raise AssertionError(path)

    async def close(self) -> None:
        """Nothing to do."""


def server_keys(info: ServerInfo) -> ServerKeys:
    """What commands ask for the server's description."""

    def connect(address: str, context: ssl.SSLContext) -> InfoTransport:
        return InfoTransport(info)

    return ServerKeys(connect)


@dataclass
class World:
    """One user of a server; `run` types a line, `json` gives what scripts get of it."""

    clock: ManualClock
    server: MemoryServer
    vault: Vault
    context: FakeContext

    async def run(self, plugin: object, line: str, *answers: str) -> Result | None:
        """Run a line; `answers` are what the user types, none means no terminal."""
        self.context.console = FakeConsole(*answers)
        return await run_command(plugin, line, self.context)

    async def json(self, plugin: object, line: str, *answers: str) -> Any:
        """Run a line, and read what --format json prints."""
        shown = shown_part(await self.run(plugin, line, *answers))
        assert shown is not None
        return json.loads(render_json(shown))

    async def other(self, email: str) -> World:
        """Another user of the same server, invited and logged in, with no role."""
        vault = await second_vault(self.server, self.clock, self.vault, email)
        await self.vault.sync()
        return World(self.clock, self.server, vault, _context(vault, self.clock))


async def make_world() -> World:
    """An empty server's first administrator, ann@example.org."""
    clock = ManualClock()
    server = MemoryServer(clock)
    vault = await first_vault(server, clock)
    return World(clock, server, vault, _context(vault, clock))


def _context(vault: Vault, clock: ManualClock) -> FakeContext:
    context = FakeContext(open_vault=vault, clock=clock)
    context.shared(ServerKeys, lambda: server_keys(server_info()))
    return context
