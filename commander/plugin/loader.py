"""
Where plugins come from: the entry point group `commander.plugins`.

Our own come first, so that a stranger's plugin cannot take over one of our
commands. In a checkout that is not installed they are read from setup.cfg,
which is the same list the installation uses.
"""

from __future__ import annotations

import configparser
import functools
import importlib.util
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from commander.errors import CommanderError

GROUP = "commander.plugins"
DISTRIBUTION = "commander-pam"
_OTHERS_MAY_WRITE = 0o022


class UnsafePlugin(CommanderError):
    """A plugin's file can be changed by others."""


@dataclass(frozen=True)
class PluginSource:
    """A plugin to load: its entry point name and module; `is_own` when it ships with us."""

    name: str
    module: str
    is_own: bool


def find_plugins(checkout: Path | None) -> list[PluginSource]:
    """
    All plugins, ours first, each group sorted by name.

    `checkout` is the directory with our setup.cfg, or None when installed.
    """
    own: dict[str, PluginSource] = {}
    foreign: dict[str, PluginSource] = {}
    # A name is parsed out of the distribution's metadata at each look; ours has it for each plugin.
    name_of = functools.cache(lambda distribution: distribution.name)
    for point in entry_points(group=GROUP):
        is_own = point.dist is not None and name_of(point.dist) == DISTRIBUTION
        target = own if is_own else foreign
        target[point.name] = PluginSource(point.name, point.value.partition(":")[0], is_own)
    if checkout is not None:
        own = {source.name: source for source in read_setup_file(checkout / "setup.cfg")}
    ordered = [own[name] for name in sorted(own)]
    return ordered + [foreign[name] for name in sorted(foreign) if name not in own]


def read_setup_file(path: Path) -> list[PluginSource]:
    """Read the plugins that a setup.cfg lists."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(path.read_text(encoding="utf-8"))
    lines = parser.get("options.entry_points", GROUP, fallback="").splitlines()
    found = []
    for line in lines:
        name, equals, module = line.partition("=")
        if equals:
            found.append(PluginSource(name.strip(), module.strip(), is_own=True))
    return found


def find_checkout(package_file: str) -> Path | None:
    """The checkout that a file of this package runs from, or None when it is installed."""
    root = Path(package_file).resolve().parent.parent
    return root if (root / "setup.cfg").is_file() and (root / "plugins").is_dir() else None


def check_file(source: PluginSource) -> None:
    """Raise UnsafePlugin when a foreign plugin's module may be written by group or others."""
    if source.is_own:
        return
    found = importlib.util.find_spec(source.module)
    origin = None if found is None else found.origin
    if origin is None or not Path(origin).is_file():
        raise UnsafePlugin(f"module {source.module} of plugin {source.name} does not exist")
    if Path(origin).stat().st_mode & _OTHERS_MAY_WRITE:
        raise UnsafePlugin(f"{origin} can be written by other users", hint=f"chmod go-w {origin}")
