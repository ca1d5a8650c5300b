"""Enrolment of gateways and Secrets Manager devices, and what they may read."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core import SecretsManager  # type: ignore[import-untyped]
from keeper_secrets_manager_core.exceptions import KeeperError  # type: ignore[import-untyped]
from keeper_secrets_manager_core.storage import (  # type: ignore[import-untyped]
    InMemoryKeyValueStorage,
)

from commander.authority.log import replay
from commander.authority.refusals import Code
from commander.backend.storage import clients
from commander.codec import decode
from commander.crypto.encoding import to_base64url
from commander.gateway.enrolment import NewKeys, gateway_statement
from commander.ids import ApplicationUid
from commander.ksm.keys import P256PrivateKey
from commander.ksm.payloads import GetSecretRequest, GetSecretResponse
from commander.ksm.request import PATH_PREFIX, build_request
from commander.ksm.token import OneTimeToken
from commander.vault.applications import NewToken, text_client_id
from commander.wire import calls
from commander.wire.proofs import sign_enrol_begin
from commander.wire.records import RecordData
from commander.wire.seals import Signed, read_record_seal
from tests.support.backend_server import BackendServer, Person, changed, refused

pytestmark = pytest.mark.integration


@dataclasses.dataclass
class Application:
    """An application with one shared folder and one record."""

    owner: Person
    uid: ApplicationUid
    folder: str
    record: str


@pytest.fixture
async def application(admin: Person) -> Application:
    vault = admin.vault
    folder = await vault.create_shared_folder("Databases")
    data = RecordData.create("login", "Orders DB")
    data.set_first("password", "pass wörd")
    record = await vault.create_record(data, folder.uid)
    made = await vault.applications.create("Orders")
    await vault.applications.share_folder(made.uid, folder.uid)
    return Application(admin, made.uid, folder.uid, record.uid)


class Candidate:
    """A gateway with a one-time token that asks to be enrolled."""

    def __init__(self, server: BackendServer, token: NewToken) -> None:
        self.server = server
        self.token = token.token
        self.client_id = token.client_id
        self.keys = NewKeys.generate()
        self.api = server.api()

    async def read_log(self) -> calls.LogAnswer:
        now = int(self.server.clock.now())
        begin = sign_enrol_begin(self.token.voucher_key, self.client_id, now)
        return await self.api.call(calls.ENROL_BEGIN, begin)

    async def request(self, log: calls.LogAnswer | None = None) -> calls.EnrolRequest:
        log = log or await self.read_log()
        state = replay(log.statements)
        now = int(self.server.clock.now())
        statement, _ = gateway_statement(state, self.token, self.keys, now=now)
        return calls.EnrolRequest(self.client_id, statement)

    async def enrol(self) -> calls.EnrolAnswer:
        return await self.api.call(calls.ENROL, await self.request())


class Device:
    """A Secrets Manager device in our own words."""

    def __init__(self, server: BackendServer, client_id: bytes, key: P256PrivateKey) -> None:
        self.server = server
        self.client_id = client_id
        self.key = key

    async def ask(self, *, signer: P256PrivateKey | None = None, **values: Any) -> tuple[int, Any]:
        asked = GetSecretRequest(self.client_id, **values)
        core = self.server.core
        request = build_request(
            core.identity.ksm.public, core.identity.ksm_key_id, signer or self.key,
            asked.to_payload(),
        )  # fmt: skip
        transport = self.server.transport()
        try:
            response = await transport._client.post(
                PATH_PREFIX + "get_secret", content=request.body, headers=request.headers
            )
        finally:
            await transport.close()
        if response.status_code != 200:
            return response.status_code, response.json()
        return 200, GetSecretResponse.parse(request.open_answer(response.content))


async def new_gateway(server: BackendServer, application: Application, **values: Any) -> Candidate:
    token = await application.owner.vault.applications.add_gateway(
        application.uid, "Gateway", **values
    )
    return Candidate(server, token)


def gateway_device(candidate: Candidate) -> Device:
    return Device(candidate.server, candidate.token.client_id, candidate.keys.ksm)


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
    second = Candidate(server, NewToken(first.token, first.client_id, "", 0))
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
    requests = [await Candidate(server, token).request(log) for _ in range(100)]
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


async def test_gateways_token_binds_no_secrets_manager_device(
    server: BackendServer, application: Application
) -> None:
    """Who has a gateway's token cannot get round the authority log by the SDK's bind."""
    candidate = await new_gateway(server, application)
    key = P256PrivateKey.generate()
    device = Device(server, candidate.token.client_id, key)

    assert (await device.ask(public_key=key.public))[0] == 403
    assert (await candidate.enrol()).app_key


async def test_revoked_gateway_reads_nothing(
    server: BackendServer, application: Application
) -> None:
    """After its revocation a gateway's Secrets Manager key and its native key are dead."""
    candidate = await new_gateway(server, application)
    await candidate.enrol()
    device = gateway_device(candidate)
    assert (await device.ask())[0] == 200
    vault = application.owner.vault
    await vault.sync()
    (gateway,) = await vault.applications.gateways()

    await vault.applications.remove_client(gateway.client_id)

    assert (await device.ask())[0] == 403


