"""A real OpenSSH server with its own host key and one key that may log in."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.support.processes import Child, inherited_mark
from tests.support.started import Started
from tests.support.waiting import NeverHappened, free_port

_ATTEMPTS = 3


class Sshd(Started):
    """One sshd on 127.0.0.1; the user who runs the tests may log in by key, with shell and sftp."""

    def __init__(self, host: str = "127.0.0.1", prefix: tuple[str, ...] = ()) -> None:
        self.host = host
        self.port = 0
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self._prefix = prefix
        self._child: Child | None = None
        self._directory = Path(tempfile.mkdtemp(prefix="commander-test-sshd-"))
        self.key = self._directory / "client_key"
        self.known_hosts = self._directory / "known_hosts"

    def start(self) -> Self:
        """Make the keys, start the server, and return when it accepts."""
        if not self.key.exists():
            self._make_keys()
        for attempt in range(1, _ATTEMPTS + 1):
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

    def close(self) -> None:
        """Stop the server and remove its files; sessions that are open end with it."""
        try:
            if self._child is not None:
                self._child.stop()
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def log(self) -> str:
        """What the server has logged."""
        return "" if self._child is None else self._child.output

    @property
    def private_key(self) -> str:
        """The key that may log in, as OpenSSH text."""
        return self.key.read_text()

    def client_options(self) -> list[str]:
        """
        Options for ssh, scp and sftp: our key only, our host key only, no prompt.

        The host key is known by an alias, so a tunnel's local address verifies as well.
        """
        options = {
            "IdentityFile": str(self.key),
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "HostKeyAlias": "commander-test-sshd",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "20",
            "LogLevel": "ERROR",
        }
        words = ["-F", "/dev/null"]
        for name, value in options.items():
            words += ["-o", f"{name}={value}"]
        return words

    def ssh(
        self, command: str, *, host: str = "", port: int = 0, deadline_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command over the real ssh client, directly or through another address."""
        where = ["-p", str(port or self.port), f"{self.user}@{host or self.host}"]
        return _client("ssh", [*self.client_options(), *where, command], deadline_s)

    def copy_to(self, source: Path, target: Path, *, host: str = "", port: int = 0) -> None:
        """scp a file to the server's side. Raises AssertionError with scp's message."""
        where = f"{self.user}@{host or self.host}:{target}"
        words = [*self.client_options(), "-P", str(port or self.port), str(source), where]
        done = _client("scp", words, 120.0)
        assert done.returncode == 0, done.stderr

    def _make_keys(self) -> None:
        host_key = self._directory / "host_key"
        for path in (host_key, self.key):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)],
                check=True,
                stdin=subprocess.DEVNULL,
            )
        public = (self._directory / "host_key.pub").read_text()
        self.known_hosts.write_text(f"commander-test-sshd {public}")
        (self._directory / "client_key.pub").replace(self._directory / "authorized_keys")

    def _launch(self) -> None:
        configuration = self._directory / "sshd_config"
        configuration.write_text(
            f"Port {self.port}\n"
            f"ListenAddress {self.host}\n"
            f"HostKey {self._directory}/host_key\n"
            f"PidFile none\n"
            f"AuthorizedKeysFile {self._directory}/authorized_keys\n"
            "StrictModes no\n"
            "UsePAM no\n"
            "PasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\n"
            "MaxStartups 100\n"
            "LogLevel VERBOSE\n"
            "Subsystem sftp internal-sftp\n"
        )
        if os.geteuid() == 0:
            # sshd as root refuses to start without its privilege separation folder.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        # sshd re-executes itself and so wants its full path.
        server = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")
        assert server, "openssh-server is not installed: run scripts/test, which installs it"
        self._child = Child(
            "sshd",
            subprocess.Popen(
                [*self._prefix, server, "-D", "-e", "-f", str(configuration)],
                env={"PATH": os.environ["PATH"], **inherited_mark()},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ),
        )
        self._child.wait_for_line(r"Server listening on")


def _client(name: str, words: Sequence[str], deadline_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [name, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=deadline_s,
        check=False,
    )
