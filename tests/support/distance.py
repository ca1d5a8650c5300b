"""Two hosts that are far apart: a slow, lossy link between two network namespaces (needs root)."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.namespaces import Host, remove_namespace, run_checked

_LINK = Path(__file__).resolve().parents[2] / "scripts" / "tools" / "tap_link.py"
_LONGEST_S = 4 * 3600


class Distance:
    """
    Hosts `near` (10.79.0.1) and `far` (10.79.0.2); a context manager that removes them.

        with Distance(round_trip_s=0.04, loss=0.01) as distance:
            distance.far.start("some-server")
    """

    def __init__(self, *, round_trip_s: float, loss: float = 0.0) -> None:
        self._delay_s = round_trip_s / 2
        self._loss = loss
        # The maker's pid is in the name, so that a later run can tell what a killed one left.
        name = f"commander-test-{os.getpid()}-{secrets.token_hex(3)}"
        self.near = Host("near", f"{name}-near", "10.79.0.1")
        self.far = Host("far", f"{name}-far", "10.79.0.2")
        self._link: subprocess.Popen[str] | None = None

    def use_congestion_control(self, name: str) -> bool:
        """
        Have every connection over the link use it, whatever a program asks for; False where the
        kernel does not have it.

        By the route: a namespace's default can only be what the kernel lets every user choose.
        """
        for host, device in ((self.near, "tapl"), (self.far, "tapr")):
            words = ("10.79.0.0/24", "dev", device, "proto", "kernel", "scope", "link")
            choice = ("src", host.address, "congctl", "lock", name)
            if host.run("ip", "route", "change", *words, *choice, check=False).returncode:
                return False
        return True

    def cut(self) -> None:
        """Let nothing through any more, and leave the addresses."""
        assert self._link is not None
        self._link.kill()
        self._link.wait()

    def __enter__(self) -> Self:
        try:
            for host in (self.near, self.far):
                run_checked("ip", "netns", "add", host.namespace)
            ends = [f"{host.namespace}:{host.address}/24" for host in (self.near, self.far)]
            self._link = subprocess.Popen(
                [
                    sys.executable, _LINK, *ends,
                    "--delay", str(self._delay_s), "--loss", str(self._loss),
                    "--seconds", str(_LONGEST_S),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )  # fmt: skip
            assert self._link.stdout is not None
            assert self._link.stdout.readline() == "ready\n", "the link did not come up"
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove hosts and link with all that runs there. May be called again."""
        for host in (self.near, self.far):
            host.stop_children()
            remove_namespace(host.namespace)
        if self._link is not None:
            self._link.kill()
            self._link.wait()
            assert self._link.stdout is not None
            self._link.stdout.close()
            self._link = None
