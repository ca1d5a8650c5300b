"""What a device or gateway keeps of a server once it was verified, and how addresses are written."""

from __future__ import annotations

import re

from commander.codec import Message
from commander.errors import InvalidInput

DEFAULT_PORT = 8443
_ADDRESS = re.compile(
    r"(?:https://)?(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?/?\Z",
    re.ASCII,
)


class KnownServer(Message, frozen=True):
    """
    A server's pins: address `host:port`, UID, keys, and its CA as PEM.

    `ca` is empty when the server's certificate is checked against the machine's own authorities.
    """

    address: str
    server: str
    sign_key: bytes
    box_key: bytes
    ca: str


def normal_address(text: str) -> str:
    """
    `host:port` from `host`, `host:port` or `https://host:port`. Raises InvalidInput.

    An address without a port gets the product's default port.
    """
    match = _ADDRESS.match(text.strip())
    port = int(match["port"] or DEFAULT_PORT) if match else 0
    if match is None or not 0 < port <= 65535:
        raise InvalidInput(
            f"{text[:80]!r} is not a server address", hint="write host:port; only https is used"
        )
    return f"{match['host'].lower()}:{port}"


def split_address(address: str) -> tuple[str, int]:
    """Host (without brackets) and port of a normal address."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
