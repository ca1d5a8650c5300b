"""
A working day with psql, scp and pgbench through tunnels, and what can happen on one.

Server, client and gateway are hosts of a lab; the targets listen on the gateway's loopback only. While
the three programs run, links are cut, the router is killed, a cable is pulled, the client's host changes
its address, and the tunnels' process is frozen. Survived has what goes on as if nothing had been: the
same session of psql, the hash of the copy, every transaction of pgbench.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.namespaces import Host, Lab
from tests.support.processes import Child
from tests.support.product import Product, User
from tests.support.servers.postgres import Postgres
from tests.support.servers.sshd import Sshd

CLIENTS = 4
NEW_ADDRESS = "10.203.7.99"
SERVER_DOWN_S = 3.0
DEADLINE_S = 120.0


@dataclass(frozen=True)
class Length:
    """How long a day is."""

    copied_bytes: int = 1 << 30
    copied_kbit_s: int = 64_000
    transactions: int = 3000
    """Of each client of pgbench, ten a second."""
    frozen_s: float = 60.0
    unplugged_s: float = 10.0
    cuts: int = 10
    rest_s: float = 2.0


SHORT = Length(
    24 << 20, 16_000, transactions=150, frozen_s=8.0, unplugged_s=2.0, cuts=2, rest_s=0.5
)


@dataclass
class Outcome:
    """What happened, and what survived it."""

    happened: list[tuple[str, float]] = field(default_factory=list)
    """Each event, and seconds until psql answered after it."""
    survived: dict[str, bool] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Office:
    """The hosts and what runs on them."""

    client: Host
    product: Product
    user: User
    postgres: Postgres
    sshd: Sshd


@contextmanager
def _office(folder: Path) -> Iterator[Office]:
    with (
        Lab("server", "client", "gateway") as lab,
        Product(folder) as product,
        Postgres(prefix=lab["gateway"].prefix) as postgres,
        Sshd(prefix=lab["gateway"].prefix) as sshd,
    ):
        product.start_server(host=lab["server"])
        user = product.set_up(host=lab["client"])
        product.start_gateway(host=lab["gateway"])
        user.configure_network()
        user.add_target("Orders", f"127.0.0.1:{postgres.port}", "pamDatabase")
        user.add_target("Build host", f"127.0.0.1:{sshd.port}")
        yield Office(lab["client"], product, user, postgres, sshd)


def play(folder: Path, length: Length, seed: int) -> Outcome:
    """Live through a day; the outcome tells whether all survived."""
    outcome = Outcome()
    with _office(folder) as office, tempfile.TemporaryDirectory(dir=folder) as work:
        tunnels = [office.user.start_tunnel(record) for record in ("Orders", "Build host")]
        children = [child for child, _ in tunnels]
        database, machine = (port for _, port in tunnels)
        psql = _Psql(office, database)
        copy = _Copy(office, machine, Path(work), length, random.Random(seed))
        pgbench = _start_pgbench(office, database, length)
        try:
            psql.ask()
            for name, event in _events(office, children, length).items():
                begin = time.monotonic()
                event()
                psql.ask()
                outcome.happened.append((name, time.monotonic() - begin))
                time.sleep(length.rest_s)
            outcome.survived["psql, one session"] = psql.is_same_session()
            outcome.survived["scp, the same bytes"] = copy.is_whole()
            outcome.survived["pgbench, no transaction failed"] = _is_content(pgbench, length)
            outcome.survived["the tunnels' processes"] = all(c.is_running for c in children)
        finally:
            psql.close()
            copy.close()
            outcome.said = {child.name: child.output for child in [*children, pgbench]}
            outcome.said["scp"] = copy.said
    return outcome


# --- what happens --------------------------------------------------------------------------


def _events(
    office: Office, children: list[Child], length: Length
) -> dict[str, Callable[[], object]]:
    events: dict[str, Callable[[], object]] = {
        f"all links cut, {number}": lambda: _cut(office) for number in range(1, length.cuts + 1)
    }
    events["router killed, and back"] = lambda: _kill_router(office)
    events[f"cable pulled for {length.unplugged_s:.0f} s"] = lambda: _unplug(office, length)
    events["another address"] = lambda: _move(office)
    events[f"client frozen for {length.frozen_s:.0f} s"] = lambda: _freeze(children, length)
    events["all links cut, at the end"] = lambda: _cut(office)
    return events


def _cut(office: Office) -> None:
    """Break every TCP connection that leaves the client's host."""
    office.client.run("ss", "-K", "-tnH", "not", "src", "127.0.0.0/8")


