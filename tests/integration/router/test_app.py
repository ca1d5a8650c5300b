"""New heads, revocation and the end, with real WebSockets."""

from __future__ import annotations

import pytest
from websockets.exceptions import InvalidStatus

from commander.authority.decide import Refuse
from commander.authority.refusals import Code
from commander.codec import encode
from commander.ids import new_uid
from commander.router import limits
from commander.wire.commands import Head, Send
from tests.support.router_server import Peer, RouterServer, closed_with, receive, router_server

pytestmark = pytest.mark.integration


def joined(server: RouterServer) -> tuple[Peer, Peer]:
    """A device and a gateway that may talk."""
    device, gateway = server.gate.device(), server.gate.gateway()
    server.gate.allow(device, gateway)
    return device, gateway


async def test_new_heads_are_announced_to_all(server: RouterServer) -> None:
    """Device and gateway hear of a new head at once."""
    device, gateway = joined(server)
    sockets = [await server.control(peer) for peer in (device, gateway)]

    server.gate.move_head()

    assert [await receive(socket) for socket in sockets] == [server.gate.at] * 2


async def test_a_revoked_device_loses_its_socket(server: RouterServer) -> None:
    """At the head that revokes it a device is closed with the code; others stay."""
    device, gateway = joined(server)
    there, here = await server.control(gateway), await server.control(device)

    server.gate.revoke(device)

    assert await closed_with(here) == (4003, Code.DEVICE_REVOKED)
    assert isinstance(await receive(there), Head)
    with pytest.raises(InvalidStatus):
        await server.control(device)


async def test_closing_the_router_tells_clients_to_come_back(server: RouterServer) -> None:
    """Sockets close with 1012 when the server restarts."""
    socket = await server.control(server.gate.device())

    await server.router.close()

    assert (await closed_with(socket))[0] == 1012


async def test_a_session_that_ended_begins_nothing(server: RouterServer) -> None:
    """Without any new head: the next message of a logged-out device closes its socket, undelivered."""
    device, gateway = joined(server)
    there, here = await server.control(gateway), await server.control(device)
    server.gate.gone[device.uid] = Refuse(Code.SESSION_UNKNOWN, "logged out")

    await here.send(encode(Send(new_uid(), gateway.uid, b"x")))

    assert await closed_with(here) == (4003, Code.SESSION_UNKNOWN)
    server.gate.move_head()
    assert isinstance(await receive(there), Head)


async def test_a_silent_session_that_ended_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a socket that says nothing is closed, by the round."""
    monkeypatch.setattr(limits, "SWEEP_S", 0.05)
    async with router_server() as server:
        here = await server.control(server.gate.device())

        server.gate.gone[here_uid(server)] = Refuse(Code.SESSION_UNKNOWN, "logged out")

        assert await closed_with(here) == (4003, Code.SESSION_UNKNOWN)


def here_uid(server: RouterServer) -> str:
    """The only device that is connected."""
    return next(iter(server.router.registry)).principal.uid
