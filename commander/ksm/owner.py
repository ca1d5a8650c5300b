"""
The P-256 key of an application's owner, which SDKs wrap the keys of what they make to.

It is derived from the application key, so it needs no storage: whoever has the application key
has it, the server only its public half. A server that gave a device another point at its binding
is found out by the first record the device makes: its key does not open here.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from commander.crypto.kdf import derive
from commander.errors import SealBroken
from commander.ksm import ecies
from commander.ksm.keys import P256PrivateKey

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def owner_key(app_key: bytes) -> P256PrivateKey:
    """The owner's key pair of an application."""
    # 512 bits reduced are as good as uniform (FIPS 186-5, A.2.1).
    wide = derive(app_key, "ksm-owner-key", size=64)
    number = int.from_bytes(wide, "big") % (_ORDER - 1) + 1
    return P256PrivateKey.from_key(ec.derive_private_key(number, ec.SECP256R1()))


def is_wrapped_to_owner(app_key: bytes, wrapped: bytes, content_key: bytes) -> bool:
    """Tell whether a device wrapped the key of what it made to this application's true owner."""
    try:
        return ecies.open_sealed(owner_key(app_key), wrapped) == content_key
    except SealBroken:
        return False
