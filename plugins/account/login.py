"""`login`: a challenge signed by the login key; on a new machine also the kit."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path

from commander.api.client import Api
from commander.authority.email import normal_email
from commander.authority.statements import Genesis, root_fingerprint
from commander.crypto.box import BoxPrivateKey
from commander.crypto.encoding import to_base64url
from commander.errors import CommanderError, Conflict, NotFound, NotLoggedIn, Tampered, UsageError
from commander.ids import UserUid
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Done, Result
from commander.plugin.secret_input import read_secret
from commander.secret import Secret
from commander.vault.accounts import (
    AccountSecret,
    LoginKeys,
    derive_login_keys,
    find_account_secret,
    unwrap_data_key,
    unwrap_identity,
)
from commander.vault.device import DeviceFile, new_device, read_device, write_device
from commander.vault.session import Vault
from commander.vault.unlock import Unlocked
from commander.wire import calls
from commander.wire.join import PREFIX, Join, read_join
from commander.wire.known_server import normal_address
from commander.wire.proofs import sign_login
from plugins.account.joining import (
    begin_session,
    caller_of,
    learn_joined,
    learn_named,
    machine_name,
    open_api,
    read_text_file,
    store_of,
)

NONCE_BYTES = 16


@dataclass(frozen=True)
class Machine:
    """The device to log in with; `is_new`: its file is not written yet."""

    device: DeviceFile
    secret: AccountSecret
    is_new: bool


async def login(context: Context, arguments: Arguments) -> Result:
    """Unlock the vault of this machine's account, or register a new machine."""
    machine = await _find_machine(context, arguments)
    password = await read_secret(context, arguments, "password", "Password")
    context.console.progress("logging in")
    api = open_api(context, machine.device.server)
    try:
        vault, unlocked = await _log_in(context, machine, password, api)
    except CommanderError:
        await api.close()
        raise
    await begin_session(context, unlocked, vault, api)
    for problem in vault.problems:
        context.console.notice(f"does not verify: {problem}")
    device = unlocked.device
    data = {"account": device.email, "server": device.server.address, "device": device.device}
    return Done(f"logged in as {device.email} on {device.server.address}", data)


async def _find_machine(context: Context, arguments: Arguments) -> Machine:
    given = arguments.text_or_none("email")
    email = normal_email(given) if given else ""
    try:
        device = read_device(context.paths.device_file)
    except NotLoggedIn:
        return await _new_machine(context, arguments, email)
    if email and email != device.email:
        raise Conflict(
            f"this machine belongs to {device.email}",
            hint="use --home DIR for another account on one machine",
        )
    server = arguments.text_or_none("server")
    if server and normal_address(server) != device.server.address:
        raise Conflict(
            f"this machine's account is on {device.server.address}",
            hint="use --home DIR for another account on one machine",
        )
    return Machine(device, AccountSecret(device.account_secret), is_new=False)


async def _new_machine(context: Context, arguments: Arguments, email: str) -> Machine:
    email = email or context.config.user
    if not email:
        email = await context.console.ask("E-mail", flag="EMAIL")
    email = normal_email(email)
    path = arguments.text_or_none("account_secret_file")
    text = read_text_file(Path(path), "emergency kit") if path else ""
    join = _login_string(arguments, text)
    address = arguments.text_or_none("server") or context.server
    if join is not None:
        server = await learn_joined(join)
    elif address:
        server = await learn_named(address, arguments.text_or_none("ca_file"))
    else:
        raise UsageError(
            "which server? this machine knows none",
            hint="give the emergency kit with --account-secret-file, or --server HOST:PORT",
        )
    if path:
        secret = find_account_secret(text)
    else:
        typed = await context.console.ask_secret(
            "Account secret (A1-...)", flag="--account-secret-file"
        )
        secret = AccountSecret.parse(typed.reveal_text())
    device = new_device(
        server,
        root=join.root if join else b"",
        email=email,
        user="",
        account_secret=secret.raw,
        name=machine_name(arguments),
    )
    return Machine(device, secret, is_new=True)


def _login_string(arguments: Arguments, kit: str) -> Join | None:
    given = arguments.text_or_none("login_string")
    found = given or next((word for word in kit.split() if word.startswith(PREFIX)), None)
    return read_join(found, "login") if found else None


async def _log_in(
    context: Context, machine: Machine, password: Secret, api: Api
) -> tuple[Vault, Unlocked]:
    device = machine.device
    keys = await asyncio.to_thread(
        derive_login_keys, password.reveal(), machine.secret, device.email
    )
    answer = await _exchange(device, keys, api)
    if not machine.is_new and answer.user != device.user:
        raise Tampered(f"the server answered for another account than {device.email}")
    data_key = unwrap_data_key(keys, answer.wrapped_data_key, device.email)
    identity = unwrap_identity(
        data_key, answer.wrapped_identity, user=answer.user, email=device.email
    )
    device = _of_user(device, answer.user)
    unlocked = Unlocked(device, answer.session, answer.expires, data_key, identity)
    api.caller = caller_of(unlocked)
    if machine.is_new:
        unlocked = await _pin_root(context, unlocked, api)
    store = store_of(context, unlocked)
    vault = Vault.offline(unlocked, api, clock=context.clock, store=store)
    if not answer.device_known:
        await vault.certify_device()
    await vault.sync()
    vault.check_identity()
    if machine.is_new:
        write_device(context.paths.device_file, unlocked.device)
    return vault, unlocked


async def _exchange(device: DeviceFile, keys: LoginKeys, api: Api) -> calls.LoginAnswer:
    challenge = await api.call(calls.LOGIN_CHALLENGE, calls.ChallengeRequest(device.email))
    request = calls.LoginRequest(
        login=challenge.login,
        email=device.email,
        device=device.device,
        device_sign_key=device.signing_key().public.raw,
        device_box_key=BoxPrivateKey(device.box_key).public.raw,
        nonce=secrets.token_bytes(NONCE_BYTES),
        signature=b"",
        device_signature=b"",
    )
    signed = sign_login(
        request,
        challenge=challenge.challenge,
        server=device.server.server,
        login=keys.login,
        device=device.signing_key(),
    )
    return await api.call(calls.LOGIN, signed)


def _of_user(device: DeviceFile, user: str, root: bytes | None = None) -> DeviceFile:
    return DeviceFile(
        device.version, device.server, device.root if root is None else root, device.email,
        UserUid(user), device.account_secret, device.device, device.name, device.sign_key,
        device.box_key, device.idle_s,
    )  # fmt: skip


async def _pin_root(context: Context, login: Unlocked, api: Api) -> Unlocked:
    """Without a login string the root is taken from the log at first sight, and said aloud."""
    if login.device.root:
        return login
    answer = await api.call(calls.LOG, calls.LogRequest(-1))
    if not answer.statements:
        raise NotFound("the server's authority log is empty")
    genesis = answer.statements[0].parse_body()
    if not isinstance(genesis, Genesis):
        raise Tampered("the server's authority log does not begin with a genesis")
    root = root_fingerprint(genesis.root_key)
    context.console.notice(
        f"the enterprise root {to_base64url(root)} is trusted from now on, since no login string "
        "was given: compare it with an administrator's `whoami`"
    )
    device = _of_user(login.device, login.device.user, root)
    return Unlocked(device, login.session, login.expires, login.data_key, login.identity)
