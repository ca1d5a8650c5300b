"""
Words to arguments: one scan that execution, completion, highlighting and history share.

Rules: flags match exactly (no abbreviations); `--flag=value` and `-f=value` take
any value, also one that starts with `-`; `--flag value` and `-fvalue` take the
rest; flags without value may be joined (`-lf`); after `--` every word is a
positional, or belongs to the REST argument if the command has one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from commander.errors import UsageError
from commander.plugin.command import (
    OUTPUT_FORMATS,
    Argument,
    ArgumentKind,
    Arguments,
    Command,
    Value,
)
from commander.plugin.common_flags import all_arguments

_NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?\Z")
_INTEGER = re.compile(r"-?[0-9]{1,15}\Z")
_DURATION = re.compile(r"([0-9]{1,9})(s|m|min|h|d|w)?\Z")
_UNIT_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604_800}
MAX_PORT = 65_535


@dataclass(frozen=True)
class Given:
    """One word's meaning: which argument it gives a value to (None: it is a flag's name)."""

    index: int
    argument: Argument
    value: str | None


@dataclass
class Scan:
    """What a list of words means so far; `problem` is the first thing that is wrong, if any."""

    given: list[Given] = field(default_factory=list)
    positionals: list[tuple[int, str]] = field(default_factory=list)
    rest: tuple[str, ...] = ()
    # A flag at the end that still waits for its value.
    waiting: Argument | None = None
    after_dashes: bool = False
    problem: UsageError | None = None


def scan_words(command: Command, words: Sequence[str]) -> Scan:
    """Say what each word means, as far as it can be said; never raises."""
    return _Scanner(command, words).scan()


def parse_arguments(
    command: Command, words: Sequence[str], *, default_format: str = "table"
) -> Arguments:
    """Read a command's words. Raises UsageError that names the argument and the way out."""
    found = scan_words(command, words)
    if found.problem is not None:
        raise found.problem
    if found.waiting is not None:
        raise _usage(command, f"{found.waiting.names[0]} needs a value")
    values = _defaults(command)
    for given in found.given:
        _store(command, values, given.argument, given.value)
    _fill_positionals(command, values, found)
    _check_required(command, values)
    _check_exclusive(command, values)
    own = values.get("format")
    chosen = own if isinstance(own, str) and own in OUTPUT_FORMATS else default_format
    return Arguments(values, format=chosen)


def asks_for_help(command: Command, words: Sequence[str]) -> bool:
    """Whether -h or --help is among the words, whatever else is wrong with them."""
    return any(given.argument.key == "help" for given in scan_words(command, words).given)


