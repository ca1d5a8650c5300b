"""The product on machines of their own: server, gateway with its targets, administrator, developer."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.namespaces import Host, Lab
from tests.support.processes import Child
from tests.support.product import FOLDER, PASSWORD, Product, User
from tests.support.servers.http import HttpServer
from tests.support.servers.postgres import Postgres

DEVELOPER = "dev@example.org"
ROLE = ("enterprise-role", "Developers")
SHARE = ("share-folder", FOLDER, "-e", DEVELOPER)
WEB, DATABASE = "Wiki", "Orders DB"


@dataclass(frozen=True)
class Machines:
    """Four hosts on one switch, what runs on them, and the people."""

    lab: Lab
    product: Product
    admin: User
    developer: User
    postgres: Postgres

    @property
    def server(self) -> Child:
        """The server's process."""
        assert self.product.server is not None
        return self.product.server

    @property
    def gateway(self) -> Child:
        """The gateway's process."""
        return self.product.gateways["gateway"]

    @property
    def client(self) -> Host:
        """The developer's machine."""
        return self.lab["client"]

    def let(self, *, may: bool = True) -> None:
        """Give the developer role and share, or take the share away."""
        if may:
            lines = ([*ROLE, "-au", DEVELOPER], [*SHARE, "-a", "grant"])
            self.admin.batch("\n".join(" ".join(words) for words in lines))
        else:
            self.admin(*SHARE, "-a", "remove")

    def download(self, port: int, path: str, target: Path) -> subprocess.Popen[bytes]:
        """curl on the developer's machine, at ten megabytes a second."""
        url = f"http://127.0.0.1:{port}/{path}"
        return subprocess.Popen(
            [*self.client.prefix, "curl", "-sS", "--limit-rate", "10M", "-o", str(target), url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def psql(self, port: int) -> Child:
        """A psql session on the developer's machine; write statements to it."""
        environment = self.developer.home.environment(**self.postgres.environment(port=port))
        return self.product.family.start(
            "psql", ["psql", "-XAtq"], self.developer.home, stdin=True,
            environment=environment, prefix=self.client.prefix,
        )  # fmt: skip


def backend_of(session: Child, mark: str) -> str:
    """Which server process a psql session has; another one means another connection."""
    session.write(f"select '{mark} ' || pg_backend_pid();\n")
    return session.wait_for_line(rf"{mark} (\d+)", deadline_s=90)[1]


@contextlib.contextmanager
def running_machines(directory: Path) -> Iterator[Machines]:
    """Start everything, and stop it at the end."""
    with (
        Lab("server", "gateway", "admin", "client") as lab,
        Product(directory) as product,
        HttpServer(prefix=lab["gateway"].prefix) as http,
        Postgres(prefix=lab["gateway"].prefix) as postgres,
    ):
        product.start_server(host=lab["server"])
        admin = product.set_up(host=lab["admin"])
        product.start_gateway(host=lab["gateway"])
        admin.configure_network()
        admin.add_target(WEB, f"127.0.0.1:{http.port}")
        admin.add_target(DATABASE, f"127.0.0.1:{postgres.port}", "pamDatabase")
        admin(*ROLE, "--add", "--enforcement", "ALLOW_LAUNCH_PAM_TUNNELS:true")
        join = admin.home.work / "join.txt"
        admin("account", "invite", DEVELOPER, "--join-file", join)
        developer = product.user(DEVELOPER, host=lab["client"])
        developer(
            "account", "accept",
            "--join-file", join,
            "--password-file", developer.secret_file("password.txt", PASSWORD),
            "--kit-file", developer.home.work / "kit.txt",
        )  # fmt: skip
        machines = Machines(lab, product, admin, developer, postgres)
        machines.let()
        yield machines
