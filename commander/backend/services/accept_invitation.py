"""`account/invitation` and `account/accept`: an invited person reads the log, then joins."""

from __future__ import annotations

from commander.audit.events import Enrolled, TokenRefused
from commander.authority.refusals import Code
from commander.authority.statements import Kind, Voucher
from commander.backend.core import Caller, Core
from commander.backend.ledger import check_time
from commander.backend.services import read_log, sessions
from commander.backend.services.accounts import check_account, read_author
from commander.backend.services.apply_commit import apply_commit, check_counts
from commander.backend.storage import accounts
from commander.crypto.kdf import sha256
from commander.crypto.signing import VerifyKey
from commander.errors import Refused, SealBroken
from commander.wire.calls import AcceptRequest, InvitationRequest, LogAnswer, SessionAnswer
from commander.wire.proofs import verify_invitation


async def show_log(core: Core, caller: Caller, request: InvitationRequest) -> LogAnswer:
    """
    Give the whole log to the holder of an open invitation.

    Raises Refused (request-stale, token-unknown, voucher-used, voucher-expired); all but the
    first are audited.
    """
    check_time(request.time, core.now(), "the invitation's proof")
    try:
        voucher = _open_voucher(core, request.voucher)
        try:
            verify_invitation(request, VerifyKey(voucher.public_key))
        except SealBroken:
            raise _unknown() from None
    except Refused as error:
        await _refused(core, caller, error, request.voucher)
        raise
    return await read_log.whole_log(core)


def _open_voucher(core: Core, uid: str) -> Voucher:
    voucher = core.state.vouchers.get(uid)
    if voucher is None or voucher.purpose != "user":
        raise _unknown()
    if uid in core.state.used_vouchers:
        raise Refused("the invitation was used before", code=Code.VOUCHER_USED)
    if core.now() >= voucher.not_after:
        raise Refused(
            "the invitation is too old", code=Code.VOUCHER_EXPIRED, hint="ask for a new one"
        )
    return voucher


def _unknown() -> Refused:
    return Refused("no such invitation", code=Code.TOKEN_UNKNOWN, hint="ask for a new one")


async def _refused(core: Core, caller: Caller, error: Refused, voucher: str) -> None:
    fingerprint = sha256(voucher.encode())
    await core.note(TokenRefused(error.code, "invitation", fingerprint, "", caller.address))


async def accept(core: Core, caller: Caller, request: AcceptRequest) -> SessionAnswer:
    """
    Make an invited person's account: the voucher's `user` statement and the person's own.

    Raises Refused as `show_log`, or what is wrong with the commit; then the invitation is open
    still.
    """
    check_counts(request.commit)
    check_account(request.account)
    author = read_author(request.account, request.commit)
    try:
        async with core.database.transaction() as transaction:
            _open_voucher(core, request.voucher)
            _check_first(request)
            await apply_commit(
                core,
                transaction,
                request.commit,
                author=author,
                signers=(request.voucher, author.user),
            )
            connection = transaction.connection
            await accounts.add(connection, request.account, now=core.now())
            name, expires = await sessions.begin(
                core,
                connection,
                user=author.user,
                device=author.device,
                device_key=author.device_key,
            )
            event = Enrolled("user", author.user, "", request.voucher, author.user, caller.address)
            await core.record(connection, event)
    except Refused as error:
        if error.code in (Code.TOKEN_UNKNOWN, Code.VOUCHER_USED, Code.VOUCHER_EXPIRED):
            await _refused(core, caller, error, request.voucher)
        raise
    return SessionAnswer(name, author.user, expires)


def _check_first(request: AcceptRequest) -> None:
    first = request.commit.statements[0]
    is_right = (first.kind, first.signer) == (Kind.USER, request.voucher)
    if not is_right or any(s.signer == request.voucher for s in request.commit.statements[1:]):
        raise Refused(
            "the voucher signs the first statement, and only that",
            code=Code.STATEMENT_NOT_ENTITLED,
        )
