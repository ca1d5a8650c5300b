"""
Tickets in the URLs of attachments: short-lived, for one file, one direction, one client. Pure.

    base64url( direction 1 | file 16 | client id 64 | end 8 | MAC 32 )

The key is derived from the server's signing key, so tickets outlive a restart. Whoever shows a ticket is judged as its client, at that moment; so
a client that was removed, or lost the folder, downloads nothing more.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from enum import IntEnum

from commander.authority.refusals import Code
from commander.crypto import encoding, kdf
from commander.errors import InvalidInput, Refused
from commander.ksm import base64_text
from commander.ksm.token import CLIENT_ID_BYTES

LIFE_S = 15 * 60
_FILE_BYTES = 16
_TIME_BYTES = 8
_MAC_BYTES = 32
_BYTES = 1 + _FILE_BYTES + CLIENT_ID_BYTES + _TIME_BYTES + _MAC_BYTES
MAX_CHARACTERS = 4 * (_BYTES + 2) // 3


class Direction(IntEnum):
    """What a ticket is for."""

    UPLOAD = 1
    DOWNLOAD = 2
    # The same for devices of users; `Ticket.client_id` is then `holder_of` the device.
    USER_UPLOAD = 3
    USER_DOWNLOAD = 4

    @property
    def is_of_user(self) -> bool:
        """Whether a user's device holds the ticket, not an application's client."""
        return self in (Direction.USER_UPLOAD, Direction.USER_DOWNLOAD)

    @property
    def is_upload(self) -> bool:
        """Which way the bytes go."""
        return self in (Direction.UPLOAD, Direction.USER_UPLOAD)


def holder_of(device: str) -> str:
    """A user's device where a ticket names a client: its UID, filled up."""
    raw = base64.urlsafe_b64decode(device + "==")
    return base64_text.to_standard(raw + bytes(CLIENT_ID_BYTES - len(raw)))


def device_of(holder: str) -> str:
    """The inverse of `holder_of`."""
    return encoding.to_base64url(base64.b64decode(holder)[:_FILE_BYTES])


@dataclass(frozen=True)
class Ticket:
    """What a ticket says."""

    direction: Direction
    file: str
    client_id: str
    ends: int


def write_ticket(key: bytes, ticket: Ticket) -> str:
    """The ticket as a part of a path."""
    body = b"".join(
        (
            bytes([ticket.direction]),
            base64.urlsafe_b64decode(ticket.file + "=="),
            base64.b64decode(ticket.client_id),
            ticket.ends.to_bytes(_TIME_BYTES, "big"),
        )
    )
    return encoding.to_base64url(body + kdf.mac(key, "attachment-ticket", body))


def read_ticket(key: bytes, text: str, *directions: Direction, now: int) -> Ticket:
    """
    The ticket behind a text, when it is ours, for one of these directions, and not too old.

    Raises Refused(request-malformed), Refused(request-stale).
    """
    try:
        raw = encoding.from_base64url(text) if len(text) <= MAX_CHARACTERS else b""
    except InvalidInput:
        raw = b""
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if len(raw) != _BYTES or not hmac.compare_digest(kdf.mac(key, "attachment-ticket", body), mac):
        raise Refused("the address of the attachment is not valid", code=Code.REQUEST_MALFORMED)
    file, rest = body[1 : 1 + _FILE_BYTES], body[1 + _FILE_BYTES :]
    ticket = Ticket(
        Direction(body[0]),
        encoding.to_base64url(file),
        base64_text.to_standard(rest[:CLIENT_ID_BYTES]),
        int.from_bytes(rest[CLIENT_ID_BYTES:], "big"),
    )
    if ticket.direction not in directions:
        raise Refused("the address of the attachment is not valid", code=Code.REQUEST_MALFORMED)
    if now >= ticket.ends:
        raise Refused("the address of the attachment is too old", code=Code.REQUEST_STALE)
    return ticket
