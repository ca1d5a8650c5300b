"""Connections outlive their paths: servers die, machines stop, move and are cut off, rights go."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machines import DATABASE, WEB, Machines, backend_of, running_machines
from tests.support.servers.http import body
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

BACK = r"is back after"
INTERRUPTED = r"is interrupted"
BULK = 60_000_000
# Two cores are shared with the tests themselves: a machine that is busy is not a fault.
SLACK_S = 20.0
RESET_S = 7.0


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with running_machines(tmp_path_factory.mktemp("resume")) as machines:
        yield machines


def test_a_killed_server_costs_no_connection(machines: Machines, tmp_path: Path) -> None:
    """kill -9 under psql and a download over the relay: both go on, and new tunnels work soon after."""
    developer = machines.developer
    database, database_port = developer.start_tunnel(DATABASE, "--path", "relay")
    web, web_port = developer.start_tunnel(WEB, "--path", "relay")
    session = machines.psql(database_port)
    before = backend_of(session, "before")
    download = machines.download(web_port, f"bytes/{BULK}", tmp_path / "got")

    machines.server.kill()
    for tunnel in (database, web):
        tunnel.wait_for_line(INTERRUPTED)
    machines.product.start_server()
    begun = time.monotonic()
    new, _ = developer.start_tunnel(WEB, "--new", "--wait")
    took_s = time.monotonic() - begun
    for tunnel in (database, web):
        tunnel.wait_for_line(BACK)

    assert backend_of(session, "after") == before
    assert download.wait(120) == 0
    assert (tmp_path / "got").read_bytes() == body(BULK)
    assert took_s < 5 + SLACK_S
    for child in (session, database, web, new):
        child.stop()


def test_a_client_that_was_stopped_goes_on(machines: Machines, tmp_path: Path) -> None:
    """SIGSTOP for longer than a silent path lives: afterwards the download goes on where it was."""
    tunnel, port = machines.developer.start_tunnel(WEB)
    download = machines.download(port, f"bytes/{BULK}", tmp_path / "got")
    until((tmp_path / "got").exists, "the download begins")

    os.kill(tunnel.pid, signal.SIGSTOP)
    threading.Event().wait(9)
    os.kill(tunnel.pid, signal.SIGCONT)

    assert download.wait(120) == 0
    assert (tmp_path / "got").read_bytes() == body(BULK)
    events = machines.developer("pam", "tunnel", "tail", WEB, "--no-follow", "--lines", "100")
    assert "stood still for" in events
    tunnel.stop()


def test_a_client_with_another_address_goes_on(machines: Machines, tmp_path: Path) -> None:
    """In the middle of a transfer the machine comes into another network."""
    tunnel, port = machines.developer.start_tunnel(WEB)
    session_tunnel, database_port = machines.developer.start_tunnel(DATABASE)
    session = machines.psql(database_port)
    before = backend_of(session, "before")
    download = machines.download(port, f"bytes/{BULK}", tmp_path / "got")
    until((tmp_path / "got").exists, "the download begins")

    old = machines.client.address
    machines.client.move_to("10.203.7.77")

    assert download.wait(120) == 0
    assert (tmp_path / "got").read_bytes() == body(BULK)
    assert backend_of(session, "after") == before
    machines.client.move_to(old)
    assert backend_of(session, "again") == before
    for child in (session, session_tunnel, tunnel):
        child.stop()


def test_a_share_that_is_revoked_meanwhile_ends_it(machines: Machines) -> None:
    """The machine is cut off, the share goes, the machine is back: the tunnel ends at once, with 4."""
    tunnel, port = machines.developer.start_tunnel(WEB)
    machines.client.unplug()
    tunnel.wait_for_line(INTERRUPTED, deadline_s=60)

    machines.let(may=False)
    machines.client.plug_in()
    status = tunnel.wait(deadline_s=60)

    assert status == 4, tunnel.output
    assert "peer-unknown" in tunnel.output or "access-missing" in tunnel.output
    machines.let()
    # The control: the same cut without it is survived.
    again, port = machines.developer.start_tunnel(WEB)
    machines.client.unplug()
    again.wait_for_line(INTERRUPTED, deadline_s=60)
    machines.client.plug_in()
    again.wait_for_line(BACK, deadline_s=60)
    fetched = machines.client.run("curl", "-sS", f"http://127.0.0.1:{port}/hello").stdout
    assert fetched == "hello"
    again.stop()


def test_a_killed_gateway_is_told(machines: Machines, tmp_path: Path) -> None:
    """kill -9: local sockets are reset within seconds, and tail says why and what to do."""
    tunnel, port = machines.developer.start_tunnel(WEB)
    download = machines.download(port, "slow/6000", tmp_path / "got")
    until((tmp_path / "got").exists, "the download begins")

    machines.gateway.kill()
    begun = time.monotonic()
    curl_status = download.wait(60)
    took_s = time.monotonic() - begun
    status = tunnel.wait()
    told = machines.developer.run("pam", "tunnel", "tail", _id_of(tunnel.output), "--no-follow")
    machines.product.start_gateway(host=machines.lab["gateway"])

    assert took_s < RESET_S + SLACK_S
    assert curl_status != 0
    assert status == 6, tunnel.output
    assert "the gateway's process ended" in tunnel.output
    assert "the gateway's process ended" in told.stdout
    assert told.returncode == 6
    again, _ = machines.developer.start_tunnel(WEB)
    again.stop()


def test_a_restarted_gateway_is_told(machines: Machines) -> None:
    """In order: the tunnel is closed by the gateway; nothing waits for ten minutes."""
    tunnel, _ = machines.developer.start_tunnel(WEB)

    machines.gateway.terminate()
    machines.gateway.wait()
    tunnel.wait(deadline_s=60)
    machines.product.start_gateway(host=machines.lab["gateway"])

    assert "shut" in tunnel.output, tunnel.output
    again, _ = machines.developer.start_tunnel(WEB)
    again.stop()


def _id_of(output: str) -> str:
    """The tunnel's id, as the endpoint's line names it."""
    return output.split("Endpoint ")[1].split(":")[0]
