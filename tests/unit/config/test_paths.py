from __future__ import annotations

from pathlib import Path

import pytest

from commander.config.paths import find_paths
from commander.errors import UsageError

USER = Path("/home/me")


@pytest.mark.parametrize(
    ("environment", "home", "expected"),
    [
        ({}, "", ("/home/me/.commander", "/home/me/.commander/run")),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, "", ("/home/me/.commander", "/run/user/7/commander")),
        ({"XDG_RUNTIME_DIR": "run"}, "", ("/home/me/.commander", "/home/me/.commander/run")),
        ({"COMMANDER_HOME": "/c"}, "", ("/c", "/c/run")),
        ({"COMMANDER_HOME": "/c"}, "/d", ("/d", "/d/run")),
        (
            {"COMMANDER_RUNTIME": "/r", "XDG_RUNTIME_DIR": "/x"},
            "",
            ("/home/me/.commander", "/r"),
        ),
        ({"COMMANDER_HOME": "", "COMMANDER_RUNTIME": ""}, "", ("/home/me/.commander",) * 2),
    ],
)
def test_places_and_their_overrides(
    environment: dict[str, str], home: str, expected: tuple[str, str]
) -> None:
    """The flag wins over the variable, the variable over the default; empty is unset."""
    paths = find_paths(environment, user_home=USER, home=home)

    assert str(paths.home) == expected[0]
    assert str(paths.runtime).startswith(expected[1])


@pytest.mark.parametrize("value", ["c", "~/c", "./c", "/c\0d"])
def test_relative_overrides_are_refused(value: str) -> None:
    """The meaning of a path never depends on the current directory."""
    with pytest.raises(UsageError, match="not an absolute path"):
        find_paths({}, user_home=USER, home=value)
    with pytest.raises(UsageError, match="COMMANDER_RUNTIME"):
        find_paths({"COMMANDER_RUNTIME": value}, user_home=USER)


def test_files_stand_in_home_and_runtime() -> None:
    """Each file has one name."""
    paths = find_paths({"COMMANDER_HOME": "/h", "COMMANDER_RUNTIME": "/r"}, user_home=USER)

    names = [
        paths.options_file, paths.device_file, paths.cache_file, paths.history_file, paths.logs,
        paths.unlock_file, paths.tunnel_logs, paths.tunnel_log("abc"), paths.host_socket(7),
    ]  # fmt: skip
    assert [str(name) for name in names] == [
        "/h/config.yaml", "/h/device.json", "/h/cache.bin", "/h/history", "/h/logs",
        "/r/unlock.json", "/r/tunnels", "/r/tunnels/abc.jsonl", "/r/host-7.sock",
    ]  # fmt: skip
