#!/usr/bin/env python3
"""Write docs/refusal-codes.md from the published table in commander/authority/refusals.py."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from commander.authority.refusals import EXPLANATIONS  # noqa: E402  needs the path above
from commander.tunnel.codes import CloseCode, ResetCode  # noqa: E402  needs the path above

HEADER = """# Refusal codes

Every refusal carries a code of this table, in messages, in JSON errors (`error.code`) and in audit events. A code never
changes its meaning. `scripts/refusal_codes.py` makes this page; a test compares it.

| code | said by | meaning |
| --- | --- | --- |
"""


def render() -> str:
    """The whole page."""
    rows = [f"| `{code}` | {who} | {what} |" for code, (who, what) in EXPLANATIONS.items()]
    closes = ", ".join(f"`{code.label}`" for code in CloseCode)
    resets = ", ".join(f"`{code.label}`" for code in ResetCode)
    return (
        HEADER
        + "\n".join(rows)
        + "\n\n## Why a tunnel or a connection ended\n\n"
        + f"Tunnels close with one of {closes}.\n\n"
        + f"Single connections inside a tunnel are reset with one of {resets}.\n"
    )


if __name__ == "__main__":
    (ROOT / "docs" / "refusal-codes.md").write_text(render())
