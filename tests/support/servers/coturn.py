"""A real TURN relay with the configuration that `commander-server relay-config` writes."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from commander.backend import tls
from commander.backend.relay_config import RelayPlan, write_config
from commander.backend.turn import Relays
from commander.clock import SystemClock
from commander.files import write_private
from commander.secret import Secret
from commander.wire.ice import IceUrl
from tests.support.processes import Child

_TABLES = Path("/usr/share/coturn/schema.sql")  # of Debian's package
SECRET = Secret("a-secret-of-the-tests")


@dataclass(frozen=True)
class TurnPorts:
    """Where it listens."""

    plain: int = 3478
    tls: int = 5349


class Coturn:
    """A relay at one address; start it again after `stop`, with the same configuration."""

    def __init__(
        self,
        directory: Path,
        address: str,
        *,
        prefix: tuple[str, ...] = (),
        ports: TurnPorts = TurnPorts(),
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.address = address
        self.ports = ports
        self._prefix = prefix
        self._config = directory / "turnserver.conf"
        now = SystemClock().now()
        authority = tls.load_authority(directory, now=now)
        self.ca_pem = authority.pem
        tls.ensure_certificate(directory, authority, [address], now=now)
        plan = RelayPlan(
            realm="test",
            relay_address=address,
            secret=SECRET,
            certificate=directory / "tls.pem",
            key=directory / "tls.key",
            pid_file=directory / "pid",
            port=ports.plain,
            tls_port=ports.tls,
        )
        # The machine's own database may hold users, and parallel tests would share it.
        database = directory / "turndb"
        _make_tables(database)
        write_private(self._config, f"{write_config(plan)}userdb={database}\n".encode())
        self._child: Child | None = None

    def relays(self, *transports: str, stun: bool = True, relay_only: bool = False) -> Relays:
        """What a server would be told of it: transports of "udp", "tcp", "tls" in this order."""
        urls = [IceUrl("stun", self.address, self.ports.plain, "udp")] if stun else []
        for transport in transports:
            if transport == "tls":
                urls.append(IceUrl("turns", self.address, self.ports.tls, "tls"))
            else:
                urls.append(IceUrl("turn", self.address, self.ports.plain, transport))  # type: ignore[arg-type]  # the callers' words
        return Relays(tuple(urls), SECRET, relay_only)

    def wrong(self, relays: Relays) -> Relays:
        """The same with a secret that the relay does not know."""
        return replace(relays, secret=Secret("another-secret-altogether"))

    def start(self) -> Self:
        """Start it and return when it serves."""
        popen = subprocess.Popen(
            [*self._prefix, "turnserver", "-c", str(self._config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._child = Child("coturn", popen)
        # The last thread that it starts; its sockets are open by then.
        self._child.wait_for_line(r"IO method \(admin thread\)")
        return self

    @property
    def log(self) -> str:
        """What it said."""
        return "" if self._child is None else self._child.output

    def stop(self) -> None:
        """Stop it; its relays are gone."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _make_tables(database: Path) -> None:
    # coturn makes them at its first question, and refuses those who come in that moment.
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(_TABLES.read_text())
