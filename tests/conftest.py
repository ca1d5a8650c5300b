"""Fixtures of all tests: a clean environment, and the real servers, each started once when first asked for."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.canaries import Canaries
from tests.support.coverage_contexts import pytest_runtest_protocol
from tests.support.loop_thread import LoopThread
from tests.support.processes import Family, Home
from tests.support.product import Product
from tests.support.scenarios import pytest_runtest_makereport, pytest_terminal_summary
from tests.support.servers.http import HttpServer
from tests.support.servers.http_proxy import HttpProxy
from tests.support.servers.postgres import Postgres
from tests.support.servers.sshd import Sshd

__all__ = [  # hooks that pytest finds here
    "pytest_runtest_makereport",
    "pytest_runtest_protocol",
    "pytest_terminal_summary",
]

# A busy machine is no finding, and a run that nobody changed anything for ends as the last one did.
# For new examples: pytest --hypothesis-profile=search
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("steady")

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_LEAKS = ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "GATEWAY_CONFIG")


# In the background of a script Ctrl-C is ignored, and with it in every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """
    Number byte strings instead of showing them: many are made of fresh keys, and a test must have
    the same name in every process that shares the work.
    """
    return argname if isinstance(val, bytes | bytearray) else None


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, no setting and no home of the person who runs the tests has a part in them."""
    for name in [*os.environ]:
        if name.upper() in _PROXIES or name.startswith(("COMMANDER_", "PG")) or name in _LEAKS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The directories of one user."""
    return Home(tmp_path / "home")


@pytest.fixture
def family() -> Iterator[Family]:
    """Where a test starts its programs; fails the test when one leaves something behind."""
    with Family() as family:
        yield family


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    """The product, with nothing started yet; fails the test when a program leaves something behind."""
    with Product(tmp_path) as product:
        yield product


@pytest.fixture
def canaries() -> Canaries:
    """Marked values of this test alone."""
    return Canaries()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL; tests may make databases and tables but must not stop it."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    """A real sshd."""
    with Sshd() as server:
        yield server


@pytest.fixture(scope="session")
def http_server() -> Iterator[HttpServer]:
    """A plain HTTP server in a process of its own."""
    with HttpServer() as server:
        yield server


@pytest.fixture
async def http_proxy() -> AsyncIterator[HttpProxy]:
    """A CONNECT proxy with counters in this test's event loop."""
    async with HttpProxy() as proxy:
        yield proxy


@pytest.fixture
def server_loop() -> Iterator[LoopThread]:
    """An event loop in another thread, for asyncio servers in tests that are not asynchronous."""
    with LoopThread() as loop:
        yield loop
