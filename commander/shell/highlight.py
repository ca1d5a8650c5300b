"""Colours of the line being typed: pure spans, from the scan that execution uses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from commander.plugin.command import Command
from commander.plugin.parser import Scan, scan_words
from commander.plugin.registry import Registry
from commander.shell.lexer import LexError, Reference, Word, scan_line


class Style(Enum):
    """What a span is; the session maps it to a colour."""

    COMMAND = "command"
    FLAG = "flag"
    VALUE = "value"
    TEXT = "text"
    VARIABLE = "variable"
    COMMENT = "comment"
    SECRET = "secret"  # noqa: S105  # the name of a style
    WRONG = "wrong"


@dataclass(frozen=True)
class Span:
    """From `start` up to but not including `end`, in characters of the line."""

    start: int
    end: int
    style: Style


def highlight(line: str, registry: Registry) -> list[Span]:
    """Spans in order, without overlap; what no span covers is plain."""
    found = scan_line(line)
    spans: list[Span] = []
    for statement in found.statements:
        spans += _statement(statement, registry)
    if found.comment_start is not None:
        spans.append(Span(found.comment_start, len(line), Style.COMMENT))
    if found.problem is not None:
        spans = _mark_problem(spans, found.problem, len(line))
    return spans


def _mark_problem(spans: list[Span], problem: LexError, end: int) -> list[Span]:
    start = min(problem.column - 1, end)
    kept = [span for span in spans if span.end <= start]
    return [*kept, Span(start, end, Style.WRONG)] if start < end else kept


def _statement(words: list[Word], registry: Registry) -> list[Span]:
    texts = [word.literal for word in words]
    match = registry.find(texts)
    spans = [Span(word.start, word.end, Style.COMMAND) for word in words[: match.length]]
    rest = words[match.length :]
    if match.command is None:
        # What is being typed may still become a command.
        if rest and texts[match.length : match.length + 1] and not _may_become(registry, texts):
            spans.append(Span(rest[0].start, rest[0].end, Style.WRONG))
        return spans
    found = scan_words(match.command, texts[match.length :])
    return spans + [
        Span(word.start, word.end, _style(match.command, found, place, word))
        for place, word in enumerate(rest)
    ]


def _may_become(registry: Registry, texts: list[str]) -> bool:
    match = registry.find(texts)
    typed = texts[match.length]
    known = registry.next_words(texts[: match.length])
    return match.length + 1 == len(texts) and any(name.startswith(typed) for name in known)


def _style(command: Command, found: Scan, place: int, word: Word) -> Style:
    for given in found.given:
        if given.index == place:
            if given.argument.secret:
                return Style.SECRET
            return Style.FLAG if word.literal.startswith("-") else Style.VALUE
    if any(isinstance(part, Reference) for part in word.parts):
        return Style.VARIABLE
    is_positional = any(index == place for index, _ in found.positionals)
    if word.literal.startswith("-") and not is_positional:
        known = {name for argument in command.arguments for name in argument.names}
        wrong = found.problem is not None and word.literal.partition("=")[0] not in known
        return Style.WRONG if wrong and word.literal != "--" else Style.FLAG
    return Style.TEXT
