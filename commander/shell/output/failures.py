"""Errors as users and scripts see them: on stderr, with the exit code of their type."""

from __future__ import annotations

import json
import traceback

from commander.errors import CommanderError
from commander.shell.output.gate import escape_json, escape_text

INTERNAL_CODE = "internal"
_HINT_INTERNAL = "this is a fault of the program: report the lines above"


class LineFailed(CommanderError):
    """A line of a batch failed: its place before the cause's message, all else the cause's."""

    def __init__(self, where: str, cause: CommanderError) -> None:
        super().__init__(f"{where}: {cause.message}", hint=cause.hint, code=cause.code)
        self.cause = cause


class KeptGoing(CommanderError):
    """Lines of a batch failed under --keep-going; each was reported as it happened."""

    def __init__(self, failed: int, total: int, first: CommanderError) -> None:
        super().__init__(f"{failed} of {total} lines failed", code=first.code)
        self.cause = first


class CommandFailed(CommanderError):
    """A command ended with a code of its own and has said why; `code_of` gives the code."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the command ended with code {status}")
        self.status = status


def code_of(error: BaseException) -> int:
    """The exit code for an error: of its type, or of what caused it."""
    if isinstance(error, LineFailed | KeptGoing):
        return code_of(error.cause)
    if isinstance(error, CommandFailed):
        return error.status
    return error.exit_code if isinstance(error, CommanderError) else 1


def error_text(error: BaseException) -> str:
    """`error: ...` and `hint: ...` lines; for a fault of ours, type and code places only."""
    if not isinstance(error, CommanderError):
        return internal_error_text(error)
    lines = [f"error: {escape_text(error.message)}"]
    if error.hint:
        lines.append(f"  hint: {escape_text(error.hint)}")
    return "\n".join(lines) + "\n"


def error_json(error: BaseException) -> str:
    """`{"error": {"code", "message", "hint"}}` on one line."""
    if isinstance(error, CommanderError):
        body = {"code": error.code, "message": error.message, "hint": error.hint}
    else:
        message = f"{type(error).__name__} at {_places(error)[-1]}"
        body = {"code": INTERNAL_CODE, "message": message, "hint": "report it"}
    return escape_json(json.dumps({"error": body}, ensure_ascii=False)) + "\n"


def internal_error_text(error: BaseException) -> str:
    """
    Type and code places of an unexpected exception.

    Its message and the local variables may hold secrets and are left out.
    """
    lines = [f"  at {place}" for place in _places(error)]
    lines.append(f"error: internal fault {type(error).__name__}")
    lines.append(f"  hint: {_HINT_INTERNAL}")
    return "\n".join(lines) + "\n"


def _places(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames] or ["unknown"]
