"""
The whole product on this machine, or on the hosts of a lab: server, accounts, gateways, commands.

Every part is the real program, started as a user would start it. Each has a home of its own, so
several users and gateways do not meet in the file system.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.namespaces import Host
from tests.support.processes import Child, Family, Home
from tests.support.waiting import free_port, until

PASSWORD = "correct horse battery staple"
ADMINISTRATOR = "ann@example.org"
FOLDER = "Infrastructure"  # what `setup` makes and shares with the gateway


class CommandFailed(AssertionError):
    """A command ended with another status than the test expects."""


class User:
    """One person at one machine: runs `commander` with a home of their own."""

    def __init__(self, product: Product, email: str, home: Home, host: Host | None) -> None:
        self.email = email
        self.home = home
        self._product = product
        self._prefix = host.prefix if host else ()

    def at_another_machine(self, directory: Path) -> User:
        """The same person with a new home: nothing of the first machine is there."""
        return User(self._product, self.email, Home(directory), None)

    def run(
        self,
        *words: str | Path,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
        deadline_s: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """One-shot `commander WORDS`; any exit status."""
        return self._product.family.run(
            ["commander", *words],
            self.home,
            stdin=stdin,
            environment=environment,
            prefix=self._prefix,
            deadline_s=deadline_s,
        )

    def __call__(self, *words: str | Path, status: int = 0, stdin: str = "") -> str:
        """`commander WORDS`; what it printed. Raises CommandFailed for another exit status."""
        done = self.run(*words, stdin=stdin)
        if done.returncode != status:
            raise CommandFailed(
                f"commander {' '.join(map(str, words))}: status {done.returncode}, "
                f"expected {status}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def json(self, *words: str | Path) -> Any:
        """`commander WORDS --format json`; the document."""
        return json.loads(self(*words, "--format", "json"))

    def batch(self, text: str, *, status: int = 0) -> str:
        """Run lines of commands as a batch from standard input."""
        return self("-", stdin=text, status=status)

    def start(
        self,
        *words: str | Path,
        stdin: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start a `commander` that stays, such as a tunnel in the foreground."""
        return self._product.family.start(
            f"commander of {self.email}",
            ["commander", *words],
            self.home,
            stdin=stdin,
            environment=environment,
            prefix=self._prefix,
        )

    def start_tunnel(self, record: str, *words: str) -> tuple[Child, int]:
        """Start a tunnel in the foreground and wait for it; the process and its local port."""
        child = self.start("pam", "tunnel", "start", record, *words)
        found = child.wait_for_line(r"Listening on: \S*?:(\d+)\b")
        return child, int(found[1])

    def configure_network(self, title: str = "Network", gateway: str = "Gateway") -> None:
        """As administrator: bind a PAM configuration to a gateway, with tunnels switched on."""
        self(
            "pam", "config", "new", "--title", title, "--environment", "local",
            "--gateway", gateway, "--shared-folder", FOLDER, "--tunneling", "on",
        )  # fmt: skip

    def add_target(
        self, title: str, address: str, kind: str = "pamMachine", network: str = "Network"
    ) -> None:
        """A record of a target (`host:port`) that tunnels may go to."""
        self("record-add", "-t", title, "-rt", kind, "--folder", FOLDER, f"pamHostname={address}")
        self("pam", "tunnel", "edit", title, "--enable-tunneling", "--configuration", network)

    def secret_file(self, name: str, content: str) -> Path:
        """A private file of this user, for `--password-file` and the like."""
        path = self.home.work / name
        path.touch(mode=0o600)
        path.write_text(content)
        return path


class Product:
    """
    Server, users and gateways below one directory; a context manager that stops them all.

        with Product(tmp_path) as product:
            product.start_server()
            ann = product.set_up()
            product.start_gateway()
            ann("pam", "gateway", "list")
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.family = Family()
        self.server: Child | None = None
        self.address = ""  # host:port of the server, once started
        self.setup_join = ""
        self.gateway_join: Path | None = None
        self.gateways: dict[str, Child] = {}
        self._server_host: Host | None = None

    @property
    def data(self) -> Path:
        """The server's directory: database, keys, certificate."""
        return self.directory / "server" / "data"

    def start_server(self, *words: str, host: Host | None = None) -> Child:
        """
        Start the server on a free port, or again on the one it had.

        The first start leaves the join string for `set_up`.
        """
        self._server_host = host or self._server_host
        inside = self._server_host
        # Not port 0: while the server is down, somebody's connection could get the port that it had.
        listen = self.address or f"{inside.address if inside else '127.0.0.1'}:{free_port()}"
        self.server = self.family.start(
            "server",
            ["commander-server", "start", "--data", self.data, "--listen", listen, *words],
            Home(self.directory / "server"),
            prefix=inside.prefix if inside else (),
        )
        found = self.server.wait_for_line(r"listening on (?:https://)?(\S+:\d+)")
        if not self.address:
            self.address = found[1]
            self.setup_join = self.server.wait_for_line(r"(join1\.\S+)")[1]
        return self.server

    def user(self, email: str, *, host: Host | None = None, name: str = "") -> User:
        """A person with a new home; `name` tells two machines of one person apart."""
        return User(self, email, Home(self.directory / (name or email)), host)

    def set_up(self, email: str = ADMINISTRATOR, *words: str, host: Host | None = None) -> User:
        """The first account, logged in; the gateway's join string is left in a file."""
        user = self.user(email, host=host)
        self.gateway_join = user.home.work / "gateway-join.txt"
        user(
            "setup", email,
            "--join-file", user.secret_file("setup-join.txt", self.setup_join),
            "--password-file", user.secret_file("password.txt", PASSWORD),
            "--kit-file", user.home.work / "kit.txt",
            "--gateway-join-file", self.gateway_join,
            *words,
        )  # fmt: skip
        return user

    def start_gateway(
        self,
        name: str = "gateway",
        *words: str,
        join: Path | None = None,
        host: Host | None = None,
        allow: str = "127.0.0.0/8",
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """
        Start a gateway, enrolling it at its first start, and wait until it is online.

        `allow` lets it reach sample targets on loopback, which a gateway refuses by itself.
        """
        home = Home(self.directory / name)
        command: list[str | Path] = ["gateway", "start", "--log-to-stdout", *words]
        command += ["--allow-target", allow] if allow else []
        if not (home.commander / "gateway-config.json").exists():
            joined_by = join or self.gateway_join
            assert joined_by is not None, "set_up writes the join file, or pass one"
            command += ["--join-file", joined_by]
        prefix = host.prefix if host else ()
        child = self.family.start(name, command, home, environment=environment, prefix=prefix)
        child.wait_for_line(r"^gateway \S+ online")
        self.gateways[name] = child
        return child

    def logs(self) -> str:
        """What every long-running part has printed, for the report of a failed test."""
        return "\n".join(f"--- {child.name}\n{child.output}" for child in self.family.children)

    def close(self) -> None:
        """Stop everything."""
        self.family.close()

    def __enter__(self) -> Self:
        self.family.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note(self.logs())
        self.family.__exit__(kind, error, trace)


def wait_for_online(user: User, gateway: str = "Gateway") -> None:
    """Wait until the server says that a gateway is connected."""

    def online() -> Sequence[Any]:
        listed = user.json("pam", "gateway", "list", "--online")
        return [row for row in listed if gateway in row.values()]

    until(online, f"gateway {gateway} online")
