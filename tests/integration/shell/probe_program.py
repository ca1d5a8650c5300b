"""The `commander` program with one more plugin: commands that a test can watch from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

from commander.config.paths import find_paths
from commander.launch import shell_program
from commander.launch.arguments import read_start_options
from commander.launch.hardening import protect_memory
from commander.launch.shell import finish, prepare_streams
from commander.plugin.command import Arguments, Command, Group, flag, option, positional
from commander.plugin.context import Context
from commander.plugin.hookspecs import hookimpl
from commander.plugin.results import Done, Result, Text
from commander.shell.terminal import find_terminal
from commander.tasks import spawn

_ME = "tests.integration.shell.probe_program"


@hookimpl
def commander_commands() -> list[Command | Group]:
    return [
        _command("hold", "wait", positional("file", help="written at the end")),
        _command("later", "say something later", positional("file", help="wait for it")),
        _command("secret", "ask", positional("file", help="where the length goes")),
        _command("flood", "print", flag("--lines", help="x"), option("--n", help="x")),
        _command("keep", "keep something open", positional("file", help="written when closed")),
    ]


def _command(path: str, summary: str, *arguments: object) -> Command:
    return Command(
        path=path,
        summary=summary,
        example=path,
        arguments=arguments,  # type: ignore[arg-type]  # all of them are Argument
        handler=f"{_ME}:{path}",
        needs_login=False,
    )


async def hold(context: Context, arguments: Arguments) -> None:
    """Wait for ever, and write to the file when that is ended."""
    context.console.notice("holding")
    try:
        await asyncio.Event().wait()
    finally:
        Path(arguments.text("file")).write_text("ended")


async def later(context: Context, arguments: Arguments) -> None:
    """Say something from the background as soon as a file is there."""

    async def say() -> None:
        while not Path(arguments.text("file")).exists():
            await asyncio.sleep(0.02)
        context.console.notice("tunnel \x1b[2J resumed")

    spawn(say(), name="say later")


async def secret(context: Context, arguments: Arguments) -> Result:
    """Ask for a secret and write down how long it was."""
    answer = await context.console.ask_secret("Password", flag="--password-file")
    Path(arguments.text("file")).write_text(str(len(answer)))
    return Done("taken")


async def flood(context: Context, arguments: Arguments) -> Result:
    """Print more than a pipe holds, as a stream or as one result."""
    if arguments.flag("lines"):
        for number in range(500_000):
            context.console.emit(f"line {number}")
    return Text("x" * 16_000_000)


async def keep(context: Context, arguments: Arguments) -> None:
    """Open something that lives until the shell or the batch ends."""
    path = Path(arguments.text("file"))
    path.write_text("open")
    context.exit_stack.callback(lambda: path.write_text("closed"))


async def _run() -> int:
    build = shell_program.build_shell

    options = read_start_options(sys.argv[1:])
    terminal = find_terminal(sys.stdin, sys.stdout, sys.stderr, os.environ)
    paths = find_paths(os.environ, user_home=Path.home(), home=options.home)
    mode = shell_program.choose_mode(options, terminal)
    config = shell_program.load_options(paths)
    shell = build(options, dict(os.environ), terminal, mode, paths, config)
    shell.plugins.register("probe", sys.modules[_ME])
    return await shell_program.run_shell(shell)


def main() -> int:
    """Run the program as `commander` would."""
    prepare_streams()
    protect_memory()
    with contextlib.suppress(KeyboardInterrupt):
        return finish(asyncio.run(_run()))
    return 130
