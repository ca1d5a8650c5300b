from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from commander.plugin.command import ArgumentKind
from commander.plugin.loader import PluginSource
from commander.plugin.manager import Plugins
from commander.plugin.testing import FakeContext
from tests.unit.plugin import sample

SAMPLE = PluginSource("sample", "tests.unit.plugin.sample", is_own=True)
HEADER = """
from commander.plugin.command import Command
from commander.plugin.hookspecs import hookimpl
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))


def foreign(folder: Path, name: str, body: str) -> PluginSource:
    (folder / f"{name}.py").write_text(HEADER + body)
    (folder / f"{name}.py").chmod(0o644)
    return PluginSource(name, name, is_own=False)


def declaring(command: str) -> str:
    return f"@hookimpl\ndef commander_commands():\n    return [{command}]\n"


GOOD = declaring("Command(path='extra', summary='s', example='extra', handler='os:getpid')")


def test_a_foreign_plugin_is_loaded(folder: Path) -> None:
    """The control: a sound plugin of a stranger adds its command."""
    plugins = Plugins()
    plugins.load([SAMPLE, foreign(folder, "plug_good", GOOD)])

    assert plugins.failures == []
    assert plugins.registry.find(["extra"]).command is not None


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("plug_raises", "raise RuntimeError('canary')", "RuntimeError while it was loaded"),
        ("plug_syntax", "def (", "SyntaxError"),
        ("plug_import", "import no_such_module_here", "ModuleNotFoundError"),
        (
            "plug_shadow",
            declaring("Command(path='mv', summary='s', example='mv', handler='os:getpid')"),
            "'mv' of plugin plug_shadow is taken by sample",
        ),
        (
            "plug_handler",
            declaring("Command(path='h', summary='s', example='h', handler='no.such:thing')"),
            "module no.such does not exist",
        ),
        ("plug_hook", "@hookimpl\ndef commander_nothing():\n    pass\n", "unknown hook"),
        ("plug_kind", declaring("'text'"), "declares str"),
        ("plug_hook_raises", "@hookimpl\ndef commander_commands():\n    1 / 0\n", "ZeroDivision"),
    ],
)
def test_b023_a_bad_plugin_is_named_and_the_others_load(
    folder: Path, name: str, body: str, reason: str
) -> None:
    """Whatever one plugin does wrong, it alone is left out, with its reason."""
    bad = foreign(folder, name, body)
    plugins = Plugins()
    plugins.load([SAMPLE, bad, foreign(folder, f"{name}_after", GOOD)])

    assert [failure.plugin for failure in plugins.failures] == [name]
    failed = plugins.failures[0].reason
    assert reason in failed or (reason == "unknown hook" and "PluginValidationError" in failed)
    assert "canary" not in failed
    assert plugins.registry.find(["extra"]).command is not None
    found = plugins.registry.find(["mv"]).command
    assert found is not None
    assert found.handler == "tests.unit.plugin.sample:show"


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_b023_a_plugin_that_others_can_write_is_not_imported(folder: Path, mode: int) -> None:
    """A group- or world-writable file of a stranger is refused before any of it runs."""
    source = foreign(folder, f"plug_mode_{mode:o}", GOOD)
    (folder / f"{source.name}.py").chmod(mode)
    plugins = Plugins()
    plugins.load([source])

    assert "can be written by other users" in plugins.failures[0].reason
    assert source.module not in sys.modules


def test_a_disabled_plugin_is_not_imported(folder: Path) -> None:
    """A name in disabled_plugins keeps the module out of the process."""
    plugins = Plugins()
    plugins.load([foreign(folder, "plug_off", GOOD)], disabled=["plug_off"])

    assert plugins.failures == []
    assert "plug_off" not in sys.modules


def test_completion_comes_from_plugins_and_failing_sources_are_silent() -> None:
    """A source is found by its kind; one that raises, or is missing, offers nothing."""
    plugins = Plugins()
    plugins.register("sample", sample)
    context = FakeContext()

    assert "Orders DB" in plugins.completion_candidates(ArgumentKind.RECORD, context)
    assert list(plugins.completion_candidates(ArgumentKind.TUNNEL, context)) == []
    assert list(plugins.completion_candidates(ArgumentKind.ROLE, context)) == []
    assert set(plugins.sources()) == {ArgumentKind.RECORD, ArgumentKind.TUNNEL}
