from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from commander.crypto import selftest
from commander.errors import CommanderError, SealBroken

ROOT = Path(__file__).resolve().parents[3]
REFUSE = """
import sys
from commander.crypto.selftest import refuse_optimized_python
from commander.errors import CommanderError
try:
    refuse_optimized_python()
except CommanderError as error:
    sys.exit(f"{error.code}: {error.hint}")
"""


def run_python(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", REFUSE],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_self_test_passes() -> None:
    """On a sound installation nothing is raised."""
    selftest.run_self_test()


@pytest.mark.parametrize("name", list(selftest._CHECKS))
@pytest.mark.parametrize("raises", [False, True])
def test_broken_primitive_is_named(
    name: str, raises: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong answer and a refusal both stop the program, naming the primitive."""

    def broken() -> bool:
        if raises:
            raise SealBroken
        return False

    monkeypatch.setitem(selftest._CHECKS, name, broken)

    with pytest.raises(CommanderError, match=f"self-test of {name} failed") as caught:
        selftest.run_self_test()
    assert caught.value.code == "self-test"


@pytest.mark.parametrize("answer", [bytes(32), b"\x01\x02" * 16, bytes(range(32))])
def test_constant_random_source_is_noticed(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A random source that repeats itself stops the program."""
    monkeypatch.setattr(secrets, "token_bytes", lambda size: answer[:size])

    with pytest.raises(CommanderError, match="random numbers"):
        selftest.run_self_test()


def test_python_with_assertions_is_accepted() -> None:
    """The control: without -O nothing is refused."""
    found = run_python(PYTHONOPTIMIZE="")

    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("option", ["-O", "-OO"])
def test_optimized_python_is_refused(option: str) -> None:
    """-O and -OO are refused with the way out."""
    found = run_python(option)

    assert found.returncode == 1
    assert found.stderr.startswith("optimized-python: start python without -O")


def test_optimized_python_by_environment_is_refused() -> None:
    """PYTHONOPTIMIZE is the same thing."""
    assert run_python(PYTHONOPTIMIZE="1").returncode == 1
