"""
A line to statements of words, by the rules of POSIX shell words.

`'...'` keeps everything; `"..."` lets a backslash escape `"` and itself; outside
quotes a backslash keeps the next character. `;` ends a statement and `#` at the
start of a word begins a comment, both only outside quotes. `${NAME}` and
`${env:NAME}` are found outside single quotes and put in after this step: always
part of one word, never read again. `\\${` is a literal `${`. Nothing else has a
meaning: `$(...)`, backticks, `&&`, `|`, `>` and `*` are text.

Limits: 64 KiB a line, 4,096 words; NUL, CR and LF inside a line are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from commander.errors import UsageError

MAX_LINE_BYTES = 64 * 1024
MAX_WORDS = 4096
_REFERENCE = re.compile(r"\$\{(env:)?([A-Za-z_][A-Za-z0-9_]{0,127})\}")
_BLANK = " \t"
_CONTROL = {"\0": "NUL", "\r": "CR", "\n": "LF"}


class LexError(UsageError):
    """A line that is no list of words; `column` (from 1) is where it goes wrong."""

    def __init__(self, message: str, *, column: int, hint: str = "") -> None:
        super().__init__(f"{message} (column {column})", hint=hint)
        self.column = column


class OpenEnd(LexError):
    """The line ends with a backslash that escapes nothing: the next line may continue it."""


@dataclass(frozen=True)
class Reference:
    """A `${NAME}` or `${env:NAME}` in a word."""

    name: str
    is_environment: bool
    column: int


@dataclass(frozen=True)
class Word:
    """
    One word: its parts, and its span in the line (quotes included).

    `is_quoted` tells whether any quote or backslash was used in it.
    """

    parts: tuple[str | Reference, ...]
    start: int
    end: int
    is_quoted: bool = False

    @property
    def literal(self) -> str:
        """The text, with references as they were written."""
        return "".join(part if isinstance(part, str) else _written(part) for part in self.parts)


Statement = tuple[Word, ...]


@dataclass
class LineScan:
    """Statements of a line as far as they can be read; `problem` is what ended the reading."""

    statements: list[list[Word]] = field(default_factory=lambda: [[]])
    comment_start: int | None = None
    problem: LexError | None = None


def lex(line: str) -> list[Statement]:
    """Read a line; empty statements are left out. Raises LexError, and then nothing may run."""
    found = scan_line(line)
    if found.problem is not None:
        raise found.problem
    return [tuple(statement) for statement in found.statements if statement]


def scan_line(line: str) -> LineScan:
    """Read a line as far as possible, for completion and highlighting; never raises."""
    problem = _check_line(line)
    if problem is not None:
        return LineScan(problem=problem)
    return _Lexer(line).run()


def check_words(words: list[str]) -> None:
    """
    Refuse words of the command line (argv) that no line could hold.

    Raises UsageError: not UTF-8, a NUL, too many or too long.
    """
    if len(words) > MAX_WORDS or sum(len(word) for word in words) > MAX_LINE_BYTES:
        raise UsageError(f"a command takes {MAX_WORDS} words and {MAX_LINE_BYTES} bytes at most")
    for number, word in enumerate(words, start=1):
        place = _first_surrogate(word)
        if place is not None:
            raise UsageError(f"word {number} is not UTF-8 at byte {place}")
        if "\0" in word:
            raise UsageError(f"word {number} holds a NUL")


def expand(
    statement: Statement, variables: Mapping[str, str], environment: Mapping[str, str]
) -> list[str]:
    """Put values in for references. Raises LexError for a name that is not set."""
    return [
        "".join(
            part if isinstance(part, str) else _value(part, variables, environment)
            for part in word.parts
        )
        for word in statement
    ]


def quote(text: str) -> str:
    """Write a text as one word that `lex` reads back the same."""
    if text and re.fullmatch(r"[A-Za-z0-9_./:@%+=,-]+", text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _value(
    reference: Reference, variables: Mapping[str, str], environment: Mapping[str, str]
) -> str:
    value = (environment if reference.is_environment else variables).get(reference.name)
    if value is not None:
        return value
    hint = (
        f"export {reference.name} before you start"
        if reference.is_environment
        else f"set {reference.name} VALUE, or {_written_env(reference.name)} for the environment"
    )
    raise LexError(f"{_written(reference)} is not set", column=reference.column, hint=hint)


def _written(reference: Reference) -> str:
    prefix = "env:" if reference.is_environment else ""
    return "${" + prefix + reference.name + "}"


def _written_env(name: str) -> str:
    return "${env:" + name + "}"


def _check_line(line: str) -> LexError | None:
    # Counted in characters first: encoding a huge line only to refuse it costs memory.
    if len(line) > MAX_LINE_BYTES:
        return LexError(f"the line is longer than {MAX_LINE_BYTES} bytes", column=MAX_LINE_BYTES)
    place = _first_surrogate(line)
    if place is not None:
        return LexError("the line is not UTF-8", column=place + 1)
    if len(line.encode()) > MAX_LINE_BYTES:
        return LexError(f"the line is longer than {MAX_LINE_BYTES} bytes", column=len(line))
    for character, name in _CONTROL.items():
        place = line.find(character)
        if place >= 0:
            return LexError(f"the line holds a {name}", column=place + 1)
    return None


def _first_surrogate(text: str) -> int | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


class _Lexer:
    """One pass over a line; `_at` only grows."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._at = 0
        self._count = 0
        self._found = LineScan()

    def run(self) -> LineScan:
        try:
            while self._skip_to_word():
                self._word()
        except LexError as error:
            self._found.problem = error
        return self._found

    def _skip_to_word(self) -> bool:
        while self._at < len(self._line):
            character = self._line[self._at]
            if character == ";":
                self._found.statements.append([])
            elif character == "#":
                self._found.comment_start = self._at
                return False
            elif character not in _BLANK:
                return True
            self._at += 1
        return False

    def _word(self) -> None:
        self._count += 1
        if self._count > MAX_WORDS:
            raise LexError(f"more than {MAX_WORDS} words", column=self._at + 1)
        self._start = self._at
        self._parts: list[str | Reference] = []
        self._quoted = False
        try:
            while self._at < len(self._line) and self._line[self._at] not in _BLANK + ";":
                self._piece()
        finally:
            # An unfinished word is kept too: completion wants to know what it is.
            word = Word(_joined(self._parts), self._start, self._at, self._quoted)
            self._found.statements[-1].append(word)

    def _piece(self) -> None:
        character = self._line[self._at]
        if character == "'":
            self._single()
        elif character == '"':
            self._double()
        elif character == "\\":
            self._quoted = True
            self._check_not_last()
            self._parts.append(self._line[self._at + 1])
            self._at += 2
        else:
            self._plain_or_reference()

    def _single(self) -> None:
        self._quoted = True
        opened = self._at
        end = self._line.find("'", opened + 1)
        if end < 0:
            self._parts.append(self._line[opened + 1 :])
            self._at = len(self._line)
            raise LexError("the quote ' is not closed", column=opened + 1)
        self._parts.append(self._line[opened + 1 : end])
        self._at = end + 1

    def _double(self) -> None:
        self._quoted = True
        opened = self._at
        self._at += 1
        while self._at < len(self._line):
            character = self._line[self._at]
            if character == '"':
                self._at += 1
                return
            if character == "\\":
                self._check_not_last()
            if character == "\\" and self._escapes_in_double():
                self._parts.append(self._line[self._at + 1])
                self._at += 2
            else:
                self._plain_or_reference()
        raise LexError('the quote " is not closed', column=opened + 1)

    def _check_not_last(self) -> None:
        self._at += 1
        if self._at == len(self._line):
            raise OpenEnd("the line ends with a backslash", column=self._at)
        self._at -= 1

    def _escapes_in_double(self) -> bool:
        after = self._line[self._at + 1 : self._at + 3]
        return after[:1] in ('"', "\\") or after == "${"

    def _plain_or_reference(self) -> None:
        match = _REFERENCE.match(self._line, self._at)
        if match is not None:
            self._parts.append(Reference(match[2], match[1] is not None, self._at + 1))
            self._at = match.end()
            return
        if self._line.startswith("${", self._at):
            hint = "write ${NAME}, ${env:NAME}, or \\${ for the characters themselves"
            raise LexError("${ begins no variable", column=self._at + 1, hint=hint)
        self._parts.append(self._line[self._at])
        self._at += 1


def _joined(parts: list[str | Reference]) -> tuple[str | Reference, ...]:
    joined: list[str | Reference] = []
    text: list[str] = []
    for part in parts:
        if isinstance(part, str):
            text.append(part)
        else:
            joined += ["".join(text)] if text else []
            text = []
            joined.append(part)
    return (*joined, "".join(text)) if text or not joined else tuple(joined)
