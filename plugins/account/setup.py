"""`setup`: from an empty server to an account, a vault and a gateway that can be started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from commander.api.client import Api
from commander.api.transport import NotSent
from commander.authority.email import normal_email
from commander.errors import CommanderError, Conflict, NotLoggedIn, Unreachable
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Document, Plain, Result, Unchanged
from commander.vault.device import DeviceFile, new_device, read_device, write_device
from commander.vault.enrolment import first_commit, new_candidate, root_of
from commander.vault.session import Vault
from commander.wire import calls
from commander.wire.join import Join, write_join
from plugins.account.joining import (
    begin_session,
    ca_fingerprint,
    caller_of,
    check_new_file,
    learn_joined,
    machine_name,
    open_api,
    read_join_argument,
    store_of,
    write_new_file,
)
from plugins.account.kit import Kit, make_kit
from plugins.account.passwords import read_new_password

NAME = "Infrastructure"


@dataclass(frozen=True)
class FirstGateway:
    """What the first gateway is started with."""

    join: str
    expires: int

    @property
    def command(self) -> str:
        """The line to run on the gateway's machine."""
        return f"gateway start --join {self.join}"


async def setup(context: Context, arguments: Arguments) -> Result:
    """Make the first account; the kit is shown once, here."""
    known = existing_account(context)
    if known and arguments.flag("if_missing"):
        return Unchanged(f"this machine has account {known} already", {"account": known})
    check_no_account(known)
    check_files(arguments, "kit_file", "gateway_join_file")
    join = await read_join_argument(context, arguments, "setup")
    given = given_email(arguments)
    email = normal_email(given or await context.console.ask("E-mail", flag="EMAIL"))
    server = await learn_joined(join)
    password = await read_new_password(context, arguments)
    context.console.progress("making the account")
    candidate = await asyncio.to_thread(new_candidate, email, password.reveal(), with_root=True)
    device = new_device(
        server,
        root=root_of(candidate),
        email=email,
        user=candidate.user,
        account_secret=candidate.secret.raw,
        name=machine_name(arguments),
    )
    commit = first_commit(
        candidate, device, name=arguments.text("enterprise"), now=context.clock.now()
    )
    api = open_api(context, server)
    request = calls.SetupRequest(join.secret, candidate.account(), commit)
    # The kit is safe before the server knows the account: an account without it would be lost.
    kit = make_kit(device, candidate.secret, candidate.identity.root, ca_fingerprint(server))
    kit_file = save_kit(arguments, kit)
    async with kept_account(context, device, kit, kit_file) as made:
        try:
            answer = await api.call(calls.SETUP, request)
            made.is_certain = True
            login = candidate.unlocked(device, session=answer.session, expires=answer.expires)
            api.caller = caller_of(login)
            store = store_of(context, login)
            vault = await Vault.open(login, api, clock=context.clock, store=store)
            await begin_session(context, login, vault, api)
        except BaseException:
            await api.close()
            raise
        is_wanted = not arguments.flag("no_gateway")
        gateway = await first_gateway(vault, api, arguments) if is_wanted else None
    return _result(arguments, kit, kit_file, gateway)


def given_email(arguments: Arguments) -> str | None:
    """The e-mail on the command line; with --join-file it is the only word there."""
    email = arguments.text_or_none("email")
    if email is None and arguments.text_or_none("join_file") is not None:
        return arguments.text_or_none("join")
    return email


def existing_account(context: Context) -> str:
    """The account that this machine has already, or ""."""
    try:
        return read_device(context.paths.device_file).email
    except NotLoggedIn:
        return ""


def check_no_account(known: str) -> None:
    """Raise Conflict when this machine has an account."""
    if known:
        raise Conflict(
            f"this machine has account {known} already",
            hint="log in: commander login; --home DIR keeps another account on one machine",
        )


def check_files(arguments: Arguments, *keys: str) -> None:
    """Find out before anything is made whether the files can be written."""
    for key in keys:
        path = arguments.text_or_none(key)
        if path is not None:
            check_new_file(Path(path))


