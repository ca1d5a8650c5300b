"""`setup`: the first account of an empty server, by its set-up join string."""

from __future__ import annotations

import hmac

from commander.audit.events import SetupConsumed
from commander.authority.refusals import Code
from commander.authority.statements import ROOT, root_fingerprint
from commander.backend.core import Caller, Core
from commander.backend.services import sessions
from commander.backend.services.accounts import check_account, read_author
from commander.backend.services.apply_commit import Author, apply_commit, check_counts
from commander.backend.storage import accounts, identity
from commander.backend.storage.database import Transaction
from commander.crypto.kdf import sha256
from commander.errors import Refused
from commander.wire.calls import SessionAnswer, SetupRequest


async def set_up(core: Core, caller: Caller, request: SetupRequest) -> SessionAnswer:
    """
    Make the enterprise and its first account in one transaction.

    The secret works once. Raises Refused (setup-used, setup-wrong; both are audited), or what
    is wrong with the commit, and then the secret still works.
    """
    check_counts(request.commit)
    check_account(request.account)
    author = read_author(request.account, request.commit)
    try:
        async with core.database.transaction() as transaction:
            await _check_secret(core, transaction, request.secret)
            return await _make_enterprise(core, transaction, request, author, caller.address)
    except Refused as error:
        if error.code in (Code.SETUP_USED, Code.SETUP_WRONG):
            await core.note(SetupConsumed(error.code, "", "", b"", caller.address))
        raise


async def _check_secret(core: Core, transaction: Transaction, secret: bytes) -> None:
    if core.state.genesis is not None:
        raise Refused(
            "this server has an enterprise already",
            code=Code.SETUP_USED,
            hint="ask its administrator for an invitation",
        )
    wanted = await identity.setup_hash(transaction.connection)
    if not hmac.compare_digest(sha256(secret), wanted):
        raise Refused(
            "this is not the set-up join string of the server",
            code=Code.SETUP_WRONG,
            hint="restart it with --new-setup-string to get another",
        )


async def _make_enterprise(
    core: Core, transaction: Transaction, request: SetupRequest, author: Author, address: str
) -> SessionAnswer:
    connection = transaction.connection
    await apply_commit(
        core, transaction, request.commit, author=author, signers=(ROOT, author.user)
    )
    await accounts.add(connection, request.account, now=core.now())
    await identity.set_setup_hash(connection, b"")
    name, expires = await sessions.begin(
        core, connection, user=author.user, device=author.device, device_key=author.device_key
    )
    root = _root_of(request)
    await core.record(connection, SetupConsumed("", author.user, author.device, root, address))
    return SessionAnswer(name, author.user, expires)


def _root_of(request: SetupRequest) -> bytes:
    # The commit was applied to an empty log, so its first statement is the genesis.
    genesis = request.commit.statements[0].parse_body()
    return root_fingerprint(getattr(genesis, "root_key", b""))
