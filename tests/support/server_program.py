"""`commander-server` as a child process, for tests of the program itself."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., subprocess.CompletedProcess[str]]
PROGRAM = [sys.executable, "-m", "commander.launch.server"]


class Running:
    """A started server and its first lines."""

    def __init__(self, data: Path, *words: str) -> None:
        self.data = data
        self.child = subprocess.Popen(
            [*PROGRAM, "start", "--data", str(data), "--listen", "127.0.0.1:0", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lines: list[str] = []
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self.lines.append(line.strip())
            if line.startswith("listening on"):
                break

    @property
    def address(self) -> str:
        return (self.data / "address").read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.child.send_signal(number)
        code = self.child.wait(30)
        for stream in (self.child.stdout, self.child.stderr):
            assert stream is not None
            stream.close()
        return code


def run_server(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One run of `commander-server WORDS --data DATA`."""
    return subprocess.run(
        [*PROGRAM, *words, "--data", str(data)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