async def test_device_sees_shared_folders_only_and_filters_narrow(
    server: BackendServer, application: Application
) -> None:
    """Records of other folders stay out, unknown names give empty lists, unsharing ends it all."""
    vault = application.owner.vault
    await vault.create_record(RecordData.create("login", "Private"))
    token = await vault.applications.add_client(application.uid, "CI", ip_lock=False)
    key = P256PrivateKey.generate()
    device = Device(server, token.token.client_id, key)
    status, bound = await device.ask(public_key=key.public)
    assert status == 200
    assert token.token.open_app_key(bound.encrypted_app_key)

    _, everything = await device.ask()
    _, nothing = await device.ask(records=("AAAAAAAAAAAAAAAAAAAAAA",))
    _, one = await device.ask(records=(application.record,))
    await vault.applications.unshare_folder(application.uid, application.folder)
    _, after = await device.ask()

    assert [r.record_uid for f in everything.folders for r in f.records] == [application.record]
    assert nothing.folders == []
    assert len(one.folders[0].records) == 1
    assert after.folders == []


async def test_bind_is_repeated_for_the_same_key_and_refused_for_another(
    server: BackendServer, application: Application
) -> None:
    """A lost answer can be asked for again, until the device has read; another key never can."""
    vault = application.owner.vault
    token = await vault.applications.add_client(application.uid, "CI", ip_lock=False)
    key, other = P256PrivateKey.generate(), P256PrivateKey.generate()
    device = Device(server, token.token.client_id, key)
    _, first = await device.ask(public_key=key.public)
    _, again = await device.ask(public_key=key.public)

    thief = Device(server, token.token.client_id, other)
    status, _ = await thief.ask(public_key=other.public)

    assert status == 403
    assert first.encrypted_app_key == again.encrypted_app_key
    assert (await device.ask())[0] == 200
    assert (await device.ask(public_key=key.public))[0] == 403


async def test_forged_signature_wrong_client_and_unknown_endpoint_are_refused(
    server: BackendServer, application: Application
) -> None:
    """Each mistake gets the SDK's own kind of error, without a hint at what exists."""
    vault = application.owner.vault
    token = await vault.applications.add_client(application.uid, "CI", ip_lock=False)
    key = P256PrivateKey.generate()
    device = Device(server, token.token.client_id, key)
    unbound, _ = await device.ask()
    await device.ask(public_key=key.public)

    forged, text = await device.ask(signer=P256PrivateKey.generate())
    unknown, same = await Device(server, bytes(64), key).ask()
    transport = server.transport()
    later = await transport._client.post(PATH_PREFIX + "create_secret", content=b"x")
    none = await transport._client.post(PATH_PREFIX + "nonsense", content=b"x")
    await transport.close()

    assert (unbound, forged, unknown) == (403, 403, 403)
    assert text == same
    assert later.json()["error"] == "bad_request"
    assert none.json()["error"] == "not_found"
    assert (await device.ask())[0] == 200


async def test_access_of_a_device_ends_at_its_time(
    server: BackendServer, application: Application
) -> None:
    """A client with limited access reads until then."""
    vault = application.owner.vault
    token = await vault.applications.add_client(
        application.uid, "Audit", access_minutes=10, ip_lock=False
    )
    key = P256PrivateKey.generate()
    device = Device(server, token.token.client_id, key)
    await device.ask(public_key=key.public)
    before, answer = await device.ask()
    server.clock.advance(601)

    after, _ = await device.ask()

    assert (before, after) == (200, 403)
    assert answer.expires_on == int(server.clock.now() - 1) * 1000


async def test_official_sdk_binds_and_reads(
    server: BackendServer,
    application: Application,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The unmodified Python SDK, given our server key, reads the record; a second bind fails."""
    for name in [name for name in os.environ if name.startswith("KSM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    vault = application.owner.vault
    token = await vault.applications.add_client(application.uid, "SDK", ip_lock=False)

    def read(storage: Any) -> list[Any]:
        manager = SecretsManager(
            token=token.token.text,
            hostname=server.known.address,
            config=storage,
            server_public_key=to_base64url(server.core.identity.ksm.public.raw),
            server_public_key_id=str(server.core.identity.ksm_key_id),
        )
        found: list[Any] = manager.get_secrets()
        return found

    (record,) = await asyncio.to_thread(read, InMemoryKeyValueStorage())

    assert record.title == "Orders DB"
    assert record.field("password", single=True) == "pass wörd"
    with pytest.raises(KeeperError):
        await asyncio.to_thread(read, InMemoryKeyValueStorage())
