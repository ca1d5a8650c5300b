"""`client confirm`: a client that used a one-time token is who it should be; `client fingerprint`."""

from __future__ import annotations

from pathlib import Path

from commander.errors import CommanderError, Conflict, InvalidInput, NotFound, Tampered, UsageError
from commander.files import read_private
from commander.ksm.config import MAX_CONFIG_BYTES, DeviceConfig
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Done, Plain, Result, Text, Unchanged
from commander.vault.applications import Client
from commander.vault.session import Vault
from plugins.secrets_manager.clients import find_client
from plugins.secrets_manager.fingerprints import fingerprint, is_fingerprint_of


async def confirm(context: Context, arguments: Arguments) -> Result:
    """Sign a client's key into the log once its fingerprint was compared."""
    vault = context.vault
    await vault.sync()
    application = vault.applications.find(arguments.text("app"))
    client = find_client(
        arguments.text("client"), await vault.applications.clients(application.uid)
    )
    key = _known_key(vault, client)
    print_ = fingerprint(key)
    data: dict[str, Plain] = {
        "app_uid": application.uid,
        "client_id": client.row.client_id,
        "name": client.name,
        "fingerprint": print_,
    }
    confirmed, _ = vault.applications.key_state(client.row.client_id)
    compared = _compare(arguments, client, key)
    if confirmed:
        return Unchanged(f"Client {client.name!r} is confirmed already: {print_}", data)
    if not compared:
        await context.console.confirm(
            f"Fingerprint of {client.name!r}: {print_}. Does the device show the same?",
            force=arguments.flag("force"),
        )
    await vault.applications.confirm_client(application.uid, client.row.client_id, key)
    return Done(f"Client {client.name!r} is confirmed: {print_}", data)


def _known_key(vault: Vault, client: Client) -> bytes:
    """The key the server names, if neither log nor this device knows of another."""
    row = client.row
    if not row.bound or not row.public_key:
        raise Conflict(
            f"nobody has used the token of client {client.name!r} yet",
            hint="confirm it once the device has connected",
        )
    confirmed, first = vault.applications.key_state(row.client_id)
    known = confirmed or first or row.public_key
    if known != row.public_key:
        raise Tampered(
            f"the server names another key for client {client.name!r} than was seen before",
            hint="remove the client, and tell an administrator",
        )
    return row.public_key


def _compare(arguments: Arguments, client: Client, key: bytes) -> bool:
    """Whether a fingerprint or configuration was given, and is this client's. Raises Tampered."""
    text, file = arguments.text_or_none("fingerprint"), arguments.text_or_none("config_file")
    if text is not None and not is_fingerprint_of(text, key):
        raise _other(client, text)
    if file is not None:
        own = _read_config(Path(file)).private_key.public.raw
        if own != key:
            raise _other(client, fingerprint(own))
    return text is not None or file is not None


def _other(client: Client, expected: str) -> Tampered:
    return Tampered(
        f"client {client.name!r} has another key than {expected}: somebody else used its token",
        hint="remove the client and make a new token",
    )


async def show_fingerprint(context: Context, arguments: Arguments) -> Text:
    """The fingerprint of a client's own configuration, to be compared with what the server says."""
    return Text(
        fingerprint(_read_config(Path(arguments.text("config_file"))).private_key.public.raw)
    )


def _read_config(path: Path) -> DeviceConfig:
    try:
        raw = read_private(path, limit=MAX_CONFIG_BYTES)
    except FileNotFoundError:
        raise NotFound(f"there is no file {str(path)!r}") from None
    except OSError as error:
        raise CommanderError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return DeviceConfig.parse(raw.decode().strip())
    except (UnicodeDecodeError, InvalidInput):
        raise UsageError(
            f"{path} is no configuration of a bound client", hint="the file the SDK keeps"
        ) from None
