from __future__ import annotations

import contextlib
import shlex
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import UsageError
from commander.shell.lexer import (
    MAX_LINE_BYTES,
    MAX_WORDS,
    LexError,
    OpenEnd,
    check_words,
    expand,
    lex,
    quote,
    scan_line,
)

# Neither comments, separators nor references: what remains is plain POSIX words.
_POSIX = st.text(alphabet="ab \t'\"\\-=/*?|&<>()`~!é中", max_size=40)


def words(line: str, **variables: str) -> list[list[str]]:
    return [expand(statement, variables, {"HOME": "/home/me"}) for statement in lex(line)]


@given(_POSIX)
def test_words_are_those_of_shlex(line: str) -> None:
    """For every line without our own signs the words are the standard library's."""
    try:
        expected = shlex.split(line, comments=False, posix=True)
    except ValueError:
        with pytest.raises(LexError):
            lex(line)
        return

    assert words(line) == ([expected] if expected else [])


@given(st.text(max_size=200))
def test_any_text_gives_words_or_a_lex_error(line: str) -> None:
    """Nothing but LexError comes out, its column lies in the line, and a scan never raises."""
    problem = scan_line(line).problem
    if problem is None:
        assert all(lex(line))
        return
    assert 1 <= problem.column <= len(line)
    with pytest.raises(LexError):
        lex(line)


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)))
def test_quoted_words_come_back(texts: list[str]) -> None:
    """`quote` writes any text so that the lexer reads it as one word, unchanged."""
    line = " ".join(quote(text) for text in texts)

    assert words(line) == ([texts] if texts else [])


@pytest.mark.parametrize("cut", range(len('a \'b c\' "d\\"e" f\\ g ${X}h;i')))
def test_every_prefix_is_read_or_refused(cut: int) -> None:
    """A line cut anywhere is words or a LexError, never anything else."""
    line = 'a \'b c\' "d\\"e" f\\ g ${X}h;i'[:cut]
    with contextlib.suppress(LexError):
        assert all(lex(line))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a; b", [["a"], ["b"]]),
        ("a;b;;", [["a"], ["b"]]),
        ("a ';' \"b;c\" d\\;e", [["a", ";", "b;c", "d;e"]]),
        ("a # b; c", [["a"]]),
        ("a#b c", [["a#b", "c"]]),
        ("'# a' b", [["# a", "b"]]),
        ("# only", []),
        ("", []),
        ("   \t ", []),
        ("''", [[""]]),
        ('a "b  c"', [["a", "b  c"]]),
        ("$(id) `id` && || > < | * ~", [["$(id)", "`id`", "&&", "||", ">", "<", "|", "*", "~"]]),
        ('p=$GEN:rand,20 "j=$JSON:{\\"a\\":1}"', [["p=$GEN:rand,20", 'j=$JSON:{"a":1}']]),
    ],
)
def test_statements_and_comments(line: str, expected: list[list[str]]) -> None:
    """`;` and `#` count outside quotes only; other shells' signs are text."""
    assert words(line) == expected


@pytest.mark.parametrize(
    ("line", "column"),
    [("echo 'a", 6), ('echo a"b', 7), ("echo a\\", 7), ("echo ${", 6), ("echo ${1x}", 6)],
)
def test_b001_unbalanced_line_names_its_column(line: str, column: int) -> None:
    """An open quote or escape is an error that says where it began."""
    with pytest.raises(LexError) as caught:
        lex(line)

    assert caught.value.column == column
    assert f"column {column}" in caught.value.message


@pytest.mark.parametrize("character", ["\0", "\r", "\n"])
@pytest.mark.parametrize("frame", ["list{}; rm -rf", "'{}'", "# {}", "{}"])
def test_b002_control_characters_are_refused_anywhere(frame: str, character: str) -> None:
    """NUL, CR and LF are refused before any word is read, also in quotes and comments."""
    with pytest.raises(LexError, match="holds a"):
        lex(frame.format(character))


