"""The ports of `commander-server start`: the one for all, and one for relay streams alone."""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from commander.errors import Conflict
from commander.launch.listening import listen_on
from commander.wire.relay import ALPN, RelayPrefix, read_answer, write_prefix
from tests.support.server_program import Run, Running, run_server

pytestmark = pytest.mark.integration
PREFIX = write_prefix(RelayPrefix("conversation", "no proof"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def begin(*words: str) -> Running:
        running.append(Running(tmp_path / "data", *words))
        return running[-1]

    yield begin
    for server in running:
        if server.child.poll() is None:
            server.stop(signal.SIGKILL)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return partial(run_server, tmp_path / "data")


def relay_address(server: Running) -> tuple[str, int]:
    line = next(line for line in server.lines if line.startswith("relay streams on "))
    host, _, port = line.split()[3].rstrip(",").rpartition(":")
    return host, int(port)


def refusal(connection: socket.socket) -> int:
    """The status that the relay answers to a prefix without proof."""
    connection.settimeout(20)
    connection.sendall(PREFIX)
    answer = read_answer(connection.recv(300))
    assert answer is not None
    return answer[0].status


def test_relay_streams_come_in_on_the_one_port(start: Callable[..., Running]) -> None:
    """Chosen in the handshake with the server's own certificate."""
    server = start()
    context = ssl.create_default_context(cafile=str(server.data / "ca.pem"))
    context.set_alpn_protocols([ALPN, "http/1.1"])
    host, _, port = server.address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        assert connection.selected_alpn_protocol() == ALPN
        assert refusal(connection) == 400
    assert server.stop() == 0


@pytest.mark.parametrize("plain", [True, False])
def test_a_relay_port_of_its_own(start: Callable[..., Running], plain: bool) -> None:
    """With TLS, or without it behind a program that ends TLS; the line says which."""
    server = start("--relay-listen", "127.0.0.1:0", *(["--relay-plain"] if plain else []))
    assert any(line.endswith("without TLS") for line in server.lines) == plain
    host, port = relay_address(server)
    context = ssl.create_default_context(cafile=str(server.data / "ca.pem"))
    with socket.create_connection((host, port), timeout=20) as connection:
        if plain:
            assert refusal(connection) == 400
        else:
            with context.wrap_socket(connection, server_hostname=host) as inside:
                assert refusal(inside) == 400
    assert server.stop() == 0


def test_plain_needs_a_port(run: Run) -> None:
    """The one port for all is never without TLS."""
    done = run("start", "--relay-plain")
    assert done.returncode == 2
    assert "--relay-plain needs --relay-listen" in done.stderr


def test_a_taken_port_is_named_with_its_option() -> None:
    """For either option."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        for option in ("--listen", "--relay-listen"):
            with pytest.raises(Conflict, match=where) as refused:
                listen_on(where, option)
            assert option in refused.value.hint


def test_a_port_is_ready_for_small_answers() -> None:
    """Accepted connections inherit what asyncio would not set."""
    with listen_on("127.0.0.1:0") as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
