"""`this-device`: this machine's registration."""

from __future__ import annotations

import msgspec

from commander.errors import InvalidInput
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Document, Done, Result, Shape, Unchanged
from commander.vault.device import read_device, write_device

MIN_IDLE_S = 60
MAX_IDLE_S = 30 * 24 * 3600


async def show(context: Context, arguments: Arguments) -> Result:
    """What device.json says, without its secrets."""
    device = read_device(context.paths.device_file)
    return Document(
        {
            "name": device.name,
            "device_uid": device.device,
            "account": device.email,
            "server": device.server.address,
            "locks_after": device.idle_s,
        },
        shapes={"locks_after": Shape.DURATION},
    )


async def register(context: Context, arguments: Arguments) -> Result:
    """Certify this machine when the log does not know it."""
    vault = context.vault
    await vault.refresh()
    known = vault.state.devices.get(vault.device)
    if known is not None:
        return Unchanged(f"device {known.name!r} is registered", {"device_uid": vault.device})
    await vault.certify_device()
    return Done("this machine is registered", {"device_uid": vault.device})


async def rename(context: Context, arguments: Arguments) -> Result:
    """The name of this machine here; the certificate in the log keeps the one it was made with."""
    name = arguments.text("name").strip()
    if not 0 < len(name) <= 128 or not name.isprintable():
        raise InvalidInput("a device name has 1 to 128 printable characters")
    device = read_device(context.paths.device_file)
    write_device(context.paths.device_file, msgspec.structs.replace(device, name=name))
    return Done(f"this machine is now {name!r}", {"name": name})


async def set_timeout(context: Context, arguments: Arguments) -> Result:
    """After how long without a command a kept login locks."""
    seconds = arguments.integer("time")
    if not MIN_IDLE_S <= seconds <= MAX_IDLE_S:
        raise InvalidInput("the time is 1m to 30d", hint="for example: this-device timeout 30m")
    device = read_device(context.paths.device_file)
    write_device(context.paths.device_file, msgspec.structs.replace(device, idle_s=seconds))
    return Done(f"the vault locks after {seconds} s without a command", {"idle_s": seconds})
