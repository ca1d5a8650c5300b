"""
The two ends that scripts/bench gives to tunnel_bench.py: a product with a gateway, and a client's tunnel.

    ends.py serve DIR TARGET_PORT [NAMESPACE ADDRESS]     server and gateway, with a record of the target; until SIGTERM
    ends.py connect DIR PORT PATH                         `commander pam tunnel start` on a fixed port
    ends.py sshd DIR [ADDRESS]                            an sshd of its own; until SIGTERM
    ends.py ssh DIR PORT TARGET_PORT [CIPHER]             `ssh -N -L`

`DIR/ready` is written once the serving end can be used; the client's end waits for it. `DIR.memory` is
what server and gateway needed at most.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.support.namespaces import Host  # noqa: E402 (needs the path)
from tests.support.processes import Home  # noqa: E402 (needs the path)
from tests.support.product import ADMINISTRATOR, Product  # noqa: E402 (needs the path)
from tests.support.servers.sshd import Sshd  # noqa: E402 (needs the path)

READY_S = 90.0
CHOICES = ("COMMANDER_RELAY", "COMMANDER_WEBRTC")
"""Variables of ours that may choose what is measured; all others stay outside."""
RECORD = "Target of the measurement"


def main(words: list[str]) -> int:
    """Play one end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    role, directory = words[0], Path(words[1])
    try:
        if role == "serve":
            return serve(directory, int(words[2]), *words[3:])
        if role == "sshd":
            return serve_ssh(directory, *words[2:])
        wait_for(directory / "ready")
        if role == "ssh":
            return ssh(directory, words[2], words[3], *words[4:])
        return connect(directory, words[2], words[3])
    except KeyboardInterrupt:
        return 0


def serve(directory: Path, target_port: int, namespace: str = "", address: str = "") -> int:
    """Run server and gateway, here or on another host."""
    host = Host("serving", namespace, address) if namespace else None
    with fresh(directory), Product(directory) as product:
        server = product.start_server(host=host)
        user = product.set_up(host=host)
        gateway = product.start_gateway(host=host, environment=chosen())
        user.configure_network()
        user.add_target(RECORD, f"127.0.0.1:{target_port}")
        (directory / "ready").touch()
        try:
            signal.pause()
        finally:
            peaks = {"server": peak_mib(server.pid), "gateway": peak_mib(gateway.pid)}
            directory.with_suffix(".memory").write_text(json.dumps(peaks))
    return 0


def chosen() -> dict[str, str]:
    """What the measurement asks for by environment."""
    return {name: os.environ[name] for name in CHOICES if name in os.environ}


def peak_mib(pid: int) -> float:
    """The most memory that a process has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


@contextlib.contextmanager
def fresh(directory: Path) -> Iterator[None]:
    """An empty folder, gone at the end: each round of the measurement begins anew."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def connect(directory: Path, port: str, path: str) -> int:
    """Become the client's program, so that its memory and time are what is measured."""
    commander = ROOT / ".venv" / "bin" / "commander"
    words = [str(commander), "pam", "tunnel", "start", RECORD, "--new", "--port", port]
    environment = Home(directory / ADMINISTRATOR).environment(**chosen())
    os.execve(commander, [*words, "--path", path, "--foreground"], environment)


def serve_ssh(directory: Path, address: str = "127.0.0.1") -> int:
    """Run an sshd, and leave how to reach it."""
    with fresh(directory), Sshd(address) as server:
        destination = ["-p", str(server.port), f"{server.user}@{server.host}"]
        (directory / "options").write_text("\n".join([*server.client_options(), *destination]))
        (directory / "ready").touch()
        signal.pause()
    return 0


def ssh(directory: Path, port: str, target_port: str, cipher: str = "") -> int:
    """Become ssh with a forwarded port."""
    words = ["ssh", "-N", *(["-c", cipher] if cipher else [])]
    words += ["-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{port}:127.0.0.1:{target_port}"]
    os.execvp("ssh", [*words, *(directory / "options").read_text().split("\n")])


def wait_for(path: Path) -> None:
    """Wait until the other end is ready."""
    end = time.monotonic() + READY_S
    while not path.exists():
        if time.monotonic() > end:
            raise SystemExit(f"{path} never came")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
