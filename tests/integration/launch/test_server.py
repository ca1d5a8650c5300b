"""What `commander-server` refuses before it does anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server_program import PROGRAM

pytestmark = pytest.mark.integration


def test_python_optimisation_and_open_directories_are_refused(tmp_path: Path) -> None:
    """Before anything is read or written."""
    optimised = subprocess.run(
        [sys.executable, "-O", *PROGRAM[1:], "status"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    place = tmp_path / "open"
    place.mkdir(mode=0o755)
    place.chmod(0o755)
    readable = subprocess.run(
        [*PROGRAM, "start", "--data", str(place)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert optimised.returncode == 2
    assert "python -O" in optimised.stderr
    assert readable.returncode == 2
    assert "chmod 700" in readable.stderr
    assert list(place.iterdir()) == []
