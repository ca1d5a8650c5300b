"""Which lines may be kept: none that holds a secret, or looks as if it did."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from commander.plugin.command import Argument, ArgumentKind
from commander.plugin.parser import positional_at, scan_words
from commander.plugin.registry import Registry
from commander.shell.lexer import LexError, lex

# Found anywhere in a name; the shorter ones below only as a word of their own.
_SECRET_PART = re.compile(r"password|passwd|passphrase|passcode|secret|token|credential|privat")
_SECRET_WORDS = {"pass", "pwd", "pw", "pin", "totp", "otp", "cvv", "seed"}
_SECRET_PAIRS = re.compile(r"(api|access|account|encryption|master) ?key|one time code")
_NAME_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


class Keep(Enum):
    """What may happen to a line after it was run."""

    FILE = "file"  # kept for later sessions
    MEMORY = "memory"  # kept until this session ends
    NOT = "not"  # forgotten at once


def may_keep(line: str, registry: Registry) -> Keep:
    """
    Decide about a line of the session.

    Forgotten: a value of an argument declared secret, an assignment to a name
    that sounds like a secret, a line that cannot be read, and one that begins
    with white space (as other shells do). A line that names no command may be a
    password typed at the wrong prompt: kept only when it is close to a command,
    and then never in the file.
    """
    if line.startswith((" ", "\t")):
        return Keep.NOT
    try:
        statements = lex(line)
    except LexError:
        return Keep.NOT
    kept = Keep.FILE
    for statement in statements:
        words = [word.literal for word in statement]
        found = _statement(words, registry)
        if found is Keep.NOT:
            return found
        kept = Keep.MEMORY if found is Keep.MEMORY else kept
    return kept if statements else Keep.NOT


def _statement(words: Sequence[str], registry: Registry) -> Keep:
    if any(_is_secret_assignment(word) for word in words):
        return Keep.NOT
    match = registry.find(words)
    if match.command is None:
        if match.length == len(words):
            return Keep.FILE
        return Keep.MEMORY if registry.nearest(words) else Keep.NOT
    found = scan_words(match.command, words[match.length :])
    if found.problem is not None or any(given.argument.secret for given in found.given):
        # With an unknown flag nobody knows which of the words are values.
        return Keep.MEMORY if not _has_secret(match.command.arguments) else Keep.NOT
    names = [word for _, word in found.positionals]
    for place, word in enumerate(names):
        argument = positional_at(match.command, place)
        if argument is not None and _hides(argument, word):
            return Keep.NOT
    return Keep.FILE


def _hides(argument: Argument, word: str) -> bool:
    is_variable = argument.kind is ArgumentKind.VARIABLE
    return argument.secret or (is_variable and sounds_secret(word))


def _has_secret(arguments: Sequence[Argument]) -> bool:
    return any(argument.secret for argument in arguments)


def _is_secret_assignment(word: str) -> bool:
    """`password=...`, `f.oneTimeCode=...`, `--token=...`; but not `--password-file=...`."""
    name, equals, value = word.partition("=")
    if not equals or not value or value.startswith(("$GEN", "${")):
        return False
    if name.endswith(("-file", "-stdin", "_file")):
        return False
    return sounds_secret(name)


def sounds_secret(name: str) -> bool:
    """Whether a field or variable of this name holds a secret: `DB_PASSWORD`, `f.pinCode`."""
    words = [word.lower() for word in _NAME_WORD.findall(name)]
    spaced = " ".join(words)
    return (
        bool(_SECRET_PART.search(name.lower()))
        or not _SECRET_WORDS.isdisjoint(words)
        or bool(_SECRET_PAIRS.search(spaced))
    )
