"""Finding the log of a tunnel that has ended: by the beginning of its id."""

from __future__ import annotations

from pathlib import Path

from commander.config.paths import Paths

_LEAST_PREFIX = 4


def ended_logs(paths: Paths, wanted: str) -> list[Path]:
    """Logs whose tunnel id begins so; four characters at least, with or without padding."""
    bare = wanted.rstrip("=")
    if len(bare) < _LEAST_PREFIX or not paths.tunnel_logs.is_dir():
        return []
    return [
        path for path in sorted(paths.tunnel_logs.glob("*.jsonl")) if path.stem.startswith(bare)
    ]
