"""Checks run in order and within their deadlines, and none of them can end the diagnosis."""

from __future__ import annotations

import asyncio

from commander.diagnosis.report import Finding, State
from commander.diagnosis.steps import Check, Outcome, Runner, Skipped, Step
from commander.errors import NotAllowed


def fails(error: BaseException) -> Check:
    async def check() -> Outcome:
        raise error

    return check


async def good() -> Outcome:
    return Outcome("fine")


async def hangs() -> Outcome:
    await asyncio.Event().wait()
    raise AssertionError


async def run(*steps: Step, timeout_s: float = 60.0) -> list[Finding]:
    told: list[Finding] = []
    runner = Runner(timeout_s=timeout_s, tell=told.append)
    await runner.run(steps)
    assert told == runner.findings
    return told


async def test_every_way_a_check_ends_is_a_finding() -> None:
    """Errors of ours with code and hint, of the system, of time, and mistakes in the check itself."""
    findings = await run(
        Step("good", "Good", good),
        Step("ours", "Ours", fails(NotAllowed("may not", hint="ask", code="policy-missing"))),
        Step("system", "System", fails(ConnectionRefusedError(111, "Connection refused"))),
        Step("slow", "Slow", hangs, deadline_s=0.01),
        Step("nothing", "Nothing", fails(Skipped("not configured"))),
        Step("bug", "Bug", fails(ZeroDivisionError("secret text"))),
    )

    assert [(f.state, f.code, f.exit_code) for f in findings] == [
        (State.OK, "", 0),
        (State.FAIL, "policy-missing", 4),
        (State.FAIL, "unreachable", 6),
        (State.FAIL, "timed-out", 8),
        (State.SKIPPED, "", 0),
        (State.FAIL, "failed", 1),
    ]
    assert findings[1].advice == "ask"
    assert findings[2].reason == "Connection refused"
    assert "secret text" not in findings[5].reason


async def test_what_rests_on_a_failure_is_skipped_and_says_on_which() -> None:
    """Also through another one that was skipped; what does not rest on it is done."""
    findings = await run(
        Step("one", "First", fails(NotAllowed("no"))),
        Step("two", "Second", good, needs=("one",)),
        Step("three", "Third", good, needs=("two",)),
        Step("four", "Fourth", good),
        Step("five", "Fifth", good, needs=("four",)),
    )

    assert [f.state for f in findings] == [
        State.FAIL, State.SKIPPED, State.SKIPPED, State.OK, State.OK,
    ]  # fmt: skip
    assert (findings[1].reason, findings[2].reason) == ("needs: First", "needs: Second")


async def test_the_whole_has_a_deadline_too() -> None:
    """What is left when it is over is skipped, and says so."""
    findings = await run(Step("slow", "Slow", hangs), Step("more", "More", good), timeout_s=0.02)

    assert [f.state for f in findings] == [State.FAIL, State.SKIPPED]
    assert findings[1].reason == "the 0.02 s of --timeout were over"
