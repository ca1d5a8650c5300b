"""
Keys of an account from password and account secret; pure. Nothing here reaches a server but the
login key's public half and what is wrapped.

    A    account secret, 128 random bits, kept on devices and in the emergency kit
    P    = Argon2id(password, salt = HKDF(A, "account-salt", e-mail))
    MUK  = HKDF(P, salt = A, "master-unlock-key", e-mail, profile and its parameters)
           -> login key (Ed25519), wrap key
    wrapped data key = 0x01 | profile | AES-256-GCM(wrap key, DK, aad = e-mail, profile)
    wrapped identity = 0x01 | AES-256-GCM(DK, identity keys, aad = user, e-mail)

Account secret text: `A1-` and six groups of five characters of Crockford's base32, the last 22
bits a checksum, so that a slip of the pen is noticed before a login is tried.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from dataclasses import dataclass, field

from commander.codec import Message, decode, encode
from commander.crypto import aead
from commander.crypto.box import BoxPrivateKey
from commander.crypto.encoding import encode as canonical
from commander.crypto.kdf import (
    CURRENT_PROFILE,
    MAX_PASSWORD_BYTES,
    PASSWORD_PROFILES,
    PasswordProfile,
    derive,
    sha256,
    stretch_password,
)
from commander.crypto.signing import SigningKey
from commander.errors import InvalidInput, SealBroken, Tampered

SECRET_BYTES = 16
SECRET_PREFIX = "A1-"  # noqa: S105  a form, not a secret
MIN_PASSWORD_CHARACTERS = 8
VERSION = b"\x01"
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)} | {"I": 1, "L": 1, "O": 0}
_CHARACTERS = 30
_CHECK_BITS = 22
_IDENTITY_LIMIT = 4096
_SECRET_TEXT = re.compile(r"A1(?:[- ]?[0-9A-Za-z]{5}){6}", re.ASCII)


@dataclass(frozen=True)
class AccountSecret:
    """The second half of what a login needs beside the password."""

    raw: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> AccountSecret:
        """Make a new one."""
        return cls(secrets.token_bytes(SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> AccountSecret:
        """Read what `text` gave, in any case, with or without dashes. Raises InvalidInput."""
        bare = re.sub(r"[\s-]", "", text[:200]).upper()
        digits = bare.removeprefix("A1")
        values = [_VALUES.get(character, -1) for character in digits]
        number = 0
        for value in values:
            number = number << 5 | value
        if bare[:2] != "A1" or len(values) != _CHARACTERS or min(values) < 0:
            raise InvalidInput(
                "this is not an account secret", hint="it reads A1-XXXXX-XXXXX-... in the kit"
            )
        raw = (number >> _CHECK_BITS).to_bytes(SECRET_BYTES, "big")
        if number & (1 << _CHECK_BITS) - 1 != _checksum(raw):
            raise InvalidInput("the account secret has a typing mistake", hint="compare it again")
        return cls(raw)

    @property
    def text(self) -> str:
        """The form a person writes down; show it once, in the emergency kit."""
        number = int.from_bytes(self.raw, "big") << _CHECK_BITS | _checksum(self.raw)
        digits = "".join(
            _ALPHABET[number >> 5 * place & 31] for place in reversed(range(_CHARACTERS))
        )
        return SECRET_PREFIX + "-".join(digits[at : at + 5] for at in range(0, _CHARACTERS, 5))


def find_account_secret(text: str) -> AccountSecret:
    """Find the account secret in a file: alone, or within an emergency kit. Raises InvalidInput."""
    match = _SECRET_TEXT.search(text)
    return AccountSecret.parse(match[0] if match else text)


def _checksum(raw: bytes) -> int:
    digest = sha256(canonical("account-secret-checksum", raw))
    return int.from_bytes(digest[:3], "big") & (1 << _CHECK_BITS) - 1


@dataclass(frozen=True)
class LoginKeys:
    """What the password and the account secret give."""

    login: SigningKey = field(repr=False)
    wrap: bytes = field(repr=False)
    profile: int = CURRENT_PROFILE.number


def check_new_password(password: bytes) -> None:
    """Raise InvalidInput for a password that is too short, too long or not text."""
    if len(_normal(password).decode()) < MIN_PASSWORD_CHARACTERS:
        raise InvalidInput(f"the password is shorter than {MIN_PASSWORD_CHARACTERS} characters")


def derive_login_keys(
    password: bytes,
    secret: AccountSecret,
    email: str,
    profile: PasswordProfile = CURRENT_PROFILE,
) -> LoginKeys:
    """
    Derive an account's keys; takes a quarter of a second and 64 MiB, so run it in a thread.

    `email` is in normal form. Raises InvalidInput for an empty or overlong password.
    """
    salt = derive(secret.raw, "account-salt", email)
    stretched = stretch_password(_normal(password), salt, profile)
    parameters = (profile.number, profile.memory_kib, profile.passes, profile.lanes)
    muk = derive(stretched, "master-unlock-key", email, *parameters, salt=secret.raw)
    return LoginKeys(SigningKey(derive(muk, "login-key")), derive(muk, "wrap-key"), profile.number)


def _normal(password: bytes) -> bytes:
    # The same password typed on another keyboard may come in another Unicode form.
    if len(password) > MAX_PASSWORD_BYTES:
        raise InvalidInput(f"a password has at most {MAX_PASSWORD_BYTES} bytes")
    try:
        return unicodedata.normalize("NFKC", password.decode()).encode()
    except UnicodeError:
        raise InvalidInput("the password is not UTF-8 text") from None


def wrap_data_key(keys: LoginKeys, data_key: bytes, email: str) -> bytes:
    """Wrap DK under the wrap key, for the server to keep."""
    profile = bytes([keys.profile])
    bound = canonical("wrapped-data-key", email, profile)
    return VERSION + profile + aead.seal(keys.wrap, data_key, bound)


def unwrap_data_key(keys: LoginKeys, wrapped: bytes, email: str) -> bytes:
    """Unwrap DK. Raises Tampered when the server gave something else than this account's."""
    profile = wrapped[1:2]
    try:
        if wrapped[:1] != VERSION or not profile or profile[0] not in PASSWORD_PROFILES:
            raise SealBroken
        bound = canonical("wrapped-data-key", email, profile)
        data_key = aead.open_sealed(keys.wrap, wrapped[2:], bound)
        if len(data_key) != aead.KEY_BYTES:
            raise SealBroken
    except SealBroken:
        raise _altered(email) from None
    return data_key


