"""`commander-server`: start, status, backup, restore, relay-config."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from commander.errors import CommanderError, UsageError
from commander.launch.allocator import keep_freed_memory
from commander.launch.hardening import (
    drop_key_log,
    protect_memory,
    refuse_optimised,
    show_fault,
)
from commander.launch.server_arguments import read_arguments

_PROGRAMS = {
    "start": "commander.launch.server_program:start",
    "status": "commander.launch.server_store:status",
    "backup": "commander.launch.server_store:backup",
    "restore": "commander.launch.server_store:restore",
    "relay-config": "commander.launch.server_relay:relay_config",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code of `commander.errors`."""
    sys.excepthook = show_fault
    try:
        refuse_optimised()
        protect_memory()
        keep_freed_memory()
        drop_key_log(os.environ)
        os.umask(0o077)
        options = read_arguments(sys.argv[1:] if argv is None else argv, os.environ)
        return _run(options)
    except CommanderError as error:
        sys.stderr.write(f"error: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"error: {error.filename or ''}: {error.strerror}\n")
        return UsageError.exit_code
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    # Each program loads what it needs only: `status` has no use for a web server.
    module, _, name = _PROGRAMS[options.command].partition(":")
    code: int = getattr(importlib.import_module(module), name)(options)
    return code


if __name__ == "__main__":
    sys.exit(main())
