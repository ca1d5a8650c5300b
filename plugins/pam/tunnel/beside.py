"""Running a command beside tunnels, with variables that lead it to them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from commander.plugin.child import run_program

# The tunnels' own end takes as long once more, and who sent SIGTERM waits for both.
_STOP_S = 5.0


async def run_beside(words: Sequence[str], variables: Mapping[str, str]) -> int:
    """The command's exit code, as `run_program` gives it; it has our environment and the variables."""
    return await run_program(words, {**os.environ, **variables}, stop_s=_STOP_S)
