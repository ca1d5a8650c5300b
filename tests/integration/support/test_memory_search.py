from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest

from tests.support.canaries import Canaries
from tests.support.processes import Child, Family, Home

pytestmark = pytest.mark.integration

# Reads the secret from standard input, so that neither argument nor environment holds it, and keeps
# only the named form of it. The input's own buffers are gone with the helper process that read it.
KEEPER = """
import subprocess, sys
form = sys.argv[1]
code = f"import sys, base64; s = sys.stdin.readline().strip(); sys.stdout.write({form})"
kept = subprocess.run([sys.executable, "-c", code], stdin=0, capture_output=True).stdout
print("ready", flush=True)
sys.stdin.read()
"""


def keep(family: Family, home: Home, form: str, secret: str) -> Child:
    """Start a process that holds one form of the secret in memory and waits."""
    child = family.start("keeper", [sys.executable, "-c", KEEPER, form], home, stdin=True)
    child.write(f"{secret}\n")
    child.wait_for_line("ready")
    return child


@pytest.mark.parametrize(
    ("form", "encoding"),
    [
        ("s", "raw"),
        ("base64.b64encode(b'..' + s.encode() + b'.').decode()", "base64+2"),
        ("s.encode().hex()", "hex"),
        ("s[::-1]", "reversed"),
    ],
)
def test_planted_secret_is_found_in_memory(
    family: Family, home: Home, form: str, encoding: str
) -> None:
    """A secret that a process holds in memory is found, in the encoding it holds it in."""
    canaries = Canaries()
    child = keep(family, home, form, canaries.mark)

    found = canaries.scanner().scan_process(child.pid)

    assert encoding in {finding.encoding for finding in found}
    assert all("memory" in finding.where for finding in found)


def test_process_without_the_secret_is_clean(family: Family, home: Home) -> None:
    """The control: the same process with another secret has no finding."""
    canaries = Canaries()
    child = keep(family, home, "s", Canaries().mark)

    assert canaries.scanner().scan_process(child.pid) == []


def test_argument_and_environment_are_searched(family: Family, home: Home) -> None:
    """A secret passed by argument or environment is found there."""
    canaries = Canaries()
    hidden = base64.b64encode(canaries.password().encode()).decode()
    child = family.start(
        "leaky",
        [sys.executable, "-c", "print('ready', flush=True); input()", canaries.title()],
        home,
        environment={"TOKEN": hidden},
        stdin=True,
    )
    child.wait_for_line("ready")

    places = {found.where for found in canaries.scanner().scan_process(child.pid)}

    assert {f"cmdline of {child.pid}", f"environ of {child.pid}"} <= places


def test_secret_across_a_chunk_border_is_found(
    family: Family, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is read in pieces that overlap; none of them hides a value."""
    canaries = Canaries()
    child = keep(family, home, "s", canaries.mark)
    scanner = canaries.scanner()
    found = scanner.scan_memory(child.pid)[0]
    start = int(found.where.rsplit(" ", 1)[1].rstrip(")"), 16)

    # Pieces that end in the middle of the value.
    monkeypatch.setattr("tests.support.canaries._CHUNK", found.offset + len(canaries.mark) // 2)
    with Path(f"/proc/{child.pid}/mem").open("rb", buffering=0) as memory:
        end = start + found.offset + 4096
        pieces = [chunk for _, chunk in scanner._chunks(memory.fileno(), start, end)]

    assert len(pieces) > 1
    assert any(canaries.mark.encode() in piece for piece in pieces)
