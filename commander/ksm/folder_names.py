"""
Folder names and keys in the form Secrets Manager SDKs read: AES-256-CBC, `iv 16 | ciphertext`.

CBC proves nothing: whoever opens one of these first verifies the signed request it came in, and
never opens what a server alone vouches for. Our own form (`vault.opening`) is authoritative.
"""

from __future__ import annotations

import json
import secrets

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from commander.crypto.aead import KEY_BYTES
from commander.crypto.kdf import derive
from commander.errors import InvalidInput, SealBroken
from commander.ksm import strict_json

BLOCK_BYTES = 16
SEALED_KEY_BYTES = 4 * BLOCK_BYTES
MAX_NAME_BYTES = 4 * 1024
MAX_NAME = 128
_PADDING = PKCS7(8 * BLOCK_BYTES)


def seal_name(folder_key: bytes, name: str) -> bytes:
    """Encrypt `{"name"}` as SDKs do, padded with spaces so that its length tells little."""
    if not 0 < len(name) <= MAX_NAME:
        raise InvalidInput("a folder name has 1 to 128 characters")
    raw = json.dumps({"name": name}).encode()
    return _encrypt(folder_key, raw + b" " * (-len(raw) % 64))


def open_name(folder_key: bytes, sealed: bytes) -> str:
    """Decrypt a name. Raises SealBroken for everything that is none."""
    if len(sealed) > MAX_NAME_BYTES:
        raise SealBroken
    try:
        found = strict_json.decode_object(
            _decrypt(folder_key, sealed), dict[str, object], what="folder", limit=MAX_NAME_BYTES
        )
    except InvalidInput:
        raise SealBroken from None
    name = found.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise SealBroken
    return name


def seal_key(root_key: bytes, folder_key: bytes) -> bytes:
    """Wrap a sub-folder's key with the key of the shared folder it is in (64 bytes)."""
    assert len(folder_key) == KEY_BYTES
    return _encrypt(root_key, folder_key)


def open_key(root_key: bytes, sealed: bytes) -> bytes:
    """Unwrap a sub-folder's key. Raises SealBroken."""
    if len(sealed) != SEALED_KEY_BYTES:
        raise SealBroken
    key = _decrypt(root_key, sealed)
    if len(key) != KEY_BYTES:
        raise SealBroken
    return key


def sub_folder_key(root_key: bytes, folder: str) -> bytes:
    """The key, in SDK form, of a sub-folder that our clients made: it has no other copy."""
    return derive(root_key, "ksm-sub-folder", folder)


def _encrypt(key: bytes, plaintext: bytes) -> bytes:
    iv = secrets.token_bytes(BLOCK_BYTES)
    padder, encryptor = _PADDING.padder(), Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor()
    padded = padder.update(plaintext) + padder.finalize()
    return iv + encryptor.update(padded) + encryptor.finalize()


def _decrypt(key: bytes, sealed: bytes) -> bytes:
    if len(sealed) < 2 * BLOCK_BYTES or len(sealed) % BLOCK_BYTES:
        raise SealBroken
    mode = modes.CBC(sealed[:BLOCK_BYTES])
    decryptor, unpadder = Cipher(algorithms.AES256(key), mode).decryptor(), _PADDING.unpadder()
    padded = decryptor.update(sealed[BLOCK_BYTES:]) + decryptor.finalize()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise SealBroken from None
