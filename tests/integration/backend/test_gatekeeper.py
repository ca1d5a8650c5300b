"""What the router is told about rights."""

from __future__ import annotations

import pytest

from commander.authority.decide import Refuse
from commander.authority.refusals import Code
from commander.authority.statements import Right
from commander.backend.gatekeeper import Gatekeeper
from commander.ids import new_uid
from commander.launch.server_router import RouterGate
from commander.vault.people import RoleChange
from commander.wire import calls
from commander.wire.calls import ROUTER_PATH
from commander.wire.commands import Head
from commander.wire.requests import SignedRequest, sign_request
from tests.support.backend_devices import Application, Enrolling, new_gateway
from tests.support.backend_server import BackendServer, Person, refused

pytestmark = pytest.mark.integration


@pytest.fixture
def gate(server: BackendServer) -> RouterGate:
    return RouterGate(Gatekeeper(server.core))


def upgrade(person: Person) -> SignedRequest:
    return sign_request(
        person.device.signing_key(), method="GET", path=ROUTER_PATH,
        principal=person.device.device, session=person.session,
        time=int(person.server.clock.now()), body=b"",
    )  # fmt: skip


def gateway_upgrade(candidate: Enrolling) -> SignedRequest:
    return sign_request(
        candidate.keys.signing, method="GET", path=ROUTER_PATH, principal=candidate.keys.gateway,
        session="", time=int(candidate.server.clock.now()), body=b"",
    )  # fmt: skip


async def authenticate(gate: RouterGate, request: SignedRequest) -> tuple[str, str]:
    found = await gate.authenticate(request, method="GET", path=ROUTER_PATH, address="192.0.2.1")
    return found.uid, found.kind


def code_of(refusal: Refuse | None) -> str:
    return refusal.code if refusal else ""


async def test_devices_and_gateways_upgrade_once_per_request(
    server: BackendServer, admin: Person, application: Application, gate: RouterGate
) -> None:
    """The same checks as for any request."""
    candidate = await new_gateway(server, application)
    await candidate.enrol()
    request = upgrade(admin)

    assert await authenticate(gate, request) == (admin.device.device, "device")
    with refused(Code.REQUEST_REPLAYED):
        await authenticate(gate, request)
    assert (await authenticate(gate, gateway_upgrade(candidate)))[1] == "gateway"
    with refused(Code.REQUEST_SIGNATURE):
        await gate.authenticate(upgrade(admin), method="GET", path="/other", address="")
    server.clock.advance(121)
    with refused(Code.REQUEST_STALE):
        await authenticate(gate, request)


async def test_only_launchers_with_a_common_folder_may_open(
    server: BackendServer, admin: Person, application: Application, gate: RouterGate
) -> None:
    """Policy first, then whether the gateway is one that this user can have to do with."""
    candidate = await new_gateway(server, application)
    await candidate.enrol()
    gateway = candidate.keys.gateway
    bob = await server.add_person(admin, "bob@example.org")
    device = bob.device.device

    assert await gate.may_open(admin.device.device, gateway) is None
    assert code_of(await gate.may_open(device, gateway)) == Code.POLICY_MISSING
    await admin.vault.sync()
    role = await admin.vault.people.create_role("Launchers", {"ALLOW_LAUNCH_PAM_TUNNELS": True})
    await admin.vault.people.change_role(role.role, RoleChange(add_users=(bob.user,)))
    assert code_of(await gate.may_open(device, gateway)) == Code.PEER_UNKNOWN
    assert code_of(await gate.may_open(device, new_uid())) == Code.PEER_UNKNOWN
    await admin.vault.sharing.share_with_user(application.folder, bob.user, (Right.VIEW,))
    assert await gate.may_open(device, gateway) is None
    assert code_of(await gate.may_open(new_uid(), gateway)) == Code.DEVICE_UNKNOWN
    rows = (await bob.call(calls.GATEWAYS, calls.Empty())).gateways
    assert [(row.gateway, row.online) for row in rows] == [(gateway, False)]


async def test_revocation_and_logout_are_told_and_heads_announced(
    server: BackendServer, admin: Person, application: Application, gate: RouterGate
) -> None:
    """Each principal that may not stay comes back with the reason."""
    candidate = await new_gateway(server, application)
    await candidate.enrol()
    bob = await server.add_person(admin, "bob@example.org")
    eve = await server.add_person(admin, "eve@example.org")
    path = {"method": "GET", "path": ROUTER_PATH, "address": ""}
    principals = [
        await gate.authenticate(request, **path)
        for request in (upgrade(admin), upgrade(bob), upgrade(eve), gateway_upgrade(candidate))
    ]
    heads: list[Head] = []
    end = gate.subscribe(heads.append)
    assert await gate.revoked(principals) == []

    await admin.vault.sync()
    await admin.vault.people.remove_device(bob.device.device)
    await eve.call(calls.LOGOUT, calls.Empty())
    await admin.vault.applications.remove_client(candidate.client_id)
    end()
    await admin.vault.create_shared_folder("after the end")

    found = [(principal.uid, refusal.code) for principal, refusal in await gate.revoked(principals)]
    assert found == [
        (bob.device.device, Code.DEVICE_REVOKED),
        (eve.device.device, Code.SESSION_UNKNOWN),
        (candidate.keys.gateway, Code.DEVICE_REVOKED),
    ]
    assert [head.seq for head in heads] == [gate.head().seq - 2, gate.head().seq - 1]


async def test_what_the_router_reports_is_audited(
    server: BackendServer, admin: Person, gate: RouterGate
) -> None:
    """Fenced connections and refused messages stand in the server's chain."""
    principal = await gate.authenticate(
        upgrade(admin), method="GET", path=ROUTER_PATH, address="192.0.2.1"
    )
    refusal = Refuse(Code.PEER_UNKNOWN, "x" * 5000)

    await gate.connection_fenced(principal, old="192.0.2.1", new="192.0.2.2")
    await gate.command_refused(principal, to="t" * 900, conversation="c" * 900, refusal=refusal)

    read = calls.AuditRead(0, 0, 0, "", "command-refused", admin.user, "", 0)
    assert len((await admin.call(calls.AUDIT_READ, read)).events) == 2
