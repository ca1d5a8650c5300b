"""Runs files of commands: stops at the first error, numbers its lines, includes up to 8 deep."""

from __future__ import annotations

from commander.errors import CommanderError, Interrupted, UsageError
from commander.plugin.context import Mode
from commander.shell.batch_file import BatchLine, batch_lines, decode_batch, read_batch_file
from commander.shell.context import ShellContext
from commander.shell.output.failures import KeptGoing, LineFailed, code_of
from commander.shell.runner import Runner

MAX_DEPTH = 8
MAX_STDIN = 16 * 1024 * 1024


class Batch:
    """
    Batch runs of one shell.

    What a line opens (tunnels, the exit stack) lives until the outermost batch
    ends; in a session it belongs to the session and stays.
    """

    def __init__(
        self,
        runner: Runner,
        context: ShellContext,
        *,
        keep_going: bool = False,
        dry_run: bool = False,
        trust_file: bool = False,
    ) -> None:
        self._runner = runner
        self._context = context
        self._depth = 0
        self._keep_going = keep_going
        self._dry_run = dry_run
        self._trust_file = trust_file
        self._is_stopped = False

    def stop(self) -> None:
        """End the running batch after its current line (`quit`)."""
        self._is_stopped = True

    @property
    def is_running(self) -> bool:
        """Whether lines of a batch are being run."""
        return self._depth > 0

    async def run_file(
        self, path: str, *, keep_going: bool, dry_run: bool, trust_file: bool, format: str
    ) -> None:
        """Run a file, or stdin for `-`. Raises the first line's error as LineFailed, or KeptGoing."""
        before = self._runner.default_format
        self._runner.default_format = format
        try:
            await self._run_file(
                path, keep_going=keep_going, dry_run=dry_run, trust_file=trust_file
            )
        finally:
            self._runner.default_format = before

    async def _run_file(
        self, path: str, *, keep_going: bool, dry_run: bool, trust_file: bool
    ) -> None:
        if path == "-":
            data = await self._context.console.read_stdin(limit=MAX_STDIN)
            name = "standard input"
        else:
            data = read_batch_file(path, trust_file=trust_file or self._trust_file)
            name = path
        await self.run_text(data, name, keep_going=keep_going, dry_run=dry_run)

    async def run_text(
        self, data: bytes, name: str, *, keep_going: bool = False, dry_run: bool = False
    ) -> None:
        """Run the lines of a text that was read already; as `run_file`."""
        if self._depth >= MAX_DEPTH:
            raise UsageError(
                f"{name} is included more than {MAX_DEPTH} deep", hint="does it include itself?"
            )
        lines = list(batch_lines(decode_batch(data, name)))
        before = (self._keep_going, self._dry_run, self._context.mode)
        # What the outer batch was told holds for the files it includes.
        self._keep_going |= keep_going
        self._dry_run |= dry_run
        if self._context.mode is Mode.ONE_SHOT:
            self._context.mode = Mode.BATCH
        self._depth += 1
        try:
            await self._run_lines(lines, name)
        finally:
            self._depth -= 1
            self._keep_going, self._dry_run, self._context.mode = before
            if self._depth == 0:
                self._is_stopped = False

    async def _run_lines(self, lines: list[BatchLine], name: str) -> None:
        failures: list[CommanderError] = []
        for line in lines:
            if self._is_stopped:
                break
            failure = await self._run_line(line, name)
            if failure is None:
                continue
            if line.may_fail:
                self._runner.report(failure)
            elif self._keep_going and not isinstance(failure.cause, Interrupted):
                self._runner.report(failure)
                failures.append(failure)
            else:
                raise failure
        if failures:
            raise KeptGoing(len(failures), len(lines), failures[0])

    async def _run_line(self, line: BatchLine, name: str) -> LineFailed | None:
        try:
            await self._runner.run_line(line.text, dry_run=self._dry_run)
        except CommanderError as error:
            failure = LineFailed(f"{name} line {line.number}", error)
            if line.may_fail and code_of(error) in _ENDING_CODES:
                raise failure from error
            return failure
        return None


# Ctrl-C and a reader that is gone end a batch whatever its lines allow.
_ENDING_CODES = (130, 141)