def save_kit(arguments: Arguments, kit: Kit) -> str:
    """Write the kit where it was asked for; returns the path, or ""."""
    path = arguments.text_or_none("kit_file")
    if path is None:
        return ""
    write_new_file(Path(path), kit.text())
    return path


@dataclass
class Making:
    """How far the making of an account is known to have come."""

    is_certain: bool = False


@asynccontextmanager
async def kept_account(
    context: Context, device: DeviceFile, kit: Kit, kit_file: str
) -> AsyncIterator[Making]:
    """
    Lose no account that the server may have made, whatever ends the block.

    A join string works once: what opens the account is on disk before the server hears of it. It is
    taken back only when no account was made; else a kit that is in no file is shown.
    """
    making = Making()
    write_device(context.paths.device_file, device)
    try:
        yield making
    except BaseException as error:
        if not making.is_certain and was_refused(error):
            _take_back(context, kit_file)
            raise
        if not kit_file:
            context.console.notice(kit.text())
        context.console.notice(_what_is_left(context, kit_file, making))
        raise


def _take_back(context: Context, kit_file: str) -> None:
    context.paths.device_file.unlink(missing_ok=True)
    if kit_file:
        Path(kit_file).unlink(missing_ok=True)


def was_refused(error: BaseException) -> bool:
    """Whether a failed call certainly changed nothing on the server."""
    if isinstance(error, NotSent):
        return True
    return isinstance(error, CommanderError) and not isinstance(error, Unreachable)


def _what_is_left(context: Context, kit_file: str, making: Making) -> str:
    if making.is_certain:
        return "the account is made: go on with `commander login`"
    files = " and ".join(filter(None, (str(context.paths.device_file), kit_file)))
    return (
        "it is not known whether the account was made: try `commander login`; if that is refused, "
        f"remove {files} and try again"
    )


async def first_gateway(vault: Vault, api: Api, arguments: Arguments) -> FirstGateway:
    """Make folder, application, share and token."""
    folder = await vault.create_shared_folder(NAME)
    application = await vault.applications.create(NAME)
    await vault.applications.share_folder(application.uid, folder.uid)
    token = await vault.applications.add_gateway(application.uid, arguments.text("gateway_name"))
    server = api.server
    root = vault.login.device.root
    join = Join("gateway", server.address, token.token.raw(), root, ca_fingerprint(server))
    text = write_join(join)
    path = arguments.text_or_none("gateway_join_file")
    if path is not None:
        write_new_file(Path(path), text)
    return FirstGateway(text, token.expires)


def _result(
    arguments: Arguments, kit: Kit, kit_file: str, gateway: FirstGateway | None
) -> Document:
    lines = [f"Account {kit.email} is ready, and you are logged in."]
    values: dict[str, Plain] = {"account": kit.email, "server": kit.server}
    lines += kit_lines(kit, kit_file, values)
    if gateway is not None:
        values |= {"folder": NAME, "application": NAME}
        values |= _gateway_values(arguments, gateway)
        lines += ["", "Start the gateway within 60 minutes, where the targets can be reached:"]
        lines.append(f"  {values['gateway_command']}")
    return Document(values, text="\n".join(lines))


def _gateway_values(arguments: Arguments, gateway: FirstGateway) -> dict[str, Plain]:
    path = arguments.text_or_none("gateway_join_file")
    if path is not None:
        return {"gateway_join_file": path, "gateway_command": f"gateway start --join-file {path}"}
    return {"gateway_join": gateway.join, "gateway_command": gateway.command}


def kit_lines(kit: Kit, kit_file: str, values: dict[str, Plain]) -> list[str]:
    """How the kit is shown: once, or where its file is."""
    if kit_file:
        values["kit_file"] = kit_file
        return [f"The emergency kit is in {kit_file}: print it, then remove the file."]
    values["kit"] = kit.text()
    return ["This is shown once:", "", kit.text()]
