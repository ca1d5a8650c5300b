from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import namespaces
from tests.support.namespaces import Host, Lab
from tests.support.processes import Child
from tests.support.waiting import until

pytestmark = pytest.mark.integration

SERVE = "import socket; s = socket.create_server(('', 7000)); print('ready', flush=True); "
SERVE += "[s.accept() for _ in iter(int, 1)]"
# Long enough that a first packet which the bridge has lost is repeated.
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 7000), timeout=4)"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab("server", "client", "gateway") as lab:
        for name in ("server", "gateway"):
            serve(lab[name])
        yield lab


def serve(host: Host) -> Child:
    child = host.start(sys.executable, "-c", SERVE)
    child.wait_for_line("ready")
    return child


def connects(source: Host, target: Host) -> bool:
    done = source.run(sys.executable, "-c", CONNECT, target.address, check=False)
    return done.returncode == 0


def test_hosts_reach_each_other(lab: Lab) -> None:
    """Without a firewall any host can connect to any other."""
    assert connects(lab["client"], lab["server"])
    assert connects(lab["client"], lab["gateway"])


def test_firewalled_host_accepts_nothing_and_connects_out(lab: Lab) -> None:
    """Inbound connections are dropped and counted; outbound ones and their answers pass."""
    gateway = lab["gateway"]
    gateway.drop_inbound()
    try:
        assert not connects(lab["client"], gateway)
        assert gateway.dropped_packets() > 0
        assert connects(gateway, lab["server"])
        assert connects(gateway, gateway)
    finally:
        gateway.accept_inbound()

    assert connects(lab["client"], gateway)


def test_unplugged_host_is_alone_until_plugged_in(lab: Lab) -> None:
    """A pulled cable cuts both directions; put back, all works again."""
    client = lab["client"]
    client.unplug()
    try:
        assert not connects(client, lab["server"])
    finally:
        client.plug_in()

    assert connects(client, lab["server"])


def test_hosts_do_not_see_the_machine(lab: Lab) -> None:
    """A host has its own loopback and its own link, and nothing else."""
    links = lab["client"].run("ip", "-o", "link").stdout

    assert {line.split(": ")[1].split("@")[0] for line in links.splitlines()} == {"lo", "eth0"}


def fail_inside(seen: list[Path], children: list[Child]) -> None:
    with Lab("one", "two") as lab:
        children.append(serve(lab["one"]))
        seen += [Path("/run/netns", lab[name].namespace) for name in ("one", "two")]
        assert all(path.exists() for path in seen)
        raise ZeroDivisionError


def test_failure_inside_leaves_nothing_behind() -> None:
    """When the test fails, processes and namespaces are gone all the same."""
    seen: list[Path] = []
    children: list[Child] = []

    with pytest.raises(ZeroDivisionError):
        fail_inside(seen, children)

    assert seen
    assert not any(path.exists() for path in seen)
    assert not children[0].is_running


def test_labs_of_killed_runs_are_removed() -> None:
    """The next lab removes what a run that was killed could not; living runs keep theirs."""
    script = (
        "from tests.support.namespaces import Lab; lab = Lab('left'); lab.__enter__();"
        "print(lab['left'].namespace, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ),
    ) as left:  # fmt: skip
        assert left.stdout is not None
        namespace = left.stdout.readline().strip()
        # Once it is killed, a lab of another test process may be the one that removes it.
        assert Path("/run/netns", namespace).exists()
        left.kill()

    with Lab("mine") as lab:
        until(lambda: not Path("/run/netns", namespace).exists(), "the abandoned host gone")
        namespaces.remove_abandoned()
        assert Path("/run/netns", lab["mine"].namespace).exists()
