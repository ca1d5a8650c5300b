"""What the outermost layer refuses before anything is read, over real TLS."""

from __future__ import annotations

import asyncio
import ssl
import warnings

import pytest

from commander.api.tls import verified_context
from commander.wire.known_server import split_address
from tests.support.backend_server import BackendServer

pytestmark = pytest.mark.integration


async def status_of(server: BackendServer, request: bytes) -> int:
    """Send raw bytes; the answer's status, 0 when the server just closes."""
    host, port = split_address(server.known.address)
    reader, writer = await asyncio.open_connection(
        host, port, ssl=verified_context(server.known.ca)
    )
    try:
        writer.write(request)
        await writer.drain()
        line = await asyncio.wait_for(reader.readline(), 30)
        return int(line.split()[1]) if line else 0
    finally:
        writer.close()


def post(path: bytes = b"/api/v1/log", *headers: bytes, body: bytes = b"") -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: x", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post(b"/api/v1//log", b"Content-Length: 0"), 404),
        (post(b"/api/v1/%6cog", b"Content-Length: 0"), 404),
        (post(b"/api/v1/log%00", b"Content-Length: 0"), 404),
        (post(b"/api/v1/./log", b"Content-Length: 0"), 404),
        (post(b"/api/v1/../v1/log", b"Content-Length: 0"), 404),
        (post(b"/api/v1/log;x", b"Content-Length: 0"), 404),
        (post(b"/api/v1/log.", b"Content-Length: 0"), 404),
        (post(b"/api/v1/log", b"Content-Encoding: gzip", b"Content-Length: 0"), 415),
        (post(b"/api/v1/log", b"Content-Encoding: deflate", b"Content-Length: 0"), 415),
        (post(b"/api/v1/log", b"Content-Encoding: zstd", b"Content-Length: 0"), 415),
        (post(b"/api/v1/log", b"Content-Length: 0", b"X-HTTP-Method-Override: GET"), 400),
        (post(b"/api/v1/log", b"Content-Length: 1", b"Content-Length: 2", body=b"xx"), 400),
        (post(b"/api/v1/log", b"Content-Length: 1", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
        (post(b"/api/v1/log", b"Content-Length: -1"), 400),
        (post(b"/api/v1/log", b"Content-Length: 1e3"), 400),
        (post(b"/api/v1/log", b"Content-Type: a", b"Content-Type: b", b"Content-Length: 0"), 400),
        (post(b"/api/v1/log", b"X: " + b"y" * 65536), 431),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ],
)  # fmt: skip
async def test_ambiguous_requests_are_refused(
    server: BackendServer, request_bytes: bytes, status: int
) -> None:
    """One spelling, one length, no compression; and an honest request beside them is answered."""
    assert await status_of(server, request_bytes) == status
    assert await status_of(server, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n") == 200


async def test_plain_http_and_old_tls_get_nowhere(server: BackendServer) -> None:
    """There is no door without TLS, and none for TLS before 1.2."""
    host, port = split_address(server.known.address)
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert not (await reader.read(100)).startswith(b"HTTP")
    writer.close()
    old = verified_context(server.known.ca)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        await asyncio.open_connection(host, port, ssl=old)
