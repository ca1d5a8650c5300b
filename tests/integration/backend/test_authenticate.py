"""Who may make which kind of call."""

from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.backend import core as core_module
from commander.backend.limits import Rate, RateLimiter
from commander.codec import encode
from commander.wire import calls
from commander.wire.requests import sign_request
from tests.support.backend_devices import Application, Enrolling, new_gateway
from tests.support.backend_server import BackendServer, Person, send

pytestmark = pytest.mark.integration


async def as_gateway(candidate: Enrolling, path: str, body: bytes) -> str:
    """The code that a gateway gets for a call."""
    server = candidate.server
    signed = sign_request(
        candidate.keys.signing, method="POST", path=calls.PREFIX + path,
        principal=candidate.keys.gateway, session="", time=int(server.clock.now()), body=body,
    )  # fmt: skip
    return (await send(server, path, signed)).code


async def test_gateway_reads_the_log_and_writes_audit_and_nothing_else(
    server: BackendServer, application: Application
) -> None:
    """Its key opens the calls that are for gateways."""
    candidate = await new_gateway(server, application)
    await candidate.enrol()
    empty = encode(calls.Empty())

    assert await as_gateway(candidate, "log", encode(calls.LogRequest(-1))) == ""
    assert await as_gateway(candidate, "audit/append", encode(calls.AuditAppend(()))) == ""
    for path in ("sync", "commit", "session", "gateways", "logout", "audit/read", "history"):
        assert await as_gateway(candidate, path, empty) == Code.DEVICE_UNKNOWN


async def test_removed_gateway_is_refused(server: BackendServer, application: Application) -> None:
    """Whether it was revoked itself or with its application."""
    candidate = await new_gateway(server, application)
    await candidate.enrol()
    body = encode(calls.LogRequest(-1))
    assert await as_gateway(candidate, "log", body) == ""
    await application.owner.vault.sync()

    await application.owner.vault.applications.remove(application.uid)

    assert await as_gateway(candidate, "log", body) == Code.DEVICE_REVOKED


async def test_requests_of_one_principal_are_limited(server: BackendServer, admin: Person) -> None:
    """One busy device is told to slow down; another is not concerned."""
    bob = await server.add_person(admin, "bob@example.org")
    server.core.guards.requests = RateLimiter(Rate(1.0, 3))
    assert core_module.Guards.fresh().requests is not server.core.guards.requests

    async def code(person: Person) -> str:
        signed = sign_request(
            person.device.signing_key(), method="POST", path=calls.PREFIX + "session",
            principal=person.device.device, session=person.session,
            time=int(server.clock.now()), body=encode(calls.Empty()),
        )  # fmt: skip
        return (await send(server, "session", signed)).code

    assert [await code(admin) for _ in range(4)] == ["", "", "", Code.TOO_MANY_REQUESTS]
    assert await code(bob) == ""
    server.clock.advance(1)
    assert await code(admin) == ""
