from __future__ import annotations

from pathlib import Path

import commander
from commander.plugin.loader import find_checkout, find_plugins, read_setup_file


def test_a_checkout_lists_its_plugins_without_installation() -> None:
    """setup.cfg of the checkout is the list of built-in plugins."""
    checkout = find_checkout(commander.__file__)

    assert checkout is not None
    found = {source.name: source for source in find_plugins(checkout)}
    assert found["shell"].module == "plugins.shell.plugin"
    assert found["shell"].is_own


def test_an_installed_package_is_no_checkout(tmp_path: Path) -> None:
    """Without setup.cfg and plugins beside it, entry points alone count."""
    assert find_checkout(str(tmp_path / "commander" / "__init__.py")) is None


def test_setup_file_without_plugins_lists_none(tmp_path: Path) -> None:
    """A setup.cfg with no such group is an empty list."""
    path = tmp_path / "setup.cfg"
    path.write_text("[metadata]\nname = x\n")

    assert read_setup_file(path) == []
