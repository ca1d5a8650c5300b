from __future__ import annotations

from dataclasses import replace

import pytest

from commander.plugin.command import (
    Argument,
    ArgumentKind,
    Command,
    Group,
    flag,
    option,
    positional,
)
from commander.plugin.validation import BadDeclaration, check_declaration
from tests.unit.plugin.sample import commander_commands

GOOD = Command(path="a b", summary="s", example="a b", handler="os:getpid")


@pytest.mark.parametrize("item", commander_commands())
def test_sound_declarations_pass(item: Command | Group) -> None:
    """The control: everything the sample plugin declares is accepted."""
    check_declaration(item)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"path": ""}, "not a command name"),
        ({"path": "A"}, "not a command name"),
        ({"path": "-a"}, "not a command name"),
        ({"aliases": ("x_y",)}, "not a command name"),
        ({"summary": ""}, "no summary"),
        ({"example": " "}, "no example"),
        ({"handler": "os.getpid"}, "not module:function"),
        ({"handler": "no_such_module_x:f"}, "does not exist"),
        ({"handler": "no_such_package_x.y:f"}, "does not exist"),
        ({"arguments": (flag("-h", help="x"),)}, "declared twice or common"),
        ({"arguments": (flag("--a", help="x"), flag("--a", help="x"))}, "declared twice"),
        ({"arguments": (flag("--a-b", help="x"), positional("a_b", help="x"))}, "used twice"),
        ({"arguments": (flag("--a", help=""),)}, "has no help"),
        ({"arguments": (flag("--a b", help="x"),)}, "not an argument name"),
        ({"arguments": (Argument((), help="x"),)}, "has no name"),
        ({"arguments": (Argument(("a", "b"), help="x"),)}, "two names"),
        ({"arguments": (option("--a", kind=ArgumentKind.CHOICE, help="x"),)}, "choices"),
        (
            {
                "arguments": (
                    positional("a", repeat=True, help="x"),
                    positional("b", repeat=True, help="x"),
                )
            },
            "two positionals repeat",
        ),
        ({"exclusive": (("a", "b"),)}, "unknown key 'a'"),
    ],
)
def test_unsound_declarations_are_refused(changes: dict[str, object], reason: str) -> None:
    """Each mistake of an author is named when the plugin is loaded."""
    bad = replace(GOOD, **changes)  # type: ignore[arg-type]  # each row changes another field
    with pytest.raises(BadDeclaration, match=reason):
        check_declaration(bad)
