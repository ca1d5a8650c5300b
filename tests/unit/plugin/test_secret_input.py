from __future__ import annotations

from pathlib import Path

import pytest

from commander.errors import CommanderError, InvalidInput, NotFound, UsageError
from commander.plugin.command import Arguments
from commander.plugin.secret_input import read_secret, secret_arguments
from commander.plugin.testing import FakeConsole, FakeContext


def given(file: Path | None = None, *, stdin: bool = False) -> Arguments:
    return Arguments({"password_file": str(file) if file else None, "password_stdin": stdin})


def private(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


async def read(context: FakeContext, arguments: Arguments) -> bytes:
    return (await read_secret(context, arguments, "password", "Password")).reveal()


def test_flags_are_named_after_the_secret() -> None:
    """`--password-file` and `--password-stdin` are read by their keys."""
    assert [a.key for a in secret_arguments("password", "it")] == [
        "password_file",
        "password_stdin",
    ]


async def test_sources_in_order(tmp_path: Path) -> None:
    """File, then standard input, then the terminal; one last newline is cut, nothing else."""
    context = FakeContext(console=FakeConsole("typed", stdin=b" piped \r\n"))
    file = private(tmp_path / "p", b"from file \n\n")

    assert await read(context, given(file)) == b"from file \n"
    assert await read(context, given(stdin=True)) == b" piped "
    assert await read(context, given()) == b"typed"


@pytest.mark.parametrize("data", [b"", b"\n", b"x" * (64 * 1024 + 1)])
async def test_empty_and_huge_secrets_are_refused(tmp_path: Path, data: bytes) -> None:
    """A secret file has one byte at least and 64 KiB at most."""
    with pytest.raises(InvalidInput):
        await read(FakeContext(), given(private(tmp_path / "p", data)))


async def test_unsafe_or_missing_files_are_refused(tmp_path: Path) -> None:
    """A file that others may read, a directory and a missing one are errors."""
    file = private(tmp_path / "p", b"x")
    file.chmod(0o644)
    with pytest.raises(InvalidInput, match="read by other users"):
        await read(FakeContext(), given(file))
    with pytest.raises(NotFound):
        await read(FakeContext(), given(tmp_path / "missing"))
    with pytest.raises(CommanderError):
        await read(FakeContext(), given(tmp_path))


async def test_b011_without_a_terminal_the_flag_is_named() -> None:
    """No terminal and no flag: an error that says which flag."""
    with pytest.raises(UsageError) as caught:
        await read(FakeContext(), given())

    assert "--password-file" in caught.value.hint
    with pytest.raises(InvalidInput):
        await read(FakeContext(console=FakeConsole("")), given())
