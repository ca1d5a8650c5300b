"""What most scenarios begin with: server, administrator, gateway, and one HTTP target behind it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import Child
from tests.support.product import PASSWORD, Product, User
from tests.support.servers.http import HttpServer

TARGET = "Wiki"


@dataclass(frozen=True)
class Setting:
    """The running product and the people in it."""

    product: Product
    ann: User
    http: HttpServer

    @property
    def gateway(self) -> Child:
        """The gateway's process."""
        return self.product.gateways["gateway"]


@contextlib.contextmanager
def running_setting(directory: Path) -> Iterator[Setting]:
    """Start everything, and stop it at the end."""
    with Product(directory) as product, HttpServer() as http:
        product.start_server()
        ann = product.set_up()
        product.start_gateway()
        ann.configure_network()
        ann.add_target(TARGET, f"127.0.0.1:{http.port}")
        yield Setting(product, ann, http)


def invite(product: Product, host: User, email: str) -> User:
    """A second person, by invitation: account and device on a machine of their own."""
    join = host.home.work / f"join-{email}.txt"
    host("account", "invite", email, "--join-file", join)
    guest = product.user(email)
    guest(
        "account", "accept",
        "--join-file", join,
        "--password-file", guest.secret_file("password.txt", PASSWORD),
        "--kit-file", guest.home.work / "kit.txt",
    )  # fmt: skip
    return guest


def fetch(
    port: int, path: str = "/hello", *, host: str = "127.0.0.1"
) -> subprocess.CompletedProcess[str]:
    """What curl gets through a local port."""
    return subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "--max-time", "30", f"http://{host}:{port}{path}"],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )


def start_download(port: int, directory: Path) -> subprocess.Popen[bytes]:
    """A curl whose download goes on for minutes; its connection ends only when it is cut."""
    url = f"http://127.0.0.1:{port}/slow/6000"
    return subprocess.Popen(
        ["curl", "-sSN", "--noproxy", "*", "-o", str(directory / "downloaded"), url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
