"""Our paths beside `ssh -L` and plain aiortc, in one run of tunnel_bench.py."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.lib.bench.page import BIN, ROOT, Plan, table

MIB = 1024 * 1024
ROUNDS = 3
BASELINE = "ssh -L"
FOLDER = Path(__file__).resolve().parent
Spec = dict[str, Any]


def run(plan: Plan) -> str:
    """Run all of them, interleaved."""
    specs = [
        product(plan.folder, "direct", 7101),
        product(plan.folder, "relay", 7111, kind="stream", COMMANDER_RELAY="stream"),
        product(plan.folder, "relay", 7161, kind="WebSocket", COMMANDER_RELAY="websocket"),
        ssh(plan.folder, BASELINE, 7121),
        ssh(plan.folder, "ssh -L, AES-GCM", 7131, cipher="aes256-gcm@openssh.com"),
    ]
    if plan.is_private:
        # aioice leaves loopback out: data channels need the namespace's other interface.
        specs.append(product(plan.folder, "webrtc", 7141, kind="aiortc"))
        if importlib.util.find_spec("webrtc") is not None:
            native = product(plan.folder, "webrtc", 7171, kind="wrtc", COMMANDER_WEBRTC="wrtc")
            specs.append(native | {"bytes": 256 * MIB})
        specs.append(plain_aiortc(plan.folder, 7151))
    result = measure(
        plan,
        specs,
        ["--raw", *(["--quick"] if plan.is_quick else [])],
        default_rounds=ROUNDS,
    )
    link = "loopback, MTU 65536; data channels over a veth, MTU 1500"
    return f"## Tunnels beside `ssh -L`\n\n{link}.\n\n{figures(plan, result)}"


def measure(
    plan: Plan,
    specs: list[Spec],
    words: list[str],
    *,
    default_rounds: int,
    prefix: Sequence[str] = (),
) -> Spec:
    """Run tunnel_bench.py, here or on another host; its document."""
    spec, found = plan.folder / "spec.json", plan.folder / "found.json"
    spec.write_text(json.dumps(specs))
    rounds = plan.rounds or (1 if plan.is_quick else default_rounds)
    subprocess.run(
        [
            *prefix, BIN / "python", ROOT / "scripts" / "tools" / "tunnel_bench.py",
            "--spec", spec, "--rounds", str(rounds), "--baseline", BASELINE,
            "--json", found, "--ready-timeout", "120",
            *words,
        ],
        # Status 1: some test of some tunnel gave no figure; the table says which.
        check=False,
        stdout=sys.stderr,
    )  # fmt: skip
    return json.loads(found.read_text())


def product(
    folder: Path, path: str, port: int, *more: str, kind: str = "", **environment: str
) -> Spec:
    """One of our paths; server and gateway count as the serving end."""
    name = f"{path}, {kind}" if kind else path
    place = folder / name.replace(", ", "-")
    return {
        "name": f"commander, {name}",
        "env": environment,
        "port": port,
        "server_cmd": f"{BIN / 'python'} {FOLDER}/ends.py serve {place} {{target_port}} {' '.join(more)}",
        "client_cmd": f"{BIN / 'python'} {FOLDER}/ends.py connect {place} {{port}} {path}",
        **({"bytes": 64 * MIB} if path == "webrtc" else {}),
    }


def ssh(folder: Path, name: str, port: int, *, cipher: str = "", address: str = "") -> Spec:
    """The peer everybody knows."""
    place = folder / f"ssh-{port}"
    program = f"{BIN / 'python'} {FOLDER}/ends.py"
    return {
        "name": name,
        "port": port,
        "server_cmd": f"{program} sshd {place} {address}".strip(),
        "client_cmd": f"{program} ssh {place} {{port}} {{target_port}} {cipher}".strip(),
    }


def plain_aiortc(folder: Path, port: int, address: str = "") -> Spec:
    """The library without anything of ours."""
    place = folder / "plain-aiortc"
    program = f"{BIN / 'python'} {FOLDER}/plain_aiortc.py"
    return {
        "name": "plain aiortc",
        "port": port,
        "server_cmd": f"{program} serve {place} {{target_port}} {address}".strip(),
        "client_cmd": f"{program} connect {place} {{port}}",
        "bytes": 64 * MIB,
        # It has no back-pressure: a reader that stops fills memory until the cap.
        "skip": ["mem", "integ"],
    }


COLUMNS = [
    ("MiB/s up x1", "bulk.up.1", "mib_s", ".0f"),
    ("down x1", "bulk.down.1", "mib_s", ".0f"),
    ("up x16", "bulk.up.16", "mib_s", ".0f"),
    ("down x16", "bulk.down.16", "mib_s", ".0f"),
    ("p50 us", "lat", "p50_us", ".0f"),
    ("p99 us", "lat", "p99_us", ".0f"),
    ("p50 loaded us", "latload", "p50_us", ".0f"),
    ("p99 loaded us", "latload", "p99_us", ".0f"),
    ("conn/s", "cps.seq", "conn_s", ".0f"),
    ("conn/s x16", "cps.par", "conn_s", ".0f"),
    ("CPU s/GiB up", "bulk.up.1", "cpu_s_per_gib", ".2f"),
    ("down", "bulk.down.1", "cpu_s_per_gib", ".2f"),
    ("client MiB", "bulk.up.1", "client_peak_rss_mib", ".0f"),
]
RATIOS = [
    ("bulk x1", ("bulk.up.1", "bulk.down.1"), "mib_s"),
    ("bulk x16", ("bulk.up.16", "bulk.down.16"), "mib_s"),
    ("p50", ("lat",), "p50_us"),
    ("p99 loaded", ("latload",), "p99_us"),
    ("conn/s", ("cps.seq",), "conn_s"),
    ("CPU", ("bulk.up.1", "bulk.down.1"), "cpu_s_per_gib"),
]


def figures(plan: Plan, result: Spec) -> str:
    """Two tables: what was measured, and ratios to the baseline; then what failed."""
    medians = result["median"]
    rows = [
        [
            name,
            *(_cell(tests, *column[1:]) for column in COLUMNS),
            _serving_memory(plan, name, tests),
        ]
        for name, tests in medians.items()
    ]
    heads = ["tunnel", *(column[0] for column in COLUMNS), "server / gateway MiB"]
    ratios = [
        [name, *(_ratio(tests, medians.get(BASELINE, {}), names, key) for _, names, key in RATIOS)]
        for name, tests in medians.items()
        if name != BASELINE
    ]
    text = f"{table(heads, rows)}\n\nRatios to `{BASELINE}`, the mean of both directions:\n\n"
    text += table(["tunnel", *(ratio[0] for ratio in RATIOS)], ratios)
    failed = [f"* {name}: {'; '.join(errors)}" for name, errors in result["errors"].items()]
    return text + ("\n\nFailed:\n\n" + "\n".join(failed) if failed else "")


def _cell(tests: Spec, test: str, key: str, form: str) -> str:
    value = tests.get(test, {}).get(key)
    return "-" if value is None else format(value, form)


def _ratio(tests: Spec, base: Spec, names: tuple[str, ...], key: str) -> str:
    pairs = [(tests.get(test, {}).get(key), base.get(test, {}).get(key)) for test in names]
    known = [ours / theirs for ours, theirs in pairs if ours and theirs]
    return f"{sum(known) / len(known):.2f}" if known else "-"


def _serving_memory(plan: Plan, name: str, tests: Spec) -> str:
    place = name.removeprefix("commander, ").replace(", ", "-")
    kept = plan.folder / f"{place}.memory"
    if kept.exists():
        peaks = json.loads(kept.read_text())
        return f"{peaks['server']:.0f} / {peaks['gateway']:.0f}"
    return _cell(tests, "bulk.up.1", "server_peak_rss_mib", ".0f")
