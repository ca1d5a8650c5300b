from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import CommanderError, InvalidInput, NotAllowed, NotFound
from commander.shell.batch_file import (
    MAX_BYTES,
    MAX_LINES,
    BatchLine,
    batch_lines,
    decode_batch,
    read_batch_file,
)


def lines(data: bytes) -> list[tuple[int, str]]:
    return [(line.number, line.text) for line in batch_lines(decode_batch(data, "f"))]


def test_b017_byte_order_mark_and_all_line_ends_are_read() -> None:
    """A BOM, LF, CRLF and a mix of both give the same lines with their numbers."""
    expected = [(1, "a"), (3, "b"), (4, "c")]
    for data in (b"\xef\xbb\xbfa\r\n\r\nb\r\nc\r\n", b"a\n\nb\nc", b"a\r\n\nb\nc\r\n"):
        assert lines(data) == expected


def test_b017_empty_files_are_nothing_to_do() -> None:
    """No bytes, blank lines and comments alone run nothing."""
    for data in (b"", b"\n\n", b"  \t\n# only\n   # comments", b"\xef\xbb\xbf"):
        assert lines(data) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ok\nb\xffd\n", "f line 2: not UTF-8 at byte 4"),
        ("a".encode("utf-16"), "is UTF-16"),
        (b"\n" * (MAX_LINES + 1), "more than"),
        (b"x" * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_b017_what_is_no_text_is_refused(data: bytes, message: str) -> None:
    """Wrong encodings and sizes are named, with the line where there is one."""
    with pytest.raises(InvalidInput, match=message):
        decode_batch(data, "f")


def test_a_lone_carriage_return_stays_for_the_lexer_to_refuse() -> None:
    """CR inside a line is not an end of line; running it is an error with its number."""
    assert lines(b"a\rb\n") == [(1, "a\rb")]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a \\\nb\nc", [(1, "a b"), (3, "c")]),
        (b"a \\\r\n b \\\r\n c", [(1, "a  b  c")]),
        (b'a "x\\\ny"', [(1, 'a "xy"')]),
        (b"a \\\\\nb", [(1, "a \\\\"), (2, "b")]),
        (b"# a \\\nb", [(2, "b")]),
        (b"a \\", [(1, "a \\")]),
        (b"a 'x\\\ny'", [(1, "a 'x\\"), (2, "y'")]),
    ],
)
def test_continued_lines_are_joined(data: bytes, expected: list[tuple[int, str]]) -> None:
    """An escaping backslash at the end continues a line; comments and quotes do not."""
    assert lines(data) == expected


def test_the_mark_lets_a_line_fail() -> None:
    """`@` before a line is taken off and remembered."""
    found = list(batch_lines(["  @ rm x", "echo @y", "@"]))

    assert found == [
        BatchLine(1, " rm x", may_fail=True),
        BatchLine(2, "echo @y"),
        BatchLine(3, "", may_fail=True),
    ]


@given(st.binary(max_size=60))
def test_random_bytes_are_lines_or_invalid(data: bytes) -> None:
    """Nothing but InvalidInput comes out, and numbers only grow."""
    try:
        numbers = [number for number, _ in lines(data)]
    except InvalidInput:
        return
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_b020_own_files_are_read(tmp_path: Path, mode: int) -> None:
    """The control: a file that only its owner and group can write is read."""
    path = tmp_path / "b"
    path.write_bytes(b"echo")
    path.chmod(mode)

    assert read_batch_file(str(path), trust_file=False) == b"echo"


def test_b020_files_of_others_need_trust(tmp_path: Path) -> None:
    """World-writable files, and those of another user, are read with --trust-file only."""
    path = tmp_path / "b"
    path.write_bytes(b"echo")
    path.chmod(0o646)
    with pytest.raises(NotAllowed, match="written by other users"):
        read_batch_file(str(path), trust_file=False)
    assert read_batch_file(str(path), trust_file=True) == b"echo"

    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
        with pytest.raises(NotAllowed, match="another user"):
            read_batch_file(str(path), trust_file=False)
        assert read_batch_file(str(path), trust_file=True) == b"echo"


@pytest.mark.parametrize("kind", ["directory", "fifo", "missing", "nul", "large"])
def test_b017_what_is_no_plain_file_is_refused(tmp_path: Path, kind: str) -> None:
    """Directories, FIFOs (without hanging), missing and over-large files are errors."""
    path = tmp_path / "b"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(MAX_BYTES + 1)
    name = str(path) + ("\0" if kind == "nul" else "")
    with pytest.raises(CommanderError) as caught:
        read_batch_file(name, trust_file=True)

    assert type(caught.value) is (NotFound if kind == "missing" else InvalidInput)
