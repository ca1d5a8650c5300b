"""
What a diagnosis found: one finding a check, in a fixed order, and the exit code it comes to. Pure.

Keys are stable: scripts read them. Texts are for people and may change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

CLASSES = (6, 4, 3, 5, 8, 7, 2, 1)
"""
Which failure decides the exit code: unreachable, not allowed, not found, not logged in, timed out,
then the rest. A broken network comes first, since nothing else can be put right before it.
"""


class State(StrEnum):
    """How one check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


Value = str | int | float | bool | None


@dataclass(frozen=True)
class Finding:
    """
    One check's outcome.

    `figure` is what was measured, `reason` why it is not ok, `advice` what to do or type next,
    `code` a refusal or error code where there is one, `values` what scripts may want to read.
    """

    check: str
    title: str
    state: State
    figure: str = ""
    reason: str = ""
    advice: str = ""
    code: str = ""
    exit_code: int = 0
    took_ms: int = 0
    values: Mapping[str, Value] = field(default_factory=dict)

    def as_json(self) -> dict[str, Value | dict[str, Value]]:
        """The finding as scripts see it: always the same keys."""
        return {
            "check": self.check,
            "title": self.title,
            "state": str(self.state),
            "figure": self.figure,
            "reason": self.reason,
            "advice": self.advice,
            "code": self.code,
            "took_ms": self.took_ms,
            "values": dict(self.values),
        }


def soften(findings: Sequence[Finding], prefix: str) -> list[Finding]:
    """
    Make failures warnings among checks of which one that works is enough, when one works.

    They are those whose key begins with `prefix`: a tunnel needs one kind of path, not all.
    """
    works = any(f.check.startswith(prefix) and f.state is State.OK for f in findings)
    return [
        replace(found, state=State.WARN, exit_code=0)
        if works and found.check.startswith(prefix) and found.state is State.FAIL
        else found
        for found in findings
    ]


def exit_code(findings: Sequence[Finding]) -> int:
    """The exit code of a whole diagnosis: 0 unless something failed; warnings fail nothing."""
    failed = {found.exit_code or 1 for found in findings if found.state is State.FAIL}
    return next((code for code in CLASSES if code in failed), 1 if failed else 0)


def summary(findings: Sequence[Finding]) -> str:
    """The last line for people."""
    counts = {state: sum(found.state is state for found in findings) for state in State}
    first = next((found for found in findings if found.state is State.FAIL), None)
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"{told}." if first is None else f"{told}. Look at this first: {first.title}."


def as_text(findings: Sequence[Finding]) -> str:
    """The table for people; it reads without colours, and each advice stands below its check."""
    width = max((len(found.title) for found in findings), default=0)
    lines = []
    for found in findings:
        said = "; ".join(part for part in (found.figure, found.reason) if part)
        code = f" ({found.code})" if found.code and found.code not in said else ""
        mark = found.state.upper() if found.state is State.FAIL else str(found.state)
        lines.append(f"{mark:<8}{found.title:<{width}}  {said}{code}".rstrip())
        if found.advice and found.state in (State.FAIL, State.WARN):
            lines.append(f"{'':<8}{'':<{width}}  -> {found.advice}")
    return "\n".join([*lines, "", summary(findings)])
