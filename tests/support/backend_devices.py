"""Applications, gateways that enrol, and Secrets Manager devices, for tests of the backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from commander.authority.log import replay
from commander.gateway.enrolment import NewKeys, gateway_statement
from commander.ids import ApplicationUid
from commander.ksm.keys import P256PrivateKey
from commander.ksm.payloads import GetSecretRequest, GetSecretResponse
from commander.ksm.request import PATH_PREFIX, build_request
from commander.vault.applications import NewToken
from commander.wire import calls
from commander.wire.proofs import sign_enrol_begin
from tests.support.backend_server import BackendServer, Person


@dataclass
class Application:
    """An application with one shared folder and one record."""

    owner: Person
    uid: ApplicationUid
    folder: str
    record: str


class Enrolling:
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
        client = self.server.http()
        try:
            response = await client.post(
                PATH_PREFIX + "get_secret", content=request.body, headers=request.headers
            )
        finally:
            await client.aclose()
        if response.status_code != 200:
            return response.status_code, response.json()
        return 200, GetSecretResponse.parse(request.open_answer(response.content))


async def new_gateway(server: BackendServer, application: Application, **values: Any) -> Enrolling:
    token = await application.owner.vault.applications.add_gateway(
        application.uid, "Gateway", **values
    )
    return Enrolling(server, token)


def gateway_device(candidate: Enrolling) -> Device:
    return Device(candidate.server, candidate.token.client_id, candidate.keys.ksm)
