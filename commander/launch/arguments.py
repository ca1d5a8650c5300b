"""The words of the program's own command line, before the command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from commander.errors import UsageError

USAGE = """\
usage: commander [OPTIONS]                    a session on this terminal
       commander [OPTIONS] COMMAND [WORD...]  one command
       commander [OPTIONS] -c "LINE; LINE"    lines of commands
       commander [OPTIONS] -                  lines of commands from standard input
       commander run FILE...                  files of commands

options:
  --server HOST:PORT   the server to use, instead of the one in config.yaml
  --home DIRECTORY     instead of ~/.commander and $COMMANDER_HOME
  --format FORMAT      form of results and errors: table, json, csv, yaml
  --keep-going         go on after errors in a batch; still fails at the end
  --dry-run            read and check everything, run nothing
  --trust-file         run also batch files that others own or can write
  --version            show the version
  -h, --help           show this; `commander help` lists the commands
"""
_WITH_VALUE = ("--server", "--home", "--format", "-c")
_FLAGS = ("--keep-going", "--dry-run", "--trust-file", "--version", "--help", "-h")
_FORMATS = ("table", "json", "csv", "yaml")


@dataclass(frozen=True)
class StartOptions:
    """What the program was started with; `words` is the command, if one was given."""

    server: str = ""
    home: str = ""
    format: str = ""
    lines: str | None = None
    read_stdin: bool = False
    keep_going: bool = False
    dry_run: bool = False
    trust_file: bool = False
    version: bool = False
    help: bool = False
    words: tuple[str, ...] = field(default_factory=tuple)


def read_start_options(argv: Sequence[str]) -> StartOptions:
    """Read options up to the first word that is none. Raises UsageError."""
    options = StartOptions()
    rest = list(argv)
    while rest:
        word = rest[0]
        if word == "-":
            _no_more(rest[1:], "-")
            return replace(options, read_stdin=True)
        if not word.startswith("-"):
            break
        rest.pop(0)
        if word == "--":
            break
        options = _take(options, word, rest)
    if options.lines is not None:
        _no_more(rest, "-c LINE")
    return replace(options, words=tuple(rest))


def _take(options: StartOptions, word: str, rest: list[str]) -> StartOptions:
    name, equals, value = word.partition("=")
    if name in _WITH_VALUE:
        if not equals:
            if not rest:
                raise UsageError(f"{name} needs a value", hint="commander --help")
            value = rest.pop(0)
        if name == "--format" and value not in _FORMATS:
            raise UsageError(f"--format {value[:40]!r} is not one of {', '.join(_FORMATS)}")
        texts: dict[str, Any] = {"lines" if name == "-c" else name[2:]: value}
        return replace(options, **texts)
    if name not in _FLAGS or equals:
        raise UsageError(f"commander has no option {name[:60]!r}", hint="commander --help")
    key = "help" if name == "-h" else name[2:].replace("-", "_")
    flags: dict[str, Any] = {key: True}
    return replace(options, **flags)


def _no_more(rest: Sequence[str], after: str) -> None:
    if rest:
        raise UsageError(f"nothing may follow {after}, but {rest[0][:60]!r} does")
