from __future__ import annotations

from pathlib import Path

import pytest

from commander.plugin.registry import Registry
from commander.shell.history import History
from plugins.shell import plugin


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = Registry()
    registry.add("shell", plugin.commander_commands())
    return registry


def opened(registry: Registry, path: Path | None, limit: int = 100) -> History:
    history = History(registry, path, limit=limit)
    history.load()
    return history


def test_lines_come_back_in_the_next_session(registry: Registry, tmp_path: Path) -> None:
    """Kept lines are in the file, 0600, oldest first; repeats count once."""
    path = tmp_path / "home" / "history"
    first = opened(registry, path)
    for line in ("echo 1", "echo 1", "echo 2"):
        first.add(line)

    assert opened(registry, path).lines() == ["echo 1", "echo 2"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_b016_secrets_never_reach_the_file(registry: Registry, tmp_path: Path) -> None:
    """What may not be kept is neither on disk nor in memory; slips are in memory only."""
    path = tmp_path / "home" / "history"
    history = opened(registry, path)
    for line in ("echo 1", "set PASSWORD canary", "canary", "ecoh canary"):
        history.add(line)

    assert history.lines() == ["echo 1", "ecoh canary"]
    assert path.read_text() == "echo 1\n"


def test_the_file_is_cut_to_its_newest_lines(registry: Registry, tmp_path: Path) -> None:
    """More than twice the limit is cut to the limit at the next start."""
    path = tmp_path / "history"
    path.write_text("".join(f"echo {number}\n" for number in range(21)))
    path.chmod(0o600)
    history = opened(registry, path, limit=10)

    assert history.lines() == [f"echo {number}" for number in range(11, 21)]
    assert len(path.read_text().splitlines()) == 10


@pytest.mark.parametrize("limit", [0, 100])
def test_history_can_be_off(registry: Registry, tmp_path: Path, limit: int) -> None:
    """A limit of 0 or no path keeps lines in memory only."""
    history = opened(registry, tmp_path / "history" if limit == 0 else None, limit)
    history.add("echo 1")

    assert history.lines() == ["echo 1"]
    assert list(tmp_path.iterdir()) == []


def test_an_unsafe_file_is_not_used(registry: Registry, tmp_path: Path) -> None:
    """A file that others may read, or a link, is left alone and the session is told."""
    open_file, link = tmp_path / "open", tmp_path / "link"
    open_file.write_text("echo 1\n")
    open_file.chmod(0o644)
    link.symlink_to(open_file)
    for path in (open_file, link):
        history = opened(registry, path)
        history.add("echo 2")
        assert "history is not kept" in history.problem
        assert history.lines() == ["echo 2"]
    assert open_file.read_text() == "echo 1\n"


def test_a_directory_that_cannot_be_made_costs_the_file_only(
    registry: Registry, tmp_path: Path
) -> None:
    """When the home cannot be made the session goes on without a file."""
    (tmp_path / "home").write_text("a file")
    history = opened(registry, None)
    history = History(registry, tmp_path / "home" / "history", limit=10)
    history.add("echo 1")

    assert history.lines() == ["echo 1"]
    assert history.problem
