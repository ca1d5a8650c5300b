"""
device.json: this machine's keys, the account it belongs to, and the pins of its server.

JSON, version 1, 0600, replaced at once. Bytes are base64. The OS keychain may take the private
parts later; until then the file's mode is their guard.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from commander.codec import Message
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import InvalidInput, NotLoggedIn
from commander.files import make_private_directory, read_private, write_private
from commander.ids import DeviceUid, UserUid, new_uid
from commander.wire.known_server import KnownServer

VERSION = 1
LIMIT = 256 * 1024
DEFAULT_IDLE_S = 30 * 60


class DeviceFile(Message, frozen=True):
    """
    A registered device. `root` is the enterprise root's fingerprint; `idle_s` is after how long
    without a command the kept login locks.
    """

    version: int
    server: KnownServer
    root: bytes
    email: str
    user: UserUid
    account_secret: bytes
    device: DeviceUid
    name: str
    sign_key: bytes
    box_key: bytes
    idle_s: int = DEFAULT_IDLE_S

    def __repr__(self) -> str:
        return f"DeviceFile({self.device}, {self.email})"

    def signing_key(self) -> SigningKey:
        """The key that signs requests, commands and seals."""
        return SigningKey(self.sign_key)


def new_device(
    server: KnownServer, *, root: bytes, email: str, user: str, account_secret: bytes, name: str
) -> DeviceFile:
    """Make keys for this machine; the caller certifies them and writes the file."""
    return DeviceFile(
        version=VERSION,
        server=server,
        root=root,
        email=email,
        user=UserUid(user),
        account_secret=account_secret,
        device=DeviceUid(new_uid()),
        name=name,
        sign_key=SigningKey.generate().raw(),
        box_key=BoxPrivateKey.generate().raw(),
    )


def read_device(path: Path) -> DeviceFile:
    """Read the file. Raises NotLoggedIn when there is none, InvalidInput when it is damaged."""
    try:
        data = read_private(path, limit=LIMIT)
    except FileNotFoundError:
        raise NotLoggedIn(
            "this machine has no account yet",
            hint="commander login EMAIL, or commander setup JOIN on a new server",
        ) from None
    try:
        device = msgspec.json.decode(data, type=DeviceFile)
        device.signing_key()
        BoxPrivateKey(device.box_key)
    except (msgspec.MsgspecError, ValueError, InvalidInput):
        raise InvalidInput(
            f"{path} is damaged", hint="remove it and log in again with the emergency kit"
        ) from None
    if device.version != VERSION:
        raise InvalidInput(
            f"{path} is of version {device.version}; this program knows {VERSION}",
            hint="update commander",
        )
    return device


def write_device(path: Path, device: DeviceFile) -> None:
    """Replace the file, making its directory when needed."""
    make_private_directory(path.parent)
    write_private(path, msgspec.json.format(msgspec.json.encode(device)) + b"\n")


def remove_device(path: Path) -> None:
    """Forget this machine's account; idempotent."""
    path.unlink(missing_ok=True)
