"""
The one-time token that enrols one device once: 32 random bytes, 43 characters of base64url.

The server is given only what does not open anything: the client id (HMAC-SHA512 under the
token) and the application key sealed under the token. The voucher key derived from the token
signs what a gateway enrols with; its public half stands in the authority log, so the server
cannot enrol a key of its own.
"""

from __future__ import annotations

import hmac
import secrets

from commander.crypto import aead, encoding, kdf, signing
from commander.errors import InvalidInput, SealBroken

TOKEN_BYTES = 32
TOKEN_CHARACTERS = 43
CLIENT_ID_BYTES = 64
APP_KEY_BYTES = 32
SEALED_APP_KEY_BYTES = aead.NONCE_BYTES + APP_KEY_BYTES + aead.TAG_BYTES

_CLIENT_ID_LABEL = b"KEEPER_SECRETS_MANAGER_CLIENT_ID"
# First bytes from 0xF8 give "-" as the first character, which command lines take
# for an option; identifiers leave out the same range.
_FIRST_BYTE_LIMIT = 0xF8


class OneTimeToken:
    """A token in memory; its repr shows nothing. `text` is what a person is given, once."""

    def __init__(self, raw: bytes) -> None:
        """Take 32 bytes. Raises InvalidInput for another length or a forbidden first byte."""
        if len(raw) != TOKEN_BYTES or raw[0] >= _FIRST_BYTE_LIMIT:
            raise InvalidInput("one-time token has an unknown form", hint="ask for a new token")
        self._raw = bytes(raw)

    @classmethod
    def generate(cls) -> OneTimeToken:
        """Make a new token."""
        return cls(bytes([secrets.randbelow(_FIRST_BYTE_LIMIT)]) + secrets.token_bytes(31))

    @classmethod
    def parse(cls, text: str) -> OneTimeToken:
        """Read what `text` gave. Raises InvalidInput without quoting it."""
        if len(text) != TOKEN_CHARACTERS:
            raise InvalidInput(
                f"one-time token has {len(text)} characters, not {TOKEN_CHARACTERS}",
                hint="copy the whole token, without the host before it",
            )
        return cls(encoding.from_base64url(text))

    def raw(self) -> bytes:
        """The 32 bytes, for a join string."""
        return self._raw

    @property
    def text(self) -> str:
        """The 43 characters to hand over; never log or store them."""
        return encoding.to_base64url(self._raw)

    @property
    def client_id(self) -> bytes:
        """The 64 bytes by which the server knows the token's device."""
        return hmac.digest(self._raw, _CLIENT_ID_LABEL, "sha512")

    @property
    def voucher_key(self) -> signing.SigningKey:
        """The key whose public half the authority log names."""
        return signing.SigningKey(kdf.derive(self._raw, "ksm-voucher"))

    def seal_app_key(self, app_key: bytes) -> bytes:
        """Wrap the application key for the one who has the token (60 bytes)."""
        assert len(app_key) == APP_KEY_BYTES
        return aead.seal(self._raw, app_key)

    def open_app_key(self, sealed: bytes) -> bytes:
        """Unwrap the application key. Raises SealBroken."""
        if len(sealed) != SEALED_APP_KEY_BYTES:
            raise SealBroken
        return aead.open_sealed(self._raw, sealed)
