"""Large answers and clients that read them slowly, or not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from commander.api.tls import verified_context
from commander.backend.http import protocol
from commander.backend.http.paced import PIECE, SMALL, AnswerBudget
from commander.ksm.request import PATH_PREFIX
from commander.wire.known_server import split_address
from commander.wire.records import RecordData
from tests.support.sdk_devices import RawDevice, SdkWorld

pytestmark = pytest.mark.integration
RECORDS = 16


@asynccontextmanager
async def begun(
    world: SdkWorld, device: RawDevice, connected: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """Connect, ask for everything; a reader that holds little, and the answer's length."""
    host, port = split_address(world.server.known.address)
    context: ssl.SSLContext = verified_context(world.server.known.ca)
    reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=PIECE)
    connected()
    request = device.request(device.payload())
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    writer.write(
        f"POST {PATH_PREFIX}get_secret HTTP/1.1\r\nHost: {host}\r\n{head}"
        f"Content-Length: {len(request.body)}\r\n\r\n".encode()
        + request.body
    )
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert answer.startswith(b"http/1.1 200")
    length = answer.split(b"content-length: ")[1].split(b"\r\n")[0]
    try:
        yield reader, int(length)
    finally:
        writer.transport.abort()


@pytest.fixture
async def large(world: SdkWorld) -> SdkWorld:
    """An application with an answer of 12 MiB or so, which no socket buffer holds."""
    for number in range(RECORDS):
        data = RecordData.create("login", f"Large {number}")
        data.set_first("note", "x" * 600_000)
        await world.vault.create_record(data, world.folder)
    return world


async def test_answer_on_a_slow_line_comes_whole(
    large: SdkWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer than a connection may be quiet, and is not cut off for that."""
    device = await large.device()
    received = 0

    def hurry() -> None:
        # For what comes after the answer only: a busy machine is slow to shake hands and to ask.
        monkeypatch.setattr(protocol, "HEADERS_S", 2.0)

    async with begun(large, device, hurry) as (reader, length):
        began = asyncio.get_running_loop().time()
        while received < length:
            received += len(await reader.readexactly(min(PIECE, length - received)))
            # Six seconds for the whole, in which a client with nothing to say is cut off thrice.
            await asyncio.sleep(6 * PIECE / length)
        took = asyncio.get_running_loop().time() - began

    assert took > 4
    assert length > 12_000_000


async def test_answers_that_nobody_reads_are_few(large: SdkWorld) -> None:
    """One address holds what its limit says; then it is told to wait, as SDKs understand, and others are served."""
    device = await large.device()
    async with AsyncExitStack() as stack:
        for _ in range(7):
            await stack.enter_async_context(begun(large, device))
        status, answer = await device.call("get_secret")
        small = await device.call("get_secret", requestedRecords=[large.record])

    assert (status, answer["error"], answer["retry_after"]) == (403, "throttled", 2)
    assert small[0] == 200


def test_budget_is_for_all_and_for_each() -> None:
    """Small ones are free, one source has its share, and the first of any size is served."""
    budget = AnswerBudget(most=10 * SMALL, most_of_one=4 * SMALL)
    assert budget.hold("a", SMALL) is not None
    first = budget.hold("a", 20 * SMALL)
    assert first is not None
    assert budget.hold("a", 2 * SMALL) is None
    assert budget.hold("b", 2 * SMALL) is None
    assert budget.hold("a", SMALL) is not None

    first.release()
    first.release()

    two = [budget.hold("a", 2 * SMALL), budget.hold("a", 2 * SMALL)]
    assert None not in two
    assert budget.hold("a", 2 * SMALL) is None
    assert budget.hold("b", 6 * SMALL) is not None
    assert budget.hold("c", 2 * SMALL) is None
