from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.requests import Request
from starlette.types import Message

from commander.backend.http.body import BodyReader, BodyRefused


def request_with(*chunks: bytes, then_silence: bool = False, length: str = "") -> Request:
    """A request whose body comes in these pieces."""
    left = list(chunks)

    async def receive() -> Message:
        if not left and then_silence:
            await asyncio.Event().wait()
        body = left.pop(0) if left else b""
        return {"type": "http.request", "body": body, "more_body": bool(left) or then_silence}

    headers = [(b"content-length", length.encode())] if length else []
    return Request({"type": "http", "headers": headers}, receive)


def soon(received: int) -> float:
    return 0.05


async def refusal(reader: BodyReader, request: Request, limit: int = 100) -> int:
    with pytest.raises(BodyRefused) as caught:
        await reader.read(request, limit)
    return caught.value.response.status_code


async def test_body_is_put_together_from_its_pieces() -> None:
    """However it comes, it is the same body."""
    reader = BodyReader()

    assert await reader.read(request_with(b"ab", b"", b"c", length="3"), 3) == b"abc"


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "1_0", "9" * 13, "٣"])
async def test_length_that_is_no_number_is_refused(length: str) -> None:
    """Only ASCII digits count."""
    request = request_with(b"x")
    request.scope["headers"] = [(b"content-length", length.encode("utf-8"))]

    assert await refusal(BodyReader(), request) == 400


async def test_body_of_another_length_than_declared_is_refused() -> None:
    """Both shorter and longer."""
    assert await refusal(BodyReader(), request_with(b"abc", length="4")) == 400
    assert await refusal(BodyReader(), request_with(b"abc", length="2")) == 400


async def test_body_over_its_limit_is_refused_when_it_passes_it() -> None:
    """Declared or not."""
    assert await refusal(BodyReader(), request_with(b"x" * 60, b"x" * 60)) == 413
    assert await refusal(BodyReader(), request_with(length="101")) == 413


async def test_silent_body_is_refused_at_its_deadline() -> None:
    """A peer that stops sending does not hold the request."""
    reader = BodyReader(deadline_s=soon)

    assert await refusal(reader, request_with(b"x", then_silence=True)) == 408


async def test_memory_for_bodies_is_shared_and_given_back() -> None:
    """When it is used up others are told to come back, until a body was used."""
    reader = BodyReader(most=100)
    first = await reader.read(request_with(b"x" * 80), 100)

    assert await refusal(reader, request_with(b"x" * 30)) == 503
    reader.done(len(first))
    assert len(await reader.read(request_with(b"x" * 30), 100)) == 30


@pytest.mark.parametrize(
    "broken",
    [
        lambda: request_with(b"x" * 60, b"x" * 60),
        lambda: request_with(b"x" * 50, length="40"),
        lambda: request_with(b"x" * 50, then_silence=True),
    ],
)
async def test_refused_body_gives_its_memory_back(broken: Callable[[], Request]) -> None:
    """A thousand bad bodies leave as much room as there was."""
    reader = BodyReader(most=120, deadline_s=soon)
    for _ in range(5):
        await refusal(reader, broken())

    assert len(await reader.read(request_with(b"x" * 100), 100)) == 100
