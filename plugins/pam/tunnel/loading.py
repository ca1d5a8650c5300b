"""Which tunnels file is meant, and whether it may be trusted."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from commander.errors import InvalidInput, NotAllowed, NotFound
from plugins.pam.tunnel.tunnels_file import MAX_BYTES, TunnelsFile, parse_tunnels_file

DEFAULT_NAMES = ("tunnels.yaml", "tunnels.yml")


def load_tunnels_file(name: str | None) -> tuple[Path, TunnelsFile]:
    """
    Read the named file, or tunnels.yaml of the current directory; its path is absolute, links
    followed, so that every process calls the same file the same.

    Raises NotFound, NotAllowed for a file that other users can change, InvalidInput.
    """
    path = Path(name) if name is not None else _default()
    try:
        real = path.resolve(strict=True)
        handle = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise NotFound(f"there is no file {str(path)!r}", hint="-f names another") from None
    except PermissionError:
        raise NotAllowed(f"{str(path)!r} cannot be read", hint="check its rights") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"{str(path)[:200]!r} cannot be opened: {error}") from None
    try:
        _check_trust(path, os.fstat(handle))
        data = os.read(handle, MAX_BYTES + 1)
    finally:
        os.close(handle)
    return real, parse_tunnels_file(data, path.name)


def _default() -> Path:
    for name in DEFAULT_NAMES:
        if Path(name).exists():
            return Path(name)
    raise NotFound(
        f"there is no {DEFAULT_NAMES[0]} in this directory",
        hint="-f names a file; docs/tunnels-file.md has an example",
    )


def _check_trust(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInput(f"{str(path)!r} is not a plain file")
    if found.st_uid not in (os.geteuid(), 0):
        raise NotAllowed(
            f"{str(path)!r} belongs to another user", hint="copy it, and read the copy"
        )
    if found.st_mode & stat.S_IWOTH:
        raise NotAllowed(f"{str(path)!r} can be written by other users", hint=f"chmod o-w {path}")
