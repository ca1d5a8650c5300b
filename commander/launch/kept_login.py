"""Going on with a login of this machine; imported when the first command needs one."""

from __future__ import annotations

import os

from commander.api.bootstrap import open_transport
from commander.api.client import Api, Caller
from commander.errors import CommanderError
from commander.plugin.context import Context
from commander.shell.context import Session
from commander.vault.session import Vault
from commander.vault.store import Store
from commander.vault.unlock import check_login, resume_login


async def resume_session(context: Context) -> Session:
    """
    Unlock the kept login, verify what the server has new, and return vault and client.

    Raises NotLoggedIn with the reason when there is none, Unreachable, Tampered.
    """
    login = resume_login(context.paths, context.clock)
    device = login.device
    caller = Caller(device.device, login.session, device.signing_key())
    api = Api(
        open_transport(device.server, os.environ), device.server, clock=context.clock, caller=caller
    )
    store = Store(context.paths.cache_file, login.data_key, device.user)
    try:
        vault = await Vault.open(login, api, clock=context.clock, store=store)
    except CommanderError:
        await api.close()
        raise
    for problem in vault.problems:
        context.console.notice(f"the server gave something that does not verify: {problem}")
    return Session(vault, api)


def check_session(context: Context) -> None:
    """Note that the session is used. Raises NotLoggedIn when it was locked meanwhile."""
    check_login(context.paths, context.clock)
