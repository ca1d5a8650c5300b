"""One-time tokens of gateways: one winner, exact refusals, nothing lost."""

from __future__ import annotations

import asyncio

import pytest

from commander.authority.refusals import Code
from commander.backend.storage import clients
from commander.codec import decode
from commander.ksm.token import OneTimeToken
from commander.vault.applications import NewToken, text_client_id
from commander.wire import calls
from commander.wire.proofs import sign_enrol_begin
from commander.wire.seals import Signed, read_record_seal
from tests.support.backend_devices import (
    Application,
    Enrolling,
    gateway_device,
    new_gateway,
)
from tests.support.backend_server import BackendServer, changed, refused

pytestmark = pytest.mark.integration


async def test_gateway_enrols_and_reads_sealed_records(
    server: BackendServer, application: Application
) -> None:
    """Enrolment binds the Secrets Manager key too, and the answer carries seals when asked."""
    candidate = await new_gateway(server, application)
    answer = await candidate.enrol()
    assert len(candidate.token.open_app_key(answer.app_key)) == 32

    status, found = await gateway_device(candidate).ask(seals=True)

    assert status == 200
    (folder,) = found.folders
    (record,) = folder.records
    seal = read_record_seal(decode(Signed, record.commander.seal))
    assert (record.record_uid, seal.record) == (application.record, application.record)
    rows = (await application.owner.vault.applications.clients(application.uid))[0].row
    assert rows.bound
    assert rows.kind == "gateway"


async def test_second_use_of_a_gateway_token_is_refused_and_audited(
    server: BackendServer, application: Application
) -> None:
    """Another machine with the same token learns that it was used; the auditor sees it."""
    first = await new_gateway(server, application)
    second = Enrolling(server, NewToken(first.token, first.client_id, "", 0))
    late = await second.request()
    await first.enrol()

    with refused(Code.TOKEN_USED):
        await second.api.call(calls.ENROL, late)
    with refused(Code.TOKEN_USED):
        await second.read_log()
    events = await application.owner.call(
        calls.AUDIT_READ, calls.AuditRead(0, 0, 0, "", "token-refused", "", "", 0)
    )
    assert len(events.events) == 2


async def test_lost_answer_of_an_enrolment_is_given_again(
    server: BackendServer, application: Application
) -> None:
    """The very same statement again gets the same answer until the gateway has read once."""
    candidate = await new_gateway(server, application)
    request = await candidate.request()
    first = await candidate.api.call(calls.ENROL, request)

    assert await candidate.api.call(calls.ENROL, request) == first
    assert (await gateway_device(candidate).ask())[0] == 200
    with refused(Code.TOKEN_USED):
        await candidate.api.call(calls.ENROL, request)


async def test_one_of_a_hundred_racing_enrolments_wins(
    server: BackendServer, application: Application
) -> None:
    """One token, a hundred machines at once: exactly one gateway is in the log."""
    first = await new_gateway(server, application)
    log = await first.read_log()
    token = NewToken(first.token, first.client_id, "", 0)
    requests = [await Enrolling(server, token).request(log) for _ in range(100)]
    api = server.api()

    outcomes = await asyncio.gather(
        *(api.call(calls.ENROL, request) for request in requests), return_exceptions=True
    )

    won = [outcome for outcome in outcomes if isinstance(outcome, calls.EnrolAnswer)]
    assert len(won) == 1
    codes = {getattr(outcome, "code", "") for outcome in outcomes} - {""}
    assert codes == {Code.TOKEN_USED}
    assert len(list(server.core.state.gateways.values())) == 1


async def test_expired_token_is_refused_by_the_servers_clock(
    server: BackendServer, application: Application
) -> None:
    """An hour later the token is dead, and a machine with a wrong clock is told about the clock."""
    candidate = await new_gateway(server, application, minutes=60)
    request = await candidate.request()
    server.clock.advance(3601)

    with refused(Code.TOKEN_EXPIRED):
        await candidate.api.call(calls.ENROL, request)
    wrong = int(server.clock.now()) - 3600
    begin = sign_enrol_begin(candidate.token.voucher_key, candidate.client_id, wrong)
    with refused(Code.REQUEST_STALE):
        await candidate.api.call(calls.ENROL_BEGIN, begin)


async def test_token_of_another_server_or_with_a_forged_proof_is_unknown(
    server: BackendServer, application: Application
) -> None:
    """Neither a foreign token nor the right client id without the token's key gets the log."""
    candidate = await new_gateway(server, application)
    other = OneTimeToken.generate()
    now = int(server.clock.now())

    with refused(Code.TOKEN_UNKNOWN):
        begin = sign_enrol_begin(other.voucher_key, text_client_id(other), now)
        await candidate.api.call(calls.ENROL_BEGIN, begin)
    with refused(Code.TOKEN_UNKNOWN):
        begin = sign_enrol_begin(other.voucher_key, candidate.client_id, now)
        await candidate.api.call(calls.ENROL_BEGIN, begin)
    assert (await candidate.enrol()).app_key


async def test_ip_locked_token_from_another_address_is_refused_and_not_spent(
    server: BackendServer, application: Application
) -> None:
    """The address that asked first keeps the token."""
    candidate = await new_gateway(server, application, ip_lock=True)
    request = await candidate.request()
    async with server.core.database.transaction() as transaction:
        await clients.lock_address(transaction.connection, candidate.client_id, "192.0.2.7")

    with refused(Code.TOKEN_ADDRESS):
        await candidate.api.call(calls.ENROL, request)
    async with server.core.database.transaction() as transaction:
        await clients.lock_address(transaction.connection, candidate.client_id, "127.0.0.1")
    assert (await candidate.api.call(calls.ENROL, request)).app_key


async def test_statement_for_another_token_or_by_another_signer_is_refused(
    server: BackendServer, application: Application
) -> None:
    """A gateway cannot enrol under a token with a statement made for another."""
    first = await new_gateway(server, application)
    second = await new_gateway(server, application)
    foreign = await second.request()

    with refused(Code.STATEMENT_NOT_ENTITLED):
        await first.api.call(calls.ENROL, changed(foreign, client_id=first.client_id))
    request = await first.request()
    with refused(Code.STATEMENT_NOT_ENTITLED):
        forged = changed(request.statement, signature=bytes(64))
        await first.api.call(calls.ENROL, changed(request, statement=forged))
    assert (await first.api.call(calls.ENROL, request)).app_key


async def test_gateway_that_is_behind_the_log_is_told_so(
    server: BackendServer, application: Application
) -> None:
    """A statement signed behind a head that moved is refused, and the token is not spent."""
    candidate = await new_gateway(server, application)
    request = await candidate.request()
    await application.owner.vault.create_shared_folder("Meanwhile")

    with refused(Code.LOG_MOVED):
        await candidate.api.call(calls.ENROL, request)
    assert (await candidate.enrol()).app_key
