"""What set-up, acceptance and login share: join strings, servers, and the session they begin."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from commander.api.bootstrap import connector, learn_server, open_transport
from commander.api.client import Api, Caller
from commander.api.tls import only_certificate
from commander.config.options_file import parse_options, set_option
from commander.crypto.kdf import sha256
from commander.errors import CommanderError, Conflict, InvalidInput, NotFound, UsageError
from commander.files import make_private_directory, read_private, write_private
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.vault.device import DeviceFile
from commander.vault.session import Vault
from commander.vault.store import Store
from commander.vault.unlock import Unlocked, keep_login
from commander.wire.join import Join, JoinKind, read_join
from commander.wire.known_server import KnownServer, normal_address

MAX_TEXT_FILE = 256 * 1024


async def read_join_argument(context: Context, arguments: Arguments, kind: JoinKind) -> Join:
    """The join string from --join-file, standard input (`-`), the command line or the terminal."""
    path = arguments.text_or_none("join_file")
    given = arguments.text_or_none("join")
    if path is not None:
        text = read_text_file(Path(path), "join string")
    elif given == "-":
        text = (await context.console.read_stdin(limit=MAX_TEXT_FILE)).decode("utf-8", "replace")
    elif given is not None:
        context.console.notice(
            "other users of this machine can read a join string on a command line; "
            "--join-file or - keeps it from them"
        )
        text = given
    else:
        secret = await context.console.ask_secret("Join string", flag="--join-file")
        text = secret.reveal_text()
    return read_join(text, kind)


def read_text_file(path: Path, what: str) -> str:
    """A text file of the user's, up to 256 KiB. Raises NotFound, InvalidInput."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT_FILE + 1)
        if len(data) > MAX_TEXT_FILE:
            raise InvalidInput(f"{path} is too large for a {what}")
        return data.decode()
    except FileNotFoundError:
        raise NotFound(f"there is no file {str(path)!r}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not a text file") from None
    except OSError as error:
        raise CommanderError(f"{path} cannot be read: {error.strerror}") from error


def write_new_file(path: Path, text: str) -> None:
    """Write a private file that must not exist yet."""
    check_new_file(path)
    write_private(path, text.encode() + b"\n")


def check_new_file(path: Path) -> None:
    """Raise Conflict when there is something at the path, NotFound without its directory."""
    if path.is_symlink() or path.exists():
        raise Conflict(f"{path} exists already", hint="name a new file")
    if not path.parent.is_dir():
        raise NotFound(f"there is no directory {str(path.parent)!r}")


async def learn_joined(join: Join) -> KnownServer:
    """The server that a join string leads to, verified."""
    server, _ = await learn_server(
        normal_address(join.server), connector(os.environ), fingerprint=join.ca
    )
    return server


async def learn_named(address: str, ca_file: str | None) -> KnownServer:
    """A server by its address, vouched for by a CA file or the machine's authorities."""
    ca = read_text_file(Path(ca_file), "CA") if ca_file else ""
    server, _ = await learn_server(normal_address(address), connector(os.environ), ca=ca)
    return server


def ca_fingerprint(server: KnownServer) -> bytes:
    """What join strings pin of a server's CA; empty for publicly trusted ones."""
    if not server.ca:
        return b""
    try:
        return sha256(only_certificate(server.ca))
    except InvalidInput:
        # A CA file with several certificates: the login on a new machine names the file again.
        return b""


def open_api(context: Context, server: KnownServer, caller: Caller | None = None) -> Api:
    """A client of a pinned server."""
    transport = open_transport(server, os.environ)
    return Api(transport, server, clock=context.clock, caller=caller)


def caller_of(login: Unlocked) -> Caller:
    """Who signs the requests of a login."""
    device = login.device
    return Caller(device.device, login.session, device.signing_key())


def store_of(context: Context, login: Unlocked) -> Store:
    """Where a login's copy of the vault is kept."""
    return Store(context.paths.cache_file, login.data_key, login.device.user)


async def begin_session(context: Context, login: Unlocked, vault: Vault, api: Api) -> None:
    """Keep the login for later commands, and give this process its vault."""
    keep_login(context.paths, login, context.clock)
    remember_server(context, login.device)
    if context.is_logged_in:
        # Tunnels that were started with the session before go on, and need its client.
        context.exit_stack.push_async_callback(context.api.close)
    context.start_session(vault, api)


def remember_server(context: Context, device: DeviceFile) -> None:
    """Note server and account in config.yaml."""
    path = context.paths.options_file
    try:
        text = read_private(path).decode()
    except FileNotFoundError:
        text = ""
    wanted = set_option(text, "server", device.server.address)
    wanted = set_option(wanted, "user", device.email)
    if wanted != text:
        parse_options(wanted.encode())
        make_private_directory(path.parent)
        write_private(path, wanted.encode())


def machine_name(arguments: Arguments) -> str:
    """The name of this machine in the log."""
    name = (arguments.text_or_none("device_name") or socket.gethostname() or "device").strip()
    if not 0 < len(name) <= 128 or not name.isprintable():
        raise UsageError("a device name has 1 to 128 printable characters")
    return name
