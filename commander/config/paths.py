"""
Where the files of one user live.

| place | default | override |
| --- | --- | --- |
| home | `~/.commander` | `--home`, `$COMMANDER_HOME` |
| runtime | `$XDG_RUNTIME_DIR/commander`, else `<home>/run` | `$COMMANDER_RUNTIME` |
| logs | `<home>/logs` | - |

Only names are made here; `commander.files` creates them 0700 and 0600 when they
are used. An override must be absolute, so that the meaning of a path never
depends on the directory a command was started in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from commander.errors import UsageError

HOME_VARIABLE = "COMMANDER_HOME"
RUNTIME_VARIABLE = "COMMANDER_RUNTIME"


@dataclass(frozen=True)
class Paths:
    """All file names of the user's side; make one with `find_paths`."""

    home: Path
    runtime: Path

    @property
    def options_file(self) -> Path:
        """config.yaml: options, no secrets."""
        return self.home / "config.yaml"

    @property
    def device_file(self) -> Path:
        """The keys of this device."""
        return self.home / "device.json"

    @property
    def cache_file(self) -> Path:
        """The sealed copy of the vault."""
        return self.home / "cache.bin"

    @property
    def session_file(self) -> Path:
        """The kept login, sealed; `unlock_file` opens it."""
        return self.home / "session.bin"

    @property
    def history_file(self) -> Path:
        """Lines of earlier sessions, none with a secret."""
        return self.home / "history"

    @property
    def logs(self) -> Path:
        """Directory of diagnostic logs."""
        return self.home / "logs"

    @property
    def unlock_file(self) -> Path:
        """What lets a one-shot command go on with a login of this machine's session."""
        return self.runtime / "unlock.json"

    @property
    def tunnel_logs(self) -> Path:
        """Directory of the tunnels' JSON-lines logs."""
        return self.runtime / "tunnels"

    def tunnel_log(self, tunnel_id: str) -> Path:
        """The log of one tunnel; the id is one of ours, never a path."""
        assert "/" not in tunnel_id
        assert tunnel_id not in ("", ".", "..")
        return self.tunnel_logs / f"{tunnel_id}.jsonl"

    def host_socket(self, pid: int) -> Path:
        """The control socket of a process that hosts tunnels."""
        return self.runtime / f"host-{pid}.sock"


def find_paths(environment: Mapping[str, str], *, user_home: Path, home: str = "") -> Paths:
    """
    Decide the places from `--home`, the environment and the user's home directory.

    Raises UsageError when an override is not absolute.
    """
    base = _absolute("--home", home) or _absolute(HOME_VARIABLE, environment.get(HOME_VARIABLE))
    base = base or user_home / ".commander"
    runtime = _absolute(RUNTIME_VARIABLE, environment.get(RUNTIME_VARIABLE))
    return Paths(home=base, runtime=runtime or _default_runtime(environment, base))


def _default_runtime(environment: Mapping[str, str], home: Path) -> Path:
    session = environment.get("XDG_RUNTIME_DIR", "")
    # The XDG specification says that a relative path there is to be ignored.
    if session.startswith("/"):
        return Path(session) / "commander"
    return home / "run"


def _absolute(source: str, value: str | None) -> Path | None:
    if not value:
        return None
    if "\0" in value or not value.startswith("/"):
        raise UsageError(
            f"{source} {value!r} is not an absolute path", hint="start it with a slash"
        )
    return Path(value)
