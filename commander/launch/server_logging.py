"""Where the server's log goes: a file that rotates, and standard output on request."""

from __future__ import annotations

import logging
import os
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from commander.files import PRIVATE_FILE, make_private_directory

FILE_BYTES = 10 * 1024 * 1024
FILES = 5
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _PrivateFileHandler(RotatingFileHandler):
    """Creates its files 0600."""

    def _open(self) -> IO[str]:  # type: ignore[override]  # the base names a private subtype
        handle = os.open(
            self.baseFilename,
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
            PRIVATE_FILE,
        )
        return os.fdopen(handle, "a", encoding="utf-8")


def start_logging(directory: Path, *, to_stdout: bool) -> None:
    """
    Log to `directory`/server.log from now on. Messages never hold bodies or secrets.

    A full disk loses log lines and nothing else.
    """
    make_private_directory(directory)
    logging.raiseExceptions = False
    handlers: list[logging.Handler] = [
        _PrivateFileHandler(directory / "server.log", maxBytes=FILE_BYTES, backupCount=FILES)
    ]
    if to_stdout:
        handlers.append(logging.StreamHandler(sys.stdout))
    logging.basicConfig(level=logging.INFO, format=_FORMAT, handlers=handlers, force=True)
    # Its warnings quote what strangers send.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    for name in ("aiosqlite", "sqlalchemy", "alembic", "websockets"):
        logging.getLogger(name).setLevel(logging.WARNING)
