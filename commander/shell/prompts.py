"""Questions on the terminal. Imports prompt_toolkit: reach it only through `StreamConsole`."""

from __future__ import annotations

import sys

from prompt_toolkit import PromptSession
from prompt_toolkit.history import DummyHistory
from prompt_toolkit.output import create_output

from commander.errors import Interrupted


async def ask_line(question: str) -> str:
    """Ask for a line. Raises Interrupted on Ctrl-C and Ctrl-D."""
    return await _ask(question, is_hidden=False)


async def ask_hidden(question: str) -> str:
    """Ask without echo; the answer enters no history. Raises Interrupted on Ctrl-C and Ctrl-D."""
    return await _ask(question, is_hidden=True)


async def _ask(question: str, *, is_hidden: bool) -> str:
    # Questions go to stderr: stdout may be a pipe that carries the result.
    session: PromptSession[str] = PromptSession(
        output=create_output(stdout=sys.stderr), history=DummyHistory()
    )
    try:
        return await session.prompt_async(question, is_password=is_hidden)
    except (KeyboardInterrupt, EOFError) as error:
        raise Interrupted("the question was left") from error
