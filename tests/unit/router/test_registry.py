from __future__ import annotations

import pytest
from starlette.websockets import WebSocket

from commander.ids import new_uid
from commander.router.limits import MAX_DEVICE_SOCKETS
from commander.router.ports import Online, Presence, Principal
from commander.router.registry import Connection, Registry

GATEWAY = Principal(new_uid(), "gateway", new_uid())
DEVICE = Principal(new_uid(), "device", new_uid(), "s")


async def _nothing(*args: object) -> None:
    """A socket that is not used here."""


def connection(principal: Principal, address: str = "10.0.0.1") -> Connection:
    """A connection whose socket is never touched."""
    socket = WebSocket({"type": "websocket"}, receive=_nothing, send=_nothing)  # type: ignore[arg-type]  # never called
    return Connection(socket, principal, address, 1_800_000_000)


@pytest.fixture
def registry() -> Registry:
    """Nobody connected."""
    return Registry()


def test_a_gateway_has_one_connection(registry: Registry) -> None:
    """The second one takes the place of the first, which is handed back."""
    first, second = connection(GATEWAY), connection(GATEWAY)

    assert registry.add(first) is None
    assert registry.add(second) is first
    assert (registry.newest(GATEWAY.uid), len(registry)) == (second, 1)


def test_a_fenced_connection_ends_without_a_trace(registry: Registry) -> None:
    """Its end, which comes later, does not take the newer one out."""
    first, second = connection(GATEWAY), connection(GATEWAY)
    registry.add(first)
    registry.add(second)

    registry.remove(first)

    assert registry.newest(GATEWAY.uid) is second
    registry.remove(second)
    registry.remove(second)
    assert (registry.newest(GATEWAY.uid), len(registry), list(registry)) == (None, 0, [])


def test_a_device_has_several_connections(registry: Registry) -> None:
    """Up to the bound side by side; past it the oldest goes."""
    many = [connection(DEVICE) for _ in range(MAX_DEVICE_SOCKETS + 1)]

    fenced = [registry.add(one) for one in many]

    assert fenced == [None] * MAX_DEVICE_SOCKETS + [many[0]]
    assert registry.of(DEVICE.uid) == many[1:]
    assert registry.newest(DEVICE.uid) is many[-1]


def test_presence_is_of_gateways_only(registry: Registry) -> None:
    """Listings learn version, address and time of gateways, and nothing of devices."""
    presence: Presence = registry
    one = connection(GATEWAY)
    one.version = "1.2"
    registry.add(one)
    registry.add(connection(DEVICE))

    assert presence.online(GATEWAY.uid) == Online(GATEWAY.uid, "1.2", "10.0.0.1", 1_800_000_000)
    assert presence.online(DEVICE.uid) is None
    assert presence.online(new_uid()) is None