class _Scanner:
    def __init__(self, command: Command, words: Sequence[str]) -> None:
        self._command = command
        self._words = words
        self._flags = {
            name: argument
            for argument in all_arguments(command)
            for name in argument.names
            if not argument.is_positional and argument.kind is not ArgumentKind.REST
        }
        self._found = Scan()

    def scan(self) -> Scan:
        has_rest = any(a.kind is ArgumentKind.REST for a in self._command.arguments)
        for index, word in enumerate(self._words):
            if self._found.after_dashes:
                self._found.positionals.append((index, word))
            elif self._found.waiting is not None:
                self._take_value(index, word)
            elif word == "--":
                if has_rest:
                    self._found.rest = tuple(self._words[index + 1 :])
                    break
                self._found.after_dashes = True
            elif not word.startswith("-") or word == "-" or _NUMBER.match(word):
                self._found.positionals.append((index, word))
            else:
                self._take_flag(index, word)
        return self._found

    def _take_value(self, index: int, word: str) -> None:
        waiting = self._found.waiting
        assert waiting is not None
        self._found.waiting = None
        if word.startswith("-") and word != "-" and not _NUMBER.match(word):
            name = waiting.names[0]
            self._problem(f"{name} needs a value", hint=f"write {name}=VALUE when it starts with -")
        self._found.given.append(Given(index, waiting, word))

    def _take_flag(self, index: int, word: str) -> None:
        name, equals, value = word.partition("=")
        argument = self._flags.get(name)
        if argument is None:
            self._take_joined(index, word)
        elif argument.kind is ArgumentKind.FLAG:
            if equals:
                self._problem(f"{name} takes no value")
            self._found.given.append(Given(index, argument, None))
        elif equals:
            self._found.given.append(Given(index, argument, value))
        else:
            self._found.waiting = argument

    def _take_joined(self, index: int, word: str) -> None:
        first = self._flags.get(word[:2])
        if word.startswith("--") or first is None:
            self._unknown(word.partition("=")[0])
        elif first.kind is not ArgumentKind.FLAG:
            self._found.given.append(Given(index, first, word[2:]))
        else:
            for letter in word[1:]:
                joined = self._flags.get("-" + letter)
                if joined is None or joined.kind is not ArgumentKind.FLAG:
                    self._unknown(word)
                    return
                self._found.given.append(Given(index, joined, None))

    def _unknown(self, name: str) -> None:
        near = difflib.get_close_matches(name[:60], list(self._flags), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"{self._command.path} -h lists them"
        self._problem(f"{self._command.path} has no flag {name[:60]!r}", hint=hint)

    def _problem(self, message: str, hint: str = "") -> None:
        if self._found.problem is None:
            self._found.problem = _usage(self._command, message, hint)


def positionals_of(command: Command) -> list[Argument]:
    """The positional arguments in order, without REST."""
    return [
        argument
        for argument in command.arguments
        if argument.is_positional and argument.kind is not ArgumentKind.REST
    ]


def positional_at(command: Command, place: int) -> Argument | None:
    """The argument that the positional word number `place` belongs to, reading left to right."""
    arguments = positionals_of(command)
    if place < len(arguments):
        return arguments[place]
    return arguments[-1] if arguments and arguments[-1].repeat else None


def _defaults(command: Command) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for argument in all_arguments(command):
        if argument.kind is ArgumentKind.FLAG:
            values[argument.key] = False
        elif argument.repeat or argument.kind is ArgumentKind.REST:
            values[argument.key] = ()
        else:
            values[argument.key] = argument.default
    return values


def _store(
    command: Command, values: dict[str, Value], argument: Argument, text: str | None
) -> None:
    key = argument.key
    if argument.kind is ArgumentKind.FLAG:
        values[key] = True
        return
    assert text is not None
    value = _convert(command, argument, text)
    if argument.repeat:
        before = values[key]
        assert isinstance(before, tuple)
        values[key] = (*before, value)
    else:
        values[key] = value


def _fill_positionals(command: Command, values: dict[str, Value], found: Scan) -> None:
    arguments = positionals_of(command)
    words = [word for _, word in found.positionals]
    # What stands behind a repeated argument (`mv SOURCE... TARGET`) gets its word first.
    needed_behind = 0
    for place, argument in enumerate(arguments):
        if argument.repeat:
            needed_behind = sum(1 for later in arguments[place + 1 :] if later.required)
            taken = len(words) - needed_behind
            for word in words[: max(taken, 0)]:
                _store(command, values, argument, word)
            words = words[max(taken, 0) :]
        elif words:
            _store(command, values, argument, words.pop(0))
    if words:
        raise _usage(command, f"{command.path} has no place for {words[0][:60]!r}")
    for argument in command.arguments:
        if argument.kind is ArgumentKind.REST:
            values[argument.key] = found.rest


def _check_required(command: Command, values: dict[str, Value]) -> None:
    for argument in command.arguments:
        if argument.required and values[argument.key] in (None, ()):
            name = argument.metavar or argument.names[0]
            shown = name.upper() if argument.is_positional else argument.names[0]
            raise _usage(command, f"{command.path} needs {shown}")


def _check_exclusive(command: Command, values: dict[str, Value]) -> None:
    for group in command.exclusive:
        given = [key for key in group if values[key] not in (None, False, ())]
        if len(given) > 1:
            names = " and ".join(f"--{key.replace('_', '-')}" for key in given)
            raise _usage(command, f"{names} exclude each other")


def _convert(command: Command, argument: Argument, text: str) -> str | int:
    name = argument.names[0]
    shown = "the value" if argument.secret else repr(text[:60])
    if argument.kind is ArgumentKind.CHOICE and text not in argument.choices:
        raise _usage(command, f"{name} {shown} is not one of {', '.join(argument.choices)}")
    if argument.kind is ArgumentKind.INT:
        if not _INTEGER.match(text):
            raise _usage(command, f"{name} {shown} is not a whole number")
        return int(text)
    if argument.kind is ArgumentKind.PORT:
        if not _INTEGER.match(text) or not 1 <= int(text) <= MAX_PORT:
            raise _usage(command, f"{name} {shown} is not a port", "a port is 1 to 65535")
        return int(text)
    if argument.kind is ArgumentKind.DURATION:
        return _duration(command, name, text)
    return text


def _duration(command: Command, name: str, text: str) -> int:
    match = _DURATION.match(text)
    if match is None:
        raise _usage(
            command, f"{name} {text[:60]!r} is not a duration", "write 90s, 15m, 8h or 30d"
        )
    return int(match[1]) * _UNIT_SECONDS[match[2] or "s"]


def _usage(command: Command, message: str, hint: str = "") -> UsageError:
    return UsageError(message, hint=hint or f"for example: {command.example}")
