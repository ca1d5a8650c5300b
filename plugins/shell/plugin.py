from __future__ import annotations

from collections.abc import Mapping

from commander.plugin.command import (
    ArgumentKind,
    Command,
    Group,
    flag,
    option,
    positional,
)
from commander.plugin.hookspecs import CompletionSource, hookimpl

_MODULE = "plugins.shell"


@hookimpl
def commander_commands() -> list[Command | Group]:
    """The commands that are about the shell itself."""
    return [
        *_variable_commands(),
        *_session_commands(),
        Command(
            path="run",
            aliases=("run-batch",),
            summary="run files of commands",
            example="run setup.commander --dry-run",
            description=(
                "Runs files of commands, one a line. `#` begins a comment, `@` before a line lets\n"
                "it fail, a backslash at the end continues it. The first error ends the run with\n"
                "its exit code. `-` reads standard input."
            ),
            arguments=(
                positional("file", kind=ArgumentKind.PATH, repeat=True, help="files, in order"),
                flag("--keep-going", help="go on after errors; still fails at the end"),
                flag("--dry-run", help="read and check every line, run none"),
                flag("--trust-file", help="also run a file that others own or can write"),
            ),
            handler=f"{_MODULE}.run_files:run_files",
            needs_login=False,
            runs_dry=True,
        ),
    ]


def _variable_commands() -> list[Command | Group]:
    return [
        Command(
            path="set",
            summary="set a variable, read by ${NAME}",
            example='set TITLE "Orders DB"',
            arguments=(
                positional("name", kind=ArgumentKind.VARIABLE, help="letters, digits and _"),
                positional("value", help="its value, one word"),
            ),
            handler=f"{_MODULE}.variables:set_variable",
            needs_login=False,
            runs_dry=True,
        ),
        Command(
            path="echo",
            summary="print words; alone, list the variables",
            example="echo ${TITLE}",
            arguments=(positional("words", required=False, repeat=True, help="what to print"),),
            handler=f"{_MODULE}.variables:echo",
            needs_login=False,
        ),
        Command(
            path="sleep",
            summary="wait",
            example="sleep 5s",
            arguments=(positional("duration", kind=ArgumentKind.DURATION, help="5, 5s, 10m, 1h"),),
            handler=f"{_MODULE}.session:sleep",
            needs_login=False,
        ),
    ]


def _session_commands() -> list[Command | Group]:
    return [
        Command(
            path="help",
            summary="list the commands, or explain one",
            example="help pam tunnel start",
            arguments=(
                positional(
                    "topic",
                    kind=ArgumentKind.COMMAND,
                    required=False,
                    repeat=True,
                    help="a command or the beginning of one",
                ),
            ),
            handler=f"{_MODULE}.session:show_help",
            needs_login=False,
        ),
        Command(
            path="history",
            aliases=("h",),
            summary="list the lines of this and earlier sessions",
            example="history --limit 20",
            arguments=(option("--limit", kind=ArgumentKind.INT, help="only the newest N"),),
            handler=f"{_MODULE}.session:show_history",
            needs_login=False,
            listing=True,
        ),
        Command(
            path="version",
            aliases=("v",),
            summary="show the version of this program",
            example="version --format json",
            handler=f"{_MODULE}.session:show_version",
            needs_login=False,
        ),
        Command(
            path="quit",
            aliases=("q", "exit"),
            summary="leave the session, or end the batch",
            example="quit",
            handler=f"{_MODULE}.session:leave",
            needs_login=False,
        ),
    ]


@hookimpl
def commander_completions() -> Mapping[ArgumentKind, CompletionSource | str]:
    """Names of variables and of commands."""
    return {
        ArgumentKind.VARIABLE: f"{_MODULE}.variables:variable_names",
        ArgumentKind.COMMAND: f"{_MODULE}.session:command_words",
    }