class _StoredIdentity(Message, frozen=True):
    sign: bytes
    box: bytes
    root: bytes


@dataclass(frozen=True)
class Identity:
    """A user's identity keys; `root` is the enterprise root's, with the first administrator only."""

    sign: SigningKey = field(repr=False)
    box: BoxPrivateKey = field(repr=False)
    root: SigningKey | None = field(default=None, repr=False)

    @classmethod
    def generate(cls) -> Identity:
        """Make new keys."""
        return cls(SigningKey.generate(), BoxPrivateKey.generate())


def wrap_identity(data_key: bytes, identity: Identity, *, user: str, email: str) -> bytes:
    """Wrap identity keys under DK, for the server to keep."""
    root = identity.root.raw() if identity.root else b""
    stored = _StoredIdentity(identity.sign.raw(), identity.box.raw(), root)
    return VERSION + aead.seal(data_key, encode(stored), canonical("wrapped-identity", user, email))


def unwrap_identity(data_key: bytes, wrapped: bytes, *, user: str, email: str) -> Identity:
    """Unwrap identity keys. Raises Tampered."""
    try:
        if wrapped[:1] != VERSION:
            raise SealBroken
        raw = aead.open_sealed(data_key, wrapped[1:], canonical("wrapped-identity", user, email))
        stored = decode(_StoredIdentity, raw, limit=_IDENTITY_LIMIT)
        root = SigningKey(stored.root) if stored.root else None
        return Identity(SigningKey(stored.sign), BoxPrivateKey(stored.box), root)
    except (SealBroken, InvalidInput):
        raise _altered(email) from None


def _altered(email: str) -> Tampered:
    return Tampered(
        f"the account data of {email} was altered on the server",
        hint="do not go on; tell an administrator",
    )
