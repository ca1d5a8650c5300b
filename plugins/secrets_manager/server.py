"""`secrets-manager server`: what SDKs need to know of the server, and its certificate authority as a file."""

from __future__ import annotations

from pathlib import Path

from commander.errors import Conflict
from commander.files import write_private
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Document, Plain
from plugins.secrets_manager.clients import check_new_file
from plugins.secrets_manager.handover import server_lines
from plugins.secrets_manager.server_keys import server_info


async def show(context: Context, arguments: Arguments) -> Document:
    """Host name, key id and key; with --ca-output the authority that SDKs are to trust."""
    server = context.vault.login.device.server
    values: dict[str, Plain] = {**server_lines(server, await server_info(context))}
    values["own_authority"] = bool(server.ca)
    output = arguments.text_or_none("ca_output")
    if output is not None:
        if not server.ca:
            raise Conflict(
                f"{server.address} has a certificate of an authority that machines trust anyway",
                hint="SDKs need no file for it",
            )
        check_new_file(Path(output))
        write_private(Path(output), server.ca.encode())
        values["ca_file"] = output
    return Document(values)
