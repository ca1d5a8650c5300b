from __future__ import annotations

from ipaddress import ip_network

import pytest
from starlette.types import Message, Receive, Scope, Send

from commander.backend.http.door import Door

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


async def seen_address(peer: str, *forwarded: str, trusted: bool = True) -> str:
    """The address that the application behind the door sees."""
    found: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope["client"][0])

    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    scope: Scope = {
        "type": "http", "path": "/health", "raw_path": b"/health", "headers": headers,
        "client": (peer, 1),
    }  # fmt: skip

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError("the door answered by itself")

    await Door(app, proxies=PROXIES if trusted else [])(scope, receive, send)
    return found[0]


async def test_forwarded_address_of_a_stranger_is_ignored() -> None:
    """Anyone can write the header; only a proxy we were told of is believed."""
    assert await seen_address("192.0.2.1", "203.0.113.9") == "192.0.2.1"
    assert await seen_address("10.0.0.1", "203.0.113.9", trusted=False) == "10.0.0.1"
    assert await seen_address("10.0.0.1", "203.0.113.9") == "203.0.113.9"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (("1.2.3.4, 203.0.113.9",), "203.0.113.9"),
        (("1.2.3.4", "203.0.113.9"), "203.0.113.9"),
        (("203.0.113.9, 10.9.9.9",), "203.0.113.9"),
        (("10.9.9.9",), "10.0.0.1"),
        (("nonsense",), "10.0.0.1"),
        (("203.0.113.9, nonsense",), "10.0.0.1"),
        (("2001:db8::5",), "2001:db8::5"),
        ((), "10.0.0.1"),
    ],
)
async def test_nearest_hop_that_is_no_proxy_of_ours_counts(
    forwarded: tuple[str, ...], address: str
) -> None:
    """What a client writes before its own proxy's entry is not believed."""
    assert await seen_address("10.0.0.1", *forwarded) == address
