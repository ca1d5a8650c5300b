"""The application with routes of others beside its own."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from commander.backend.app import build_app
from commander.backend.core import open_core
from commander.clock import ManualClock

pytestmark = pytest.mark.integration


async def whose(request: Request) -> Response:
    """An endpoint of somebody else, that says whom it sees."""
    assert request.client is not None
    return PlainTextResponse(request.client.host)


async def broken(request: Request) -> Response:
    """An endpoint of somebody else, that fails."""
    raise RuntimeError("SELECT secret")


async def test_extra_routes_are_behind_the_same_door(tmp_path: Path) -> None:
    """They see the true address, and their failures are numbers too."""
    core = await open_core(tmp_path / "server.db", ManualClock())
    routes = [Route("/whose", whose), Route("/broken", broken)]
    app = build_app(core, routes, proxies=[ip_network("127.0.0.0/8")])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://x") as client:
        forwarded = await client.get("/whose", headers={"x-forwarded-for": "203.0.113.9"})
        fault = await client.get("/broken")
        health = await client.get("/health")
        squeezed = await client.post("/whose", headers={"content-encoding": "gzip"})
    await core.close()

    assert forwarded.text == "203.0.113.9"
    assert (fault.status_code, fault.text[:14]) == (500, "internal error")
    assert "SELECT" not in fault.text
    assert (health.status_code, squeezed.status_code) == (200, 415)
