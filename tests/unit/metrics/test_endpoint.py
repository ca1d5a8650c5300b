"""The endpoint answers three pages to a plain GET, and nothing else, whatever is sent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import NotAllowed, UsageError
from commander.metrics import endpoint as module
from commander.metrics.endpoint import Endpoint, Listen, Pages, judge_request, read_listen


class Program:
    """What the endpoint watches in these tests."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.is_broken = False

    def metrics(self) -> bytes:
        if self.is_broken:
            raise RuntimeError("a fault of the readings")
        return b"commander_things 1.0\n"

    async def not_ready(self) -> list[str]:
        return self.reasons


@pytest.fixture
def program() -> Program:
    return Program()


@pytest_asyncio.fixture
async def address(program: Program) -> AsyncIterator[tuple[str, int]]:
    endpoint = Endpoint(Listen("127.0.0.1", 0), Pages(program.metrics, program.not_ready))
    host, _, port = (await endpoint.start()).rpartition(":")
    yield host, int(port)
    await endpoint.close()


async def ask(address: tuple[str, int], data: bytes) -> bytes:
    """Send bytes, and read what comes until the end."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(data)
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: 127.0.0.1:9464", *headers, "", ""]).encode()


async def test_the_three_pages(address: tuple[str, int], program: Program) -> None:
    """Health and readiness answer in a line, metrics in Prometheus' format; others do not exist."""
    health, ready = await ask(address, get("/healthz")), await ask(address, get("/readyz"))
    metrics, other = await ask(address, get("/metrics?x=1")), await ask(address, get("/"))
    program.reasons = ["not connected", "the disk is full"]
    not_ready = await ask(address, get("/readyz"))

    assert health.startswith(b"HTTP/1.1 200 OK\r\n")
    assert health.endswith(b"\r\n\r\nok\n")
    assert ready.endswith(b"\r\n\r\nready\n")
    assert b"text/plain; version=0.0.4" in metrics
    assert metrics.endswith(b"commander_things 1.0\n")
    assert other.startswith(b"HTTP/1.1 404 ")
    assert not_ready.startswith(b"HTTP/1.1 503 ")
    assert not_ready.endswith(b"\r\n\r\nnot connected\nthe disk is full\n")


async def test_a_fault_in_a_page_stays_in_the_endpoint(
    address: tuple[str, int], program: Program
) -> None:
    """The scraper is told 500, without the fault's text, and the next page is served."""
    program.is_broken = True

    broken = await ask(address, get("/metrics"))

    assert broken.startswith(b"HTTP/1.1 500 ")
    assert b"fault of the readings" not in broken
    assert (await ask(address, get("/healthz"))).startswith(b"HTTP/1.1 200 ")


async def test_more_connections_than_the_bound_are_cut(address: tuple[str, int]) -> None:
    """Whoever opens many and says nothing gets no more than the bound, and the next is cut at once."""
    silent = [await asyncio.open_connection(*address) for _ in range(module.MAX_CONNECTIONS)]
    # Each of them is being served once it was accepted, which is in the order of connecting.
    for _, writer in silent:
        writer.write(b"G")
        await writer.drain()

    with pytest.raises((ConnectionError, AssertionError)):
        assert await ask(address, get("/healthz"))

    for _, writer in silent:
        writer.close()


async def test_a_request_that_ends_or_never_ends_is_given_up(address: tuple[str, int]) -> None:
    """Half a request is refused, and one with more headers than the bound as well."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /healthz HT")
    writer.write_eof()
    half = await reader.read()
    writer.close()
    long = await ask(address, b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 9000)

    assert half.startswith(b"HTTP/1.1 400 ")
    assert long.startswith(b"HTTP/1.1 431 ")


async def test_a_port_that_is_taken_ends_nothing() -> None:
    """The program is told by an empty address, and goes on."""
    program = Program()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = Listen("127.0.0.1", taken.getsockname()[1])
        endpoint = Endpoint(listen, Pages(program.metrics, program.not_ready))

        assert await endpoint.start() == ""
        await endpoint.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /metrics HTTP/1.1", 200),
        (b"GET /metrics HTTP/1.0", 200),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 0", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost:9464", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: [::1]:9464", 200),
        (b"POST /metrics HTTP/1.1", 405),
        (b"HEAD /metrics HTTP/1.1", 405),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 5", 413),
        (b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked", 413),
        (b"GET /metrics HTTP/1.1\r\nOrigin: https://evil.example", 403),
        (b"GET /metrics HTTP/1.1\r\nHost: rebound.evil.example:9464", 403),
        (b"GET  /metrics HTTP/1.1", 400),
        (b"GET /metrics", 400),
        (b"PRI * HTTP/2.0", 400),
        (b"", 400),
    ],
)
def test_what_a_request_may_look_like(head: bytes, status: int) -> None:
    """A plain GET without a body, by address, from no web page."""
    assert judge_request(head + b"\r\n\r\n")[0] == status


def test_a_name_is_fine_where_others_may_ask() -> None:
    """An endpoint that listens for other machines is called by its name."""
    head = b"GET /metrics HTTP/1.1\r\nHost: gateway7.example\r\n\r\n"

    assert judge_request(head, any_host=True) == (200, b"/metrics")


@given(head=st.binary(max_size=300))
def test_any_bytes_are_judged(head: bytes) -> None:
    """No request makes the judge fail."""
    assert judge_request(head)[0] in module._REASONS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9464",
        "localhost:9464",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "::1",
    ],
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    """Names, missing ports and others are usage errors that say what to write."""
    with pytest.raises(UsageError, match="--metrics-listen"):
        read_listen(text, allow_remote=True)


def test_other_machines_are_let_in_only_when_told_so() -> None:
    """Loopback is free; everything else needs the second flag."""
    assert read_listen("127.0.0.1:9464", allow_remote=False) == Listen("127.0.0.1", 9464)
    assert read_listen("[::1]:0", allow_remote=False).is_local
    with pytest.raises(NotAllowed, match="other machines"):
        read_listen("0.0.0.0:9464", allow_remote=False)
    assert not read_listen("0.0.0.0:9464", allow_remote=True).is_local
