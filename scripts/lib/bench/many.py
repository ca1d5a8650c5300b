"""What many tunnels cost: the soak part `tunnels` at full size, as a table."""

from __future__ import annotations

from scripts.lib.bench.page import Plan, progress, table
from tests.soak import Size, tunnels


def run(plan: Plan) -> str:
    """1,000 idle and 200 active tunnels of one client process on one gateway process."""
    rows = []
    for figure in tunnels.run(Size(0.05 if plan.is_quick else 1.0, plan.folder)):
        progress(str(figure))
        limit = "" if figure.limit is None else f"{figure.limit:g}"
        rows.append([figure.name, f"{figure.value:,.2f} {figure.unit}".strip(), limit])
    return (
        "## Many tunnels\n\n1,000 idle tunnels and 200 active ones, all of one client process, on one gateway "
        f"process, loopback.\n\n{table(['what', 'measured', 'limit'], rows)}"
    )
