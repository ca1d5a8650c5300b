from __future__ import annotations

import logging
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest

from commander.launch.server_logging import start_logging


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    """Give the process its handlers back."""
    root = logging.getLogger()
    handlers, level, loud = root.handlers[:], root.level, logging.raiseExceptions
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = loud


def test_log_is_a_private_file_that_rotates(tmp_path: Path) -> None:
    """0600 in a 0700 directory, also after a rotation."""
    start_logging(tmp_path / "logs", to_stdout=False)
    handler = next(h for h in logging.getLogger().handlers if isinstance(h, RotatingFileHandler))
    logging.getLogger("x").info("one")
    handler.doRollover()
    logging.getLogger("x").info("two")

    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert files == ["server.log", "server.log.1"]
    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700
    for name in files:
        assert (tmp_path / "logs" / name).stat().st_mode & 0o777 == 0o600
    assert "two" in (tmp_path / "logs" / "server.log").read_text()


def test_log_goes_to_standard_output_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For containers."""
    start_logging(tmp_path / "logs", to_stdout=True)

    logging.getLogger("x").warning("here")

    assert "here" in capsys.readouterr().out


def test_what_strangers_send_is_not_logged_by_libraries(tmp_path: Path) -> None:
    """uvicorn's warnings quote requests."""
    start_logging(tmp_path / "logs", to_stdout=False)

    logging.getLogger("uvicorn.error").warning("GET /secret")

    assert (tmp_path / "logs" / "server.log").read_text() == ""
