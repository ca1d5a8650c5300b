"""
Parts cut off from each other, silently: what live tunnels, new tunnels and lost rights then do.

The table of docs/resume.md, a test for each cell; leases, which would bound the second row, are
not there yet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.support.machines import DATABASE, WEB, Machines, backend_of, running_machines
from tests.support.namespaces import Host
from tests.support.processes import Child
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NOTICE_S = 60.0


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with running_machines(tmp_path_factory.mktemp("partitions")) as machines:
        yield machines


@contextlib.contextmanager
def cut(one: Host, other: Host) -> Iterator[None]:
    """Nothing passes between two machines during the block."""
    one.cut_off(other)
    try:
        yield
    finally:
        one.rejoin()


@contextlib.contextmanager
def live(machines: Machines, *words: str, kind: str = "") -> Iterator[tuple[Child, Child, str]]:
    """A tunnel with a psql session in it: tunnel, session, and which backend the session has."""
    tunnel, port = machines.developer.start_tunnel(DATABASE, *words)
    if kind:
        until(lambda: path_of(machines) == kind, f"{kind} carries", deadline_s=NOTICE_S)
    session = machines.psql(port)
    try:
        yield tunnel, session, backend_of(session, "before")
    finally:
        session.stop()
        tunnel.stop()


def path_of(machines: Machines) -> str:
    """What carries the developer's only tunnel."""
    listed = machines.developer.json("pam", "tunnel", "list")
    return str(listed[0]["path"]) if listed else ""


def test_client_from_server_over_a_direct_path(machines: Machines) -> None:
    """The session goes on, nothing new is opened, and a right taken away ends the tunnel all the same."""
    with live(machines, kind="direct") as (tunnel, session, before):
        with cut(machines.client, machines.lab["server"]):
            assert backend_of(session, "during") == before
            refused = machines.developer.run("pam", "tunnel", "start", WEB, deadline_s=90)
            assert backend_of(session, "later") == before
            machines.let(may=False)
            status = tunnel.wait(deadline_s=NOTICE_S)
        machines.let()

        assert refused.returncode in (6, 8), refused.stderr
        assert status == 4, tunnel.output


def test_client_from_server_over_the_relay(machines: Machines) -> None:
    """The session waits, and goes on when the way is back."""
    with live(machines, "--path", "relay") as (tunnel, session, before):
        with cut(machines.client, machines.lab["server"]):
            tunnel.wait_for_line("is interrupted", deadline_s=NOTICE_S)
        tunnel.wait_for_line("is back after", deadline_s=NOTICE_S)

        assert backend_of(session, "after") == before


def test_gateway_from_server_over_a_direct_path(machines: Machines) -> None:
    """The session goes on, new ones are refused as offline; a right is taken at the gateway's return."""
    gateway, server = machines.lab["gateway"], machines.lab["server"]
    with live(machines, kind="direct") as (tunnel, session, before):
        with cut(gateway, server):
            machines.gateway.wait_for_line("offline", deadline_s=NOTICE_S)
            until(lambda: _is_offline(machines), "the server says offline", deadline_s=NOTICE_S)
            refused = machines.developer.run("pam", "tunnel", "start", WEB, deadline_s=90)
            machines.let(may=False)
            assert backend_of(session, "during") == before
        status = tunnel.wait(deadline_s=NOTICE_S)
        machines.let()

        assert refused.returncode == 6, refused.stderr
        assert "not connected" in refused.stderr
        assert status == 4, tunnel.output


def test_gateway_from_server_over_the_relay(machines: Machines) -> None:
    """The session waits for the gateway's network, and goes on."""
    gateway, server = machines.lab["gateway"], machines.lab["server"]
    with live(machines, "--path", "relay") as (tunnel, session, before):
        with cut(gateway, server):
            tunnel.wait_for_line("is interrupted", deadline_s=NOTICE_S)
        tunnel.wait_for_line("is back after", deadline_s=NOTICE_S)

        assert backend_of(session, "after") == before


def test_client_from_gateway(machines: Machines) -> None:
    """The direct path dies, the relay takes over; new tunnels use it; taking a right away works."""
    with live(machines, kind="direct") as (tunnel, session, before):
        with cut(machines.client, machines.lab["gateway"]):
            assert backend_of(session, "during") == before
            until(lambda: path_of(machines) == "relay", "the relay carries", deadline_s=NOTICE_S)
            new, _ = machines.developer.start_tunnel(WEB)
            new.stop()
            machines.let(may=False)
            status = tunnel.wait(deadline_s=NOTICE_S)
        machines.let()

        assert status == 4, tunnel.output


def test_server_down(machines: Machines) -> None:
    """Over a direct path nobody notices but who starts something; afterwards everything works."""
    with live(machines, kind="direct") as (tunnel, session, before):
        machines.server.kill()
        refused = machines.developer.run("pam", "tunnel", "start", WEB, deadline_s=90)
        assert backend_of(session, "during") == before
        machines.product.start_server()
        new, _ = machines.developer.start_tunnel(WEB, "--wait")

        assert refused.returncode == 6, refused.stderr
        assert backend_of(session, "after") == before
        assert tunnel.is_running
        new.stop()


def _is_offline(machines: Machines) -> bool:
    return not machines.admin.json("pam", "gateway", "list", "--online")
