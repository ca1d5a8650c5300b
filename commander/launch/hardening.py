"""What every process of ours does first: refuse unsafe switches, keep memory out of files."""

from __future__ import annotations

import ctypes
import resource
import sys
from collections.abc import MutableMapping
from types import TracebackType

from commander.errors import UsageError

# linux/prctl.h
_PR_SET_DUMPABLE = 4


def refuse_optimised() -> None:
    """Raise UsageError under `python -O`: libraries that we use check peers by assert."""
    if sys.flags.optimize:
        raise UsageError(
            "python -O removes checks that this program needs", hint="unset PYTHONOPTIMIZE"
        )


def protect_memory() -> None:
    """Switch core dumps and debuggers of the same user off, as far as the system lets us."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        # A lower hard limit that we may not touch is as good.
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def drop_key_log(environment: MutableMapping[str, str]) -> bool:
    """Ignore SSLKEYLOGFILE, which writes TLS keys to a file; returns whether it was set."""
    return environment.pop("SSLKEYLOGFILE", None) is not None


def show_fault(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """An excepthook that prints type and code places; messages and locals may hold secrets."""
    while trace is not None:
        code = trace.tb_frame.f_code
        sys.stderr.write(f"  at {code.co_filename}:{trace.tb_lineno} {code.co_name}\n")
        trace = trace.tb_next
    sys.stderr.write(f"error: internal fault {kind.__name__}\n")
