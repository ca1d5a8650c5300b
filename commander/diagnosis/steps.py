"""Runs the checks of a diagnosis one after the other, each within its deadline, whatever they meet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from commander.diagnosis.report import Finding, State, Value
from commander.errors import CommanderError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a check returns when it did not raise: `state` ok unless said otherwise."""

    figure: str = ""
    state: State = State.OK
    reason: str = ""
    advice: str = ""
    code: str = ""
    exit_code: int = 0
    values: dict[str, Value] = field(default_factory=dict)


Check = Callable[[], Awaitable[Outcome]]
"""Does one check. Raises CommanderError for a failure, with its code, hint and exit code."""


@dataclass(frozen=True)
class Step:
    """
    One check: its stable key, its title, and the keys of those without which it has no sense.

    `deadline_s` bounds it; a step that overruns it fails and the others go on.
    """

    key: str
    title: str
    check: Check
    needs: tuple[str, ...] = ()
    deadline_s: float = 10.0


class Skipped(CommanderError):
    """The check has nothing to look at here; the message says why."""

    default_code = "skipped"


class Runner:
    """
    Runs steps in their order and keeps the findings; `tell` is told of each as it comes.

    All steps together take at most `timeout_s`: what is left then is skipped.
    """

    def __init__(
        self, *, timeout_s: float, tell: Callable[[Finding], None] = lambda _: None
    ) -> None:
        self.findings: list[Finding] = []
        self._ends_at = asyncio.get_running_loop().time() + timeout_s
        self._timeout_s = timeout_s
        self._tell = tell

    async def run(self, steps: Sequence[Step]) -> None:
        """Run them all."""
        for step in steps:
            finding = await self._run_one(step)
            self.findings.append(finding)
            self._tell(finding)

    def passed(self, key: str) -> bool:
        """Whether a check was done and did not fail."""
        return any(
            found.check == key and found.state in (State.OK, State.WARN) for found in self.findings
        )

    async def _run_one(self, step: Step) -> Finding:
        missing = next((need for need in step.needs if not self.passed(need)), None)
        if missing is not None:
            return _finding(step, Outcome(state=State.SKIPPED, reason=self._why_not(missing)))
        loop = asyncio.get_running_loop()
        began = loop.time()
        left = self._ends_at - began
        if left <= 0:
            reason = f"the {self._timeout_s:g} s of --timeout were over"
            return _finding(step, Outcome(state=State.SKIPPED, reason=reason))
        outcome = await _judge(step, min(left, step.deadline_s))
        took = round((loop.time() - began) * 1000)
        return replace(_finding(step, outcome), took_ms=took)

    def _why_not(self, missing: str) -> str:
        found = next((found for found in self.findings if found.check == missing), None)
        title = found.title if found is not None else missing
        return f"needs: {title}"


async def _judge(step: Step, deadline_s: float) -> Outcome:
    try:
        async with asyncio.timeout(deadline_s):
            return await step.check()
    except Skipped as skipped:
        return Outcome(state=State.SKIPPED, reason=skipped.message, advice=skipped.hint)
    except CommanderError as error:
        return Outcome(
            state=State.FAIL,
            reason=error.message,
            advice=error.hint,
            code=error.code,
            exit_code=error.exit_code,
        )
    except TimeoutError:
        return Outcome(
            state=State.FAIL,
            reason=f"no answer within {deadline_s:g} s",
            code="timed-out",
            exit_code=8,
        )
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Outcome(state=State.FAIL, reason=reason, code="unreachable", exit_code=6)
    except Exception as error:  # noqa: BLE001  a fault of one check must not hide the others
        _log.exception("check %s failed unexpectedly", step.key)
        reason = f"the check itself failed ({type(error).__name__})"
        return Outcome(state=State.FAIL, reason=reason, code="failed", exit_code=1)


def _finding(step: Step, outcome: Outcome) -> Finding:
    return Finding(
        step.key,
        step.title,
        outcome.state,
        outcome.figure,
        outcome.reason,
        outcome.advice,
        outcome.code,
        outcome.exit_code,
        values=outcome.values,
    )
