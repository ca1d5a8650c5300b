"""`commit`: everything a client changes."""

from __future__ import annotations

from commander.backend.core import Caller, Core
from commander.backend.services import sessions
from commander.backend.services.apply_commit import Author, apply_commit, check_counts
from commander.backend.storage import nonces
from commander.wire.calls import Commit, CommitAnswer
from commander.wire.requests import FRESH_S


async def commit(core: Core, caller: Caller, request: Commit) -> CommitAnswer:
    """
    Apply every part in one transaction, or refuse with a code and change nothing.

    A device that is not certified yet has to certify itself by the same commit.
    """
    check_counts(request)
    async with core.database.transaction() as transaction:
        await sessions.still_there(transaction.connection, caller)
        await nonces.claim(
            transaction.connection,
            caller.principal,
            caller.nonce,
            now=core.now(),
            keep_s=2 * FRESH_S,
        )
        return await apply_commit(
            core,
            transaction,
            request,
            author=Author(caller.user, caller.principal, caller.device_key),
            signers=(caller.user,),
        )
