"""`logout`, `login-status`, `whoami` and `sync-down`."""

from __future__ import annotations

from commander.crypto.encoding import to_base64url
from commander.errors import CommanderError, NotLoggedIn, Tampered
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Document, Done, Plain, Result, Shape, Unchanged
from commander.vault.device import read_device
from commander.vault.unlock import forget_login
from commander.wire import calls


async def logout(context: Context, arguments: Arguments) -> Result:
    """End the session on the server and forget it here, also when the server is away."""
    try:
        await context.require_login()
        await context.api.call(calls.LOGOUT, calls.Empty())
    except NotLoggedIn:
        forget_login(context.paths)
        await context.end_session()
        return Unchanged("you are not logged in")
    except CommanderError as error:
        context.console.notice(f"the server could not be told: {error.message}")
    forget_login(context.paths)
    await context.end_session()
    return Done("logged out; the vault on this machine is locked")


async def login_status(context: Context, arguments: Arguments) -> Result:
    """Say who is logged in. Raises NotLoggedIn."""
    await context.require_login()
    state = await context.api.call(calls.SESSION, calls.Empty())
    device = context.vault.login.device
    values: dict[str, Plain] = {
        "logged_in": True,
        "account": device.email,
        "server": device.server.address,
        "expires": state.expires,
    }
    text = f"logged in as {device.email} on {device.server.address}"
    return Document(values, text=text, shapes={"expires": Shape.TIME})


async def whoami(context: Context, arguments: Arguments) -> Result:
    """Account, device, server, roles and where the log is."""
    vault = context.vault
    await vault.refresh()
    device = read_device(context.paths.device_file)
    roles = [role.name for role in vault.state.roles_of(vault.user)]
    values: dict[str, Plain] = {
        "account": vault.email,
        "user_uid": vault.user,
        "administrator": vault.people.is_administrator(vault.user),
        "roles": sorted(roles),
        "device": device.name,
        "device_uid": device.device,
        "server": device.server.address,
        "server_uid": device.server.server,
        "enterprise_root": to_base64url(device.root),
        "log_position": vault.state.seq,
        "session_ends": vault.login.expires,
        "locks_after": device.idle_s,
    }
    shapes = {"session_ends": Shape.TIME, "locks_after": Shape.DURATION}
    return Document(values, shapes=shapes)


async def sync_down(context: Context, arguments: Arguments) -> Result:
    """Fetch and verify. Raises Tampered when something does not verify; older data stays."""
    vault = context.vault
    problems = await vault.sync(everything=arguments.flag("force"))
    if problems:
        for problem in problems:
            context.console.notice(f"does not verify: {problem}")
        raise Tampered(
            f"{len(problems)} things the server gave do not verify; what was there before is kept",
            hint="tell an administrator",
            code=problems[0].error.code,
        )
    view = vault.view
    data: dict[str, Plain] = {
        "records": len(view.records),
        "shared_folders": len(view.domains - {view.root}),
        "log_position": vault.state.seq,
    }
    return Done(f"{data['records']} records, {data['shared_folders']} shared folders", data)
