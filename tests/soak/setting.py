"""What the parts share: the product with one target, its tunnel, and ways to break what carries it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.soak.target import Target
from tests.support.privilege import privileged
from tests.support.processes import Child
from tests.support.product import Product
from tests.support.waiting import until

RECORD = "Target"
_ROW = re.compile(r"(\S+:\d+)\s+(\S+:\d+)\s+users:\(\(.*?pid=(\d+)")


class Setting:
    """Server, gateway, user and target in this network namespace; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.product = Product(folder)
        self.target = Target()

    @property
    def server(self) -> Child:
        """The server's process."""
        assert self.product.server is not None
        return self.product.server

    @property
    def gateway(self) -> Child:
        """The gateway's process."""
        return self.product.gateways["gateway"]

    def open_tunnel(self, *words: str) -> tuple[Child, int]:
        """A tunnel to the target in a process of its own; the process and its port."""
        return self.user.start_tunnel(RECORD, "--new", *words)

    def status(self) -> str:
        """What `pam tunnel list` says of the first tunnel."""
        rows = self.user.json("pam", "tunnel", "list")
        return str(rows[0]["status"]) if rows else ""

    def restart_server(self) -> None:
        """kill -9 of backend and router, and a new one on the same address."""
        self.server.kill()
        self.product.start_server()

    def __enter__(self) -> Self:
        self.target.__enter__()
        self.product.__enter__()
        try:
            self.product.start_server()
            self.user = self.product.set_up()
            self.product.start_gateway()
            self.user.configure_network()
            self.user.add_target(RECORD, self.target.address)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.product.__exit__(kind, error, trace)
        self.target.__exit__(kind, error, trace)


def cut_between(one: Child, *others: Child) -> int:
    """Break every TCP connection between processes, as a router that forgot them does; how many."""
    ends = {str(child.pid) for child in others}
    owners: dict[tuple[str, str], str] = {}
    for row in _ss("-tnpH", "state", "established").splitlines():
        # A socket that listens for both families shows IPv4 in the form of IPv6.
        if found := _ROW.search(row.replace("[::ffff:", "").replace("]", "")):
            owners[found[1], found[2]] = found[3]
    cut = 0
    for (local, remote), owner in owners.items():
        if owner == str(one.pid) and owners.get((remote, local)) in ends:
            for source, destination in ((local, remote), (remote, local)):
                _ss("-K", "-tnH", "src", source, "dst", destination)
            cut += 1
    return cut


def wait_for_path(setting: Setting, kind: str) -> None:
    """Wait until a path of this kind carries the only tunnel."""

    def carries() -> bool:
        rows = setting.user.json("pam", "tunnel", "list")
        return bool(rows) and rows[0]["path"] == kind

    until(carries, f"the tunnel goes by {kind}", deadline_s=60)


def _ss(*words: str) -> str:
    # Programs of ours that protect their memory show their sockets to root only.
    command = privileged("ss", *words)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout
