"""Secrets never come from a command line: declare these flags and read them here."""

from __future__ import annotations

from pathlib import Path

from commander.errors import CommanderError, InvalidInput, NotFound
from commander.files import read_private
from commander.plugin.command import Argument, ArgumentKind, Arguments, flag, option
from commander.plugin.context import Context
from commander.secret import Secret

MAX_SECRET = 64 * 1024


def secret_arguments(name: str, what: str) -> tuple[Argument, Argument]:
    """`--NAME-file` and `--NAME-stdin`, beside which the secret is asked for on the terminal."""
    return (
        option(f"--{name}-file", kind=ArgumentKind.PATH, help=f"read {what} from a private file"),
        flag(f"--{name}-stdin", help=f"read {what} from standard input"),
    )


async def read_secret(context: Context, arguments: Arguments, name: str, question: str) -> Secret:
    """
    Read the secret from the file, standard input or the terminal; one last newline is cut.

    Raises InvalidInput for an empty or over-long one or a file that others may
    read, NotFound, UsageError without a terminal.
    """
    key = name.replace("-", "_")
    file = arguments.text_or_none(f"{key}_file")
    if file is not None:
        data = _read_file(Path(file))
    elif arguments.flag(f"{key}_stdin"):
        data = await context.console.read_stdin(limit=MAX_SECRET)
    else:
        secret = await context.console.ask_secret(question, flag=f"--{name}-file")
        if not len(secret):
            raise InvalidInput(f"an empty {name} is not accepted")
        return secret
    return _checked(data, name)


def _read_file(path: Path) -> bytes:
    try:
        return read_private(path, limit=MAX_SECRET)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {str(path)!r}") from error
    except OSError as error:
        raise CommanderError(f"{path} cannot be read: {error.strerror}") from error


def _checked(data: bytes, name: str) -> Secret:
    text = data.removesuffix(b"\n").removesuffix(b"\r")
    if not text:
        raise InvalidInput(f"an empty {name} is not accepted")
    return Secret(text)
