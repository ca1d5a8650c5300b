"""What may follow at the cursor: pure, from the same lexing and scan that execution uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain, islice

from commander.plugin.command import Argument, ArgumentKind, Command
from commander.plugin.common_flags import all_arguments
from commander.plugin.parser import positional_at, scan_words
from commander.plugin.registry import Registry
from commander.shell.lexer import Word, quote, scan_line
from commander.shell.output.gate import UNSAFE

Sources = Callable[[ArgumentKind], Iterable[str]]

MAX_CANDIDATES = 200


@dataclass(frozen=True)
class Candidate:
    """One continuation: `text` replaces the line from `start` to the cursor."""

    text: str
    start: int
    shown: str
    description: str = ""


def complete(text: str, cursor: int, registry: Registry, sources: Sources) -> list[Candidate]:
    """Continuations of the word before the cursor, at most 200, best (in order of source) first."""
    before = text[:cursor]
    found = scan_line(before)
    if found.comment_start is not None:
        return []
    statement = found.statements[-1]
    is_new_word = not statement or statement[-1].end < len(before)
    typed = Word((), cursor, cursor) if is_new_word else statement[-1]
    words = [word.literal for word in statement[: None if is_new_word else -1]]
    prefix = typed.literal
    if "${" in prefix[-130:] and "}" not in prefix.rpartition("${")[2]:
        return []
    match = registry.find(words)
    offered: list[Iterable[Candidate]] = []
    if match.length == len(words):
        offered.append(_names(registry, words, prefix, typed.start))
    if match.command is not None:
        offered.append(_arguments(match.command, words[match.length :], prefix, typed, sources))
    candidates = list(islice(chain.from_iterable(offered), MAX_CANDIDATES))
    # A word that can only be this one is finished: what is typed next begins another.
    return [_finished(candidates[0])] if len(candidates) == 1 else candidates


def _finished(candidate: Candidate) -> Candidate:
    return replace(candidate, text=candidate.text + " ")


def _names(registry: Registry, words: list[str], prefix: str, start: int) -> Iterable[Candidate]:
    match = registry.find(words)
    described = dict(registry.children(match.path))
    for name in registry.next_words(words):
        if name.startswith(prefix):
            item = described.get(name)
            yield Candidate(name, start, name, item.summary if item else "alias")


def _arguments(
    command: Command, words: list[str], prefix: str, typed: Word, sources: Sources
) -> Iterable[Candidate]:
    found = scan_words(command, words)
    if found.waiting is not None:
        return _values(found.waiting, prefix, typed.start, sources)
    if not found.after_dashes and prefix.startswith("-"):
        name, equals, value = prefix.partition("=")
        if equals:
            return _values_after(command, name, value, typed.start, sources)
        given = {item.argument.key for item in found.given}
        return _flags(command, prefix, given, typed.start)
    argument = positional_at(command, len(found.positionals))
    return _values(argument, prefix, typed.start, sources) if argument is not None else ()


def _flags(command: Command, prefix: str, given: set[str], start: int) -> Iterable[Candidate]:
    for argument in all_arguments(command):
        if argument.is_positional or argument.kind is ArgumentKind.REST:
            continue
        if argument.key in given and not argument.repeat:
            continue
        names = [name for name in argument.names if name.startswith(prefix)]
        # The long name says more; the short one is offered when it is what was typed.
        long = [name for name in names if name.startswith("--")]
        for name in (long or names)[:1]:
            yield Candidate(name, start, name, argument.help)


def _values_after(
    command: Command, name: str, value: str, start: int, sources: Sources
) -> Iterable[Candidate]:
    for argument in all_arguments(command):
        if name in argument.names and argument.kind is not ArgumentKind.FLAG:
            for candidate in _values(argument, value, start, sources):
                text = f"{name}={candidate.text}"
                yield Candidate(text, start, candidate.shown, candidate.description)


def _values(argument: Argument, prefix: str, start: int, sources: Sources) -> Iterable[Candidate]:
    values = argument.choices if argument.choices else sources(argument.kind)
    folded = prefix.casefold()
    for value in values:
        # What cannot be shown as it is cannot be typed by its looks either: such a name has a UID.
        if value.casefold().startswith(folded) and not UNSAFE.search(value):
            dashed = value.startswith("-")
            text = f"-- {quote(value)}" if dashed and argument.is_positional else quote(value)
            yield Candidate(text, start, value, "")
