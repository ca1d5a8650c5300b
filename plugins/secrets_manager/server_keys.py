"""The server's Secrets Manager key, which configurations carry and device.json does not keep."""

from __future__ import annotations

import os

from commander.api.bootstrap import Connect, connector, learn_server
from commander.errors import Tampered
from commander.plugin.context import Context
from commander.wire.calls import ServerInfo
from commander.wire.known_server import KnownServer


class ServerKeys:
    """Asks a pinned server for its description, once in a process; `connect` is for tests."""

    def __init__(self, connect: Connect | None = None) -> None:
        self._connect = connect or connector(os.environ)
        self._info: ServerInfo | None = None

    async def get(self, pinned: KnownServer) -> ServerInfo:
        """
        The description, signed by the pinned key.

        Raises Tampered for another server than the pinned one, Unreachable, InvalidInput.
        """
        if self._info is None:
            found, info = await learn_server(pinned.address, self._connect, ca=pinned.ca)
            if (found.server, found.sign_key, found.box_key) != (
                pinned.server, pinned.sign_key, pinned.box_key,
            ):  # fmt: skip
                raise Tampered(
                    f"{pinned.address} is not the server that this machine has pinned",
                    hint="do not use this server; tell an administrator",
                )
            self._info = info
        return self._info


async def server_info(context: Context) -> ServerInfo:
    """The description of this login's server; see `ServerKeys.get`."""
    return await context.shared(ServerKeys, ServerKeys).get(context.vault.login.device.server)