@pytest.mark.parametrize(
    "line", ["x" * (1024 * 1024), "é" * MAX_LINE_BYTES, "a " * 100_000, "a " * (MAX_WORDS + 1)]
)
def test_b003_huge_lines_are_refused_fast(line: str) -> None:
    """Lines over 64 KiB and over 4,096 words are refused, without reading them to the end."""
    begun = time.process_time()
    with pytest.raises(LexError):
        lex(line)

    # Ten times the budget of 50 ms: it ends runaway work, and is no measurement.
    assert time.process_time() - begun < 0.5


def test_the_largest_line_is_read() -> None:
    """Exactly 4,096 words and exactly 64 KiB are still read."""
    assert len(lex("a " * MAX_WORDS)[0]) == MAX_WORDS
    assert len(lex("x" * MAX_LINE_BYTES)[0][0].literal) == MAX_LINE_BYTES


def test_b004_a_line_that_is_not_utf_8_is_refused() -> None:
    """Bytes that were no UTF-8 (surrogates, after decoding) are named by their column."""
    with pytest.raises(LexError, match="not UTF-8"):
        lex("echo \udcff")
    with pytest.raises(UsageError, match="word 2 is not UTF-8 at byte 1"):
        check_words(["echo", "a\udcff"])


def test_argv_is_bounded_as_lines_are() -> None:
    """Words of the command line have the same limits."""
    for bad in (["a"] * (MAX_WORDS + 1), ["x" * (MAX_LINE_BYTES + 1)], ["a\0b"]):
        with pytest.raises(UsageError):
            check_words(bad)
    check_words(["echo", "a b", ""])


def test_a_variable_is_always_one_word_and_never_read_again() -> None:
    """White space, quotes, `;` and `${...}` in a value have no meaning any more."""
    value = "a  b'; quit \" ${Y} #"

    assert words('echo ${X} p=${X}q "${X}"', X=value) == [["echo", value, f"p={value}q", value]]


def test_an_empty_variable_is_one_empty_word() -> None:
    """An empty value does not make the word vanish."""
    assert words("echo ${X} end", X="") == [["echo", "", "end"]]


def test_b021_values_of_passwords_are_kept_exactly() -> None:
    """`#`, quotes and backslashes inside a quoted value come through unchanged."""
    assert words("record-add 'password=a#b\"c\\d$e  f;g'") == [
        ["record-add", 'password=a#b"c\\d$e  f;g']
    ]


def test_environment_variables_are_named_as_such() -> None:
    """`${env:NAME}` reads the environment and `${NAME}` does not."""
    assert words("echo ${env:HOME}") == [["echo", "/home/me"]]
    with pytest.raises(LexError, match=r"\$\{HOME\} is not set"):
        words("echo ${HOME}")


@pytest.mark.parametrize("line", ["echo '${X}'", "echo \\${X}", 'echo "\\${X}"'])
def test_a_reference_can_be_written_as_text(line: str) -> None:
    """Single quotes or a backslash keep `${X}` as it is."""
    assert words(line) == [["echo", "${X}"]]


@pytest.mark.parametrize("line", ["echo ${X}", 'echo "a${X}"', "echo ${env:NOT_THERE}"])
def test_an_unknown_variable_is_an_error_with_its_column(line: str) -> None:
    """A name that is not set is never an empty word."""
    with pytest.raises(LexError, match="is not set") as caught:
        words(line)

    assert line[caught.value.column - 1 :].startswith("${")


@pytest.mark.parametrize(
    ("line", "may_go_on"),
    [("a \\", True), ('a "b\\', True), ("a \\\\", False), ('a "b\\\\', False), ("a 'b\\", False)],
)
def test_only_an_escaping_backslash_continues_a_line(line: str, may_go_on: bool) -> None:
    """A last backslash continues the line unless it is escaped or in single quotes."""
    assert isinstance(scan_line(line).problem, OpenEnd) is may_go_on


def test_spans_cover_the_words() -> None:
    """Each word knows where it stands in the line, quotes included."""
    line = "  ab 'c d'e;f"
    spans = [line[word.start : word.end] for statement in lex(line) for word in statement]

    assert spans == ["ab", "'c d'e", "f"]
