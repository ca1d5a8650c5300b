"""The server's own keys: made at the first start, kept in the store."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from commander.backend.storage import identity as rows
from commander.backend.storage.database import Database
from commander.backend.storage.identity import StoredIdentity
from commander.crypto.box import BoxPrivateKey
from commander.crypto.kdf import sha256
from commander.crypto.signing import SigningKey
from commander.ids import new_uid
from commander.ksm.errors import BUILT_IN_KEY_IDS
from commander.ksm.keys import P256PrivateKey

SETUP_SECRET_BYTES = 32
# Above the identifiers that Secrets Manager SDKs carry keys of their own for.
_FIRST_KSM_KEY_ID = BUILT_IN_KEY_IDS.stop + 9


@dataclass(frozen=True)
class ServerIdentity:
    """The keys in use; their repr shows nothing."""

    uid: str
    sign: SigningKey = field(repr=False)
    box: BoxPrivateKey = field(repr=False)
    ksm: P256PrivateKey = field(repr=False)
    ksm_key_id: int


async def load(database: Database, *, now: int) -> ServerIdentity:
    """Read the identity of a store; a new store gets one."""
    async with database.reading() as connection:
        found = await rows.find(connection)
    if found is None:
        found = _generate(now)
        async with database.transaction() as transaction:
            await rows.add(transaction.connection, found)
    return ServerIdentity(
        found.uid,
        SigningKey(found.sign_key),
        BoxPrivateKey(found.box_key),
        P256PrivateKey(found.ksm_key),
        found.ksm_key_id,
    )


def _generate(now: int) -> StoredIdentity:
    return StoredIdentity(
        uid=new_uid(),
        sign_key=SigningKey.generate().raw(),
        box_key=BoxPrivateKey.generate().raw(),
        ksm_key_id=_FIRST_KSM_KEY_ID,
        ksm_key=P256PrivateKey.generate().pkcs8(),
        setup_hash=b"",
        created=now,
    )


async def has_setup_secret(database: Database) -> bool:
    """Tell whether a set-up secret was made and not used yet."""
    async with database.reading() as connection:
        return bool(await rows.setup_hash(connection))


async def new_setup_secret(database: Database) -> bytes:
    """Make the secret of a set-up join string; the one before is void. Only its hash is kept."""
    secret = secrets.token_bytes(SETUP_SECRET_BYTES)
    async with database.transaction() as transaction:
        await rows.set_setup_hash(transaction.connection, sha256(secret))
    return secret
