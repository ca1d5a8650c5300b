"""
Credentials for TURN servers, made from the secret that this server shares with them. Pure.

The form is coturn's (`use-auth-secret`): the user name is "EXPIRY:RANDOM", the password the
base64 of HMAC-SHA1 of the user name. It names nobody: whoever runs the relay learns address
pairs and volumes, and cannot tell which user is behind them.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from commander.errors import InvalidInput
from commander.secret import Secret
from commander.wire.calls import IceAnswer, IceServerRow
from commander.wire.ice import MAX_SERVERS, IceUrl

CREDENTIAL_LIFE_S: Final = 600
MIN_SECRET: Final = 16
MAX_SECRET: Final = 1024
_USER_BYTES: Final = 12


@dataclass(frozen=True)
class Relays:
    """What the server's owner configured; nothing by default."""

    urls: tuple[IceUrl, ...] = ()
    secret: Secret | None = None
    relay_only: bool = False

    def __post_init__(self) -> None:
        if len(self.urls) > MAX_SERVERS:
            raise InvalidInput(f"{len(self.urls)} STUN and TURN servers; {MAX_SERVERS} at most")
        has_turn = any(url.is_turn for url in self.urls)
        if has_turn and self.secret is None:
            raise InvalidInput(
                "a TURN server needs the secret that is shared with it",
                hint="give --turn-secret-file; commander-server relay-config makes one",
            )
        if self.relay_only and not has_turn:
            raise InvalidInput("relay only, but no TURN server", hint="give --turn-url")

    def answer(self, *, now: int, user: str = "") -> IceAnswer:
        """Servers with fresh credentials for one attempt at a path."""
        expires = now + CREDENTIAL_LIFE_S
        username = f"{expires}:{user or secrets.token_urlsafe(_USER_BYTES)}"
        password = mint(self.secret, username) if self.secret is not None else ""
        rows = tuple(
            IceServerRow(str(url), username, password)
            if url.is_turn
            else IceServerRow(str(url), "", "")
            for url in self.urls
        )
        return IceAnswer(rows, self.relay_only, expires)


def mint(secret: Secret, username: str) -> str:
    """The password that belongs to a user name."""
    # SHA-1 is what TURN servers compute; HMAC does not rest on its collision resistance.
    return base64.b64encode(hmac.digest(secret.reveal(), username.encode(), "sha1")).decode()


def read_secret(data: bytes) -> Secret:
    """The secret from its file: one line of printable text. Raises InvalidInput."""
    text = data.decode("ascii", "replace").strip()
    is_plain = text.isascii() and text.isprintable() and " " not in text and "#" not in text
    if not MIN_SECRET <= len(text) <= MAX_SECRET or not is_plain:
        raise InvalidInput(
            f"the TURN secret must be one word of {MIN_SECRET} to {MAX_SECRET} printable characters",
            hint="commander-server relay-config makes one",
        )
    return Secret(text)
