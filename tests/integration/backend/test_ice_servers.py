"""Who gets credentials for the relays, and how often."""

from __future__ import annotations

import pytest

from commander.api.client import Caller
from commander.authority.refusals import Code
from commander.backend.turn import Relays, mint
from commander.errors import CommanderError, NotLoggedIn
from commander.secret import Secret
from commander.wire import calls
from commander.wire.ice import parse_ice_url
from tests.support.backend_devices import Application, new_gateway
from tests.support.backend_server import BackendServer, Person

pytestmark = pytest.mark.integration

SECRET = Secret("0123456789abcdef")


@pytest.fixture
def relays(server: BackendServer) -> None:
    urls = ("stun:relay", "turn:relay", "turns:relay")
    server.core.relays = Relays(tuple(parse_ice_url(url) for url in urls), SECRET, relay_only=True)


@pytest.mark.usefixtures("relays")
async def test_a_device_gets_servers_with_credentials_of_ten_minutes(
    server: BackendServer, admin: Person
) -> None:
    """In the order of the server's owner, and its wish that no address be shown."""
    answer = await admin.call(calls.ICE, calls.Empty())

    assert [row.url.split(":")[0] for row in answer.servers] == ["stun", "turn", "turns"]
    assert answer.servers[1].password == mint(SECRET, answer.servers[1].username)
    assert answer.expires == server.core.now() + 600
    assert answer.relay_only


async def test_a_server_without_relays_says_so(admin: Person) -> None:
    """An empty list, which leaves the addresses of both ends themselves."""
    assert (await admin.call(calls.ICE, calls.Empty())).servers == ()


@pytest.mark.usefixtures("relays")
async def test_a_gateway_gets_them_too(server: BackendServer, application: Application) -> None:
    """Each end asks for its own."""
    candidate = await new_gateway(server, application)
    await candidate.enrol()
    gateway = server.api(Caller(candidate.keys.gateway, "", candidate.keys.signing))

    answer = await gateway.call(calls.ICE, calls.Empty())

    assert len(answer.servers) == 3
    await gateway.close()


@pytest.mark.usefixtures("relays")
async def test_who_may_start_no_tunnel_gets_none(server: BackendServer, admin: Person) -> None:
    """A relay costs its owner bandwidth."""
    bob = await server.add_person(admin, "bob@example.org")

    with pytest.raises(CommanderError) as caught:
        await bob.call(calls.ICE, calls.Empty())

    assert caught.value.code == Code.POLICY_MISSING


@pytest.mark.usefixtures("relays")
async def test_strangers_get_none(server: BackendServer, admin: Person) -> None:
    """Without a signature there is no answer."""
    with pytest.raises(NotLoggedIn):
        await server.api().call(calls.ICE, calls.Empty())


@pytest.mark.usefixtures("relays")
async def test_how_often_one_caller_gets_them_is_limited(
    server: BackendServer, admin: Person
) -> None:
    """400 at once, then slowly."""
    for _ in range(400):
        server.core.guards.relays.check(admin.device.device, server.core.clock.now())

    with pytest.raises(CommanderError) as caught:
        await admin.call(calls.ICE, calls.Empty())

    assert caught.value.code == Code.TOO_MANY_REQUESTS
