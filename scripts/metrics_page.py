#!/usr/bin/env python3
"""Write docs/metrics.md from the tables in commander/metrics/."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from commander.metrics import gateway, server  # noqa: E402  needs the path above
from commander.metrics.definitions import Metric  # noqa: E402  needs the path above

HEADER = """# Metrics and health

`commander-server start --metrics-listen 127.0.0.1:9464` and `gateway start --metrics-listen 127.0.0.1:9465` serve, by plain
HTTP and for GET only:

| page | answers |
| --- | --- |
| `/healthz` | 200 while the process answers at all: restart it when this fails several times |
| `/readyz` | 200, or 503 with a line for each reason. Server: the store takes writes, the event loop is not stalled. Gateway: connected to its server, the authority log was read within a minute, room for audit events |
| `/metrics` | the tables below, in Prometheus' text format, with the usual `process_*` metrics |

Without the flag nothing listens. The pages ask nobody who they are, so an address that other machines can reach is
refused unless `--metrics-allow-remote` is given as well: then let only the scraper in, by a firewall. No page names a
user, record, gateway or host; label values come from closed lists, so the number of series is bounded. A taken port is
told in the log and on standard output, and the program goes on without metrics.

A scrape configuration:

    scrape_configs:
      - job_name: commander
        static_configs:
          - targets: ["127.0.0.1:9464", "127.0.0.1:9465"]

Worth an alert: `commander_gateway_connected == 0` for a minute, `increase(commander_store_errors_total[5m]) > 0`,
`commander_gateway_audit_queue_bytes > 3e7`, `histogram_quantile(0.99, rate(commander_loop_lag_seconds_bucket[5m])) > 0.25`,
`increase(commander_gateway_path_losses_total[10m])` above what is usual.

`scripts/metrics_page.py` makes this page; a test compares it.
"""


def render() -> str:
    """The whole page."""
    parts = [HEADER]
    for title, metrics in (("Server", server.METRICS), ("Gateway", gateway.METRICS)):
        rows = "\n".join(_row(metric) for metric in metrics)
        parts.append(
            f"\n## {title}\n\n| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n{rows}\n"
        )
    return "".join(parts)


def _row(metric: Metric) -> str:
    labels = "; ".join(f"`{name}`{_values(values)}" for name, values in metric.labels.items())
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def _values(values: tuple[str, ...]) -> str:
    if not values:
        return ""
    if len(values) > 12:
        return ": one of [refusal-codes.md](refusal-codes.md) or `other`"
    return ": " + ", ".join(values)


if __name__ == "__main__":
    (ROOT / "docs" / "metrics.md").write_text(render())