def _kill_router(office: Office) -> None:
    assert office.product.server is not None
    office.product.server.kill()
    time.sleep(SERVER_DOWN_S)
    office.product.start_server()


def _unplug(office: Office, length: Length) -> None:
    office.client.unplug()
    time.sleep(length.unplugged_s)
    office.client.plug_in()


def _move(office: Office) -> None:
    # In this order: with the first address of a subnet the kernel removes the others of it.
    office.client.ip("addr", "del", f"{office.client.address}/24", "dev", "eth0")
    office.client.ip("addr", "add", f"{NEW_ADDRESS}/24", "dev", "eth0")


def _freeze(children: list[Child], length: Length) -> None:
    for child in children:
        os.kill(child.pid, signal.SIGSTOP)
    time.sleep(length.frozen_s)
    for child in children:
        os.kill(child.pid, signal.SIGCONT)


# --- who lives through it ------------------------------------------------------------------


class _Psql:
    """One session of psql, asked now and then; it does not connect again by itself."""

    def __init__(self, office: Office, port: int) -> None:
        environment = {"PATH": os.environ["PATH"], **office.postgres.environment(port=port)}
        self._popen = subprocess.Popen(
            [*office.client.prefix, "psql", "-X", "-q", "-A", "-t"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._child = Child("psql", self._popen)
        self._number = 0
        self._sessions: set[str] = set()

    def ask(self) -> None:
        """Ask which session this is; raises when there is no answer."""
        self._number += 1
        self._child.write(f"select 'answer {self._number} of ' || pg_backend_pid();\n")
        found = self._child.wait_for_line(rf"answer {self._number} of (\d+)", deadline_s=DEADLINE_S)
        self._sessions.add(found[1])

    def is_same_session(self) -> bool:
        """Whether every answer came from one backend."""
        return len(self._sessions) == 1

    def close(self) -> None:
        """End it."""
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        self._child.stop()


class _Copy:
    """scp of a file of random bytes, at a rate that makes it last through the day."""

    def __init__(
        self, office: Office, port: int, work: Path, length: Length, rng: random.Random
    ) -> None:
        self._source, self._target = work / "source", work / "target"
        self._digest = hashlib.sha256()
        with self._source.open("wb") as file:
            for _ in range(length.copied_bytes >> 20):
                piece = rng.randbytes(1 << 20)
                self._digest.update(piece)
                file.write(piece)
        where = f"{office.sshd.user}@127.0.0.1:{self._target}"
        words = ["-l", str(length.copied_kbit_s), "-P", str(port), str(self._source), where]
        self._child = office.client.start(
            "scp", *office.sshd.client_options(), *words, environment={"PATH": os.environ["PATH"]}
        )

    @property
    def said(self) -> str:
        """What scp printed."""
        return self._child.output

    def is_whole(self) -> bool:
        """Wait for its end; whether it was content and the bytes are the same."""
        status = self._child.wait(deadline_s=900)
        digest = hashlib.sha256()
        with self._target.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
        return status == 0 and digest.digest() == self._digest.digest()

    def close(self) -> None:
        """End it, if it still runs."""
        self._child.stop()


def _start_pgbench(office: Office, port: int, length: Length) -> Child:
    """Four clients that write; one that loses its connection is aborted, and the end says so."""
    environment = {"PATH": os.environ["PATH"], **office.postgres.environment(port=port)}
    office.client.run("pgbench", "-i", "-q", "-s", "1", environment=environment)
    words = ["-n", "-c", str(CLIENTS), "-R", str(10 * CLIENTS), "-t", str(length.transactions)]
    return office.client.start("pgbench", *words, environment=environment)


def _is_content(pgbench: Child, length: Length) -> bool:
    """Wait for its end; whether every transaction was done."""
    status = pgbench.wait(deadline_s=900)
    all_of_them = CLIENTS * length.transactions
    return status == 0 and f"processed: {all_of_them}/{all_of_them}" in pgbench.output
