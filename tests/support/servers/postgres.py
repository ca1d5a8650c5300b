"""A real PostgreSQL with a cluster of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from tests.support.privilege import as_user
from tests.support.processes import Child, inherited_mark
from tests.support.started import Started
from tests.support.waiting import NeverHappened, free_port

SUPERUSER = "postgres"
_ATTEMPTS = 3
_SETTINGS = (
    # Safe against a kill, which the page cache survives; not against a power cut.
    "fsync=off",
    "full_page_writes=off",
    "log_connections=on",
    "log_disconnections=on",
    "max_connections=300",
    "shared_buffers=32MB",
)


class Postgres(Started):
    """
    One PostgreSQL server on 127.0.0.1 with SCRAM passwords and no TLS, started by `start`.

    `log` names every connection it saw; each starts with "connection received".
    """

    def __init__(self, host: str = "127.0.0.1", prefix: tuple[str, ...] = ()) -> None:
        self.host = host
        self.port = 0
        self.user = SUPERUSER
        self.password = secrets.token_urlsafe(18)
        self.database = "postgres"
        self._prefix = prefix
        self._binaries = _find_binaries()
        self._child: Child | None = None
        # Not below pytest's folders: those are closed to the account the server runs as.
        self._directory = Path(tempfile.mkdtemp(prefix="commander-test-postgres-"))
        self._directory.chmod(0o755)

    def start(self) -> Self:
        """Make the cluster when there is none, start the server, and return when it accepts."""
        if not self._data.exists():
            self._make_cluster()
        for attempt in range(1, _ATTEMPTS + 1):
            # The first choice of port stays over restarts; a taken one is given up.
            self.port = self.port or free_port()
            try:
                self._launch()
            except NeverHappened:
                if attempt == _ATTEMPTS:
                    raise
                self.port = 0
            else:
                break
        return self

    def stop(self) -> None:
        """Fast shutdown: clients are disconnected."""
        if self._child is not None and self._child.is_running:
            self._child.interrupt()
            self._child.wait()

    def kill(self) -> None:
        """kill -9 of the server; its own children notice and end."""
        assert self._child is not None
        self._child.kill()

    def close(self) -> None:
        """Stop the server and remove the cluster."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def log(self) -> str:
        """What the server has logged since its last start."""
        return "" if self._child is None else self._child.output

    @property
    def pid(self) -> int:
        """Process id of the server."""
        assert self._child is not None
        return self._child.pid

    def environment(self, *, host: str = "", port: int = 0) -> dict[str, str]:
        """What makes psql and pgbench connect, directly or through another address."""
        return {
            "PGHOST": host or self.host,
            "PGPORT": str(port or self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
            "PGCONNECT_TIMEOUT": "20",
        }

    def psql(self, sql: str, *, host: str = "", port: int = 0, deadline_s: float = 60.0) -> str:
        """Run SQL with the real client and return the rows, unaligned. Raises CalledProcessError."""
        done = subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql],
            env={"PATH": os.environ["PATH"], **self.environment(host=host, port=port)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=True,
        )
        return done.stdout.strip()

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def _make_cluster(self) -> None:
        password_file = self._directory / "password"
        password_file.write_text(self.password)
        if os.geteuid() == 0:
            for path in (self._directory, password_file):
                shutil.chown(path, SUPERUSER, SUPERUSER)
        password_file.chmod(0o600)
        command = [
            str(self._binaries / "initdb"), "-D", str(self._data), "-U", self.user,
            "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8",
            f"--pwfile={password_file}", "--no-sync",
        ]  # fmt: skip
        subprocess.run(
            as_user(SUPERUSER, *command), check=True, capture_output=True, cwd=self._directory
        )
        password_file.unlink()

    def _launch(self) -> None:
        settings = (
            *_SETTINGS,
            f"listen_addresses={self.host}",
            f"unix_socket_directories={self._directory}",
        )
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        command += [word for setting in settings for word in ("-c", setting)]
        self._child = Child(
            "postgres",
            subprocess.Popen(
                [*self._prefix, *as_user(SUPERUSER, *command)],
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **inherited_mark()},
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ),
        )
        self._child.wait_for_line("database system is ready to accept connections")


def _find_binaries() -> Path:
    """Debian keeps initdb and postgres out of PATH, one folder a version; the newest is taken."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    if folders:
        return folders[-1].parent
    found = shutil.which("initdb")
    assert found, "PostgreSQL is not installed: run scripts/test, which installs it"
    return Path(found).resolve().parent
