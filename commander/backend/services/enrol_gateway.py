"""`gateway/enrol-begin` and `gateway/enrol`: a one-time token makes one gateway, once."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from commander.audit.events import Enrolled, TokenRefused
from commander.authority.refusals import Code
from commander.authority.statements import Gateway, Kind, Voucher
from commander.backend.core import Caller, Core
from commander.backend.ledger import check_time, extend
from commander.backend.services import read_log
from commander.backend.storage import clients, statements
from commander.backend.storage.clients import StoredClient
from commander.backend.storage.database import Transaction
from commander.crypto.kdf import sha256
from commander.crypto.signing import VerifyKey
from commander.errors import Refused, SealBroken
from commander.wire.calls import EnrolAnswer, EnrolBegin, EnrolRequest, LogAnswer
from commander.wire.proofs import verify_enrol_begin

_AUDITED = {Code.TOKEN_UNKNOWN, Code.TOKEN_USED, Code.TOKEN_EXPIRED, Code.TOKEN_ADDRESS}
_CLIENT_ID_CHARACTERS = 88


async def begin(core: Core, caller: Caller, request: EnrolBegin) -> LogAnswer:
    """
    Give the whole log to the holder of an unused token.

    A token with IP lock belongs to the address that asked first. Raises Refused
    (request-stale, token-unknown, token-used, token-expired, token-address).
    """
    check_time(request.time, core.now(), "the token's proof")
    try:
        async with core.database.transaction() as transaction:
            client, voucher = await _open_token(core, transaction, request.client_id, caller)
            try:
                verify_enrol_begin(request, VerifyKey(voucher.public_key))
            except SealBroken:
                raise _unknown() from None
            if client.ip_lock and not client.address:
                await clients.lock_address(transaction.connection, client.client_id, caller.address)
    except Refused as error:
        await _refused(core, caller, error, request.client_id)
        raise
    return await read_log.whole_log(core)


async def enrol(core: Core, caller: Caller, request: EnrolRequest) -> EnrolAnswer:
    """
    Take the gateway's own statement into the log and bind its Secrets Manager key, both or none.

    Exactly one succeeds of any number that race. The same request again gets the same answer,
    for as long as the gateway has not used its key: its first answer may have been lost.
    Raises Refused (token-..., log-moved, and what `log.apply` says).
    """
    try:
        async with core.database.transaction() as transaction:
            repeated = await _repeated(core, transaction.connection, request)
            if repeated is not None:
                return repeated
            client, voucher = await _open_token(core, transaction, request.client_id, caller)
            return await _bind(core, transaction, request, client, voucher, caller)
    except Refused as error:
        await _refused(core, caller, error, request.client_id)
        raise


async def _open_token(
    core: Core, transaction: Transaction, client_id: str, caller: Caller
) -> tuple[StoredClient, Voucher]:
    client = await _find(transaction.connection, client_id)
    if client.is_bound or client.voucher in core.state.used_vouchers:
        raise Refused(
            "the one-time token was used before", code=Code.TOKEN_USED, hint="make a new gateway"
        )
    voucher = core.state.vouchers.get(client.voucher)
    if voucher is None or core.state.applications.get(client.application) is None:
        raise _unknown()
    if core.now() >= client.token_expires:
        raise Refused(
            "the one-time token is too old", code=Code.TOKEN_EXPIRED, hint="make a new gateway"
        )
    if client.ip_lock and client.address not in ("", caller.address):
        raise Refused("the one-time token is locked to another address", code=Code.TOKEN_ADDRESS)
    return client, voucher


async def _find(connection: AsyncConnection, client_id: str) -> StoredClient:
    found = await clients.find(connection, client_id[:_CLIENT_ID_CHARACTERS])
    if found is None or found.kind != "gateway" or found.client_id != client_id:
        raise _unknown()
    return found


def _unknown() -> Refused:
    return Refused("no such one-time token", code=Code.TOKEN_UNKNOWN, hint="copy it again, whole")


async def _bind(
    core: Core,
    transaction: Transaction,
    request: EnrolRequest,
    client: StoredClient,
    voucher: Voucher,
    caller: Caller,
) -> EnrolAnswer:
    statement = request.statement
    if (statement.kind, statement.signer) != (Kind.GATEWAY, voucher.voucher):
        raise Refused(
            "the statement is not the voucher's for a gateway", code=Code.STATEMENT_NOT_ENTITLED
        )
    gateway = statement.parse_body()
    assert isinstance(gateway, Gateway)
    if gateway.client_id != client.client_id:
        raise Refused("the statement is for another token", code=Code.VOUCHER_MISMATCH)
    now = core.now()
    state = extend(core.state, [statement], signers=(voucher.voucher,), now=now)
    connection = transaction.connection
    await statements.append(connection, [statement])
    bound = await clients.bind(
        connection,
        client.client_id,
        public_key=gateway.ksm_key,
        address=caller.address,
        now=now,
    )
    assert bound
    event = Enrolled(
        "gateway", gateway.gateway, client.application, voucher.voucher, "", caller.address
    )
    await core.record(connection, event)
    transaction.on_commit(lambda: core.ledger.publish(state))
    return EnrolAnswer(client.app_key, b"", state.seq)


async def _repeated(
    core: Core, connection: AsyncConnection, request: EnrolRequest
) -> EnrolAnswer | None:
    """The answer that was given before, when this very statement is in the log already."""
    seq, state = request.statement.seq, core.state
    if not 0 <= seq <= state.seq or state.digests[seq] != request.statement.digest():
        return None
    client = await _find(connection, request.client_id)
    if not client.app_key or client.voucher != request.statement.signer:
        return None
    return EnrolAnswer(client.app_key, b"", seq)


async def _refused(core: Core, caller: Caller, error: Refused, client_id: str) -> None:
    if error.code in _AUDITED:
        event = TokenRefused(error.code, "gateway", sha256(client_id.encode()), "", caller.address)
        await core.note(event)
