"""Upgrades are judged before they happen."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from websockets.exceptions import InvalidStatus

from commander.authority.refusals import Code
from commander.wire.calls import ROUTER_PATH
from tests.support.router_server import Peer, RouterServer

pytestmark = pytest.mark.integration


Change = Callable[[RouterServer, Peer], tuple[str | None, str, str | None]]
SUBPROTOCOL = "commander.router.v1"


def _stale(server: RouterServer, peer: Peer) -> tuple[str | None, str, str | None]:
    old = int(server.clock.now()) - 121
    return server.header(peer, ROUTER_PATH, time=old), SUBPROTOCOL, None


def _foreign_key(server: RouterServer, peer: Peer) -> tuple[str | None, str, str | None]:
    return server.header(Peer(peer.principal), ROUTER_PATH), SUBPROTOCOL, None


REFUSED: dict[str, tuple[int, Code, Change]] = {
    "no header": (400, Code.REQUEST_MALFORMED, lambda s, p: (None, SUBPROTOCOL, None)),
    "garbage header": (400, Code.REQUEST_MALFORMED, lambda s, p: ("zz", SUBPROTOCOL, None)),
    "long header": (400, Code.REQUEST_MALFORMED, lambda s, p: ("ab" * 2000, SUBPROTOCOL, None)),
    "other path": (
        401,
        Code.REQUEST_SIGNATURE,
        lambda s, p: (s.header(p, "/api/v1/relay/x"), SUBPROTOCOL, None),
    ),
    "other key": (401, Code.REQUEST_SIGNATURE, _foreign_key),
    "stale": (401, Code.REQUEST_STALE, _stale),
    "origin": (
        400,
        Code.REQUEST_MALFORMED,
        lambda s, p: (s.header(p, ROUTER_PATH), SUBPROTOCOL, "https://evil.example"),
    ),
    "no subprotocol": (
        400,
        Code.REQUEST_MALFORMED,
        lambda s, p: (s.header(p, ROUTER_PATH), "", None),
    ),
    "other subprotocol": (
        400,
        Code.REQUEST_MALFORMED,
        lambda s, p: (s.header(p, ROUTER_PATH), "chat", None),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_an_upgrade_is_judged_before_it_happens(server: RouterServer, name: str) -> None:
    """Each flaw of an upgrade gives its status and code; the same peer gets in without it."""
    status, code, change = REFUSED[name]
    device = server.gate.device()
    header, subprotocol, origin = change(server, device)

    with pytest.raises(InvalidStatus) as caught:
        await server.dial(ROUTER_PATH, header, subprotocol=subprotocol, origin=origin)

    assert caught.value.response.status_code == status
    assert json.loads(caught.value.response.body or b"")["code"] == code
    await server.control(device)


async def test_a_header_works_once(server: RouterServer) -> None:
    """A recorded upgrade header opens nothing."""
    header = server.header(server.gate.device(), ROUTER_PATH)
    await server.dial(ROUTER_PATH, header)

    with pytest.raises(InvalidStatus) as caught:
        await server.dial(ROUTER_PATH, header)

    assert json.loads(caught.value.response.body or b"")["code"] == Code.REQUEST_REPLAYED
