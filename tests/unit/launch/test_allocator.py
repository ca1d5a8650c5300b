from __future__ import annotations

import subprocess
import sys

# Takes and frees a block at the end of the heap, as each message of a tunnel does, and counts faults.
_PROGRAM = """
import resource, sys
from commander.launch.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
bytes(1024 * 1024)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    bytearray(b"x" * (1024 * 1024))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(mode: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, mode], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_freed_blocks_are_used_again_without_page_faults() -> None:
    """Blocks of a mebibyte, taken and freed again and again, cost next to no page faults."""
    assert _faults("keep") * 4 < _faults("leave")
