"""Declares `exec` and `inject`; the work is in the modules the handlers name."""

from __future__ import annotations

from commander.plugin.command import ArgumentKind, Command, Group, flag, option, positional
from commander.plugin.hookspecs import hookimpl

_MODULE = "plugins.programs"
_NOTATION = (
    "Notation is keeper://UID|TITLE/field|custom_field/TYPE|LABEL[INDEX][MEMBER], or\n"
    ".../type, .../title, .../notes, .../file/NAME, as Secrets Manager SDKs write it; \\ stands before\n"
    "/ [ ] and \\ within a name. Within other text: {{ keeper://... }}, with | json, | url,\n"
    "| base64 or | shell for the form."
)


@hookimpl
def commander_commands() -> list[Command | Group]:
    """Secrets into programs and files."""
    return [
        Command(
            path="exec",
            summary="run a program with secrets in its environment",
            description=(
                "Variables whose value is notation get the value it names; the program's exit code is\n"
                f"ours. {_NOTATION}"
            ),
            example="exec --env PGPASSWORD=keeper://Orders/field/password --mask -- psql -h db -U app",
            arguments=(
                option("--env", "-e", metavar="NAME=VALUE", repeat=True, help="set a variable; the value may be notation"),
                option("--env-file", kind=ArgumentKind.PATH, repeat=True, help="set those of a file of NAME=VALUE lines"),
                flag("--mask", help="replace the secrets in the program's output by ********"),
                positional("command", kind=ArgumentKind.REST, required=False, help="after --: the program and its arguments"),
            ),
            handler=f"{_MODULE}.running:run",
        ),
        Command(
            path="inject",
            summary="fill a template with secrets",
            description=_NOTATION,
            example="inject config.yaml.template -o config.yaml",
            arguments=(
                positional("template", kind=ArgumentKind.PATH, help="a text with notation in it; - is standard input"),
                option("--output", "-o", kind=ArgumentKind.PATH, help="write it there, readable by you alone (default: standard output)"),
                flag("--force", "-f", help="replace an existing file"),
            ),
            handler=f"{_MODULE}.injecting:inject",
        ),
    ]  # fmt: skip
