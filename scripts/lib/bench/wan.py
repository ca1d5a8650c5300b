"""The tunnels over a long link: 40 ms round trip, without loss and with 1 % of it."""

from __future__ import annotations

from scripts.lib.bench import tunnels
from scripts.lib.bench.page import BIN, ROOT, Plan
from tests.support.distance import Distance

ROUND_TRIP_S = 0.04
LOSSES = (0.0, 0.01)
ROUNDS = 1
TARGET_PORT = 7300
_PROGRAM = ROOT / "scripts" / "tools" / "tunnel_bench.py"


def run(plan: Plan) -> str:
    """Measure over both links; the driver and the clients sit at one end, all else at the other."""
    assert plan.is_private, "needs root: network namespaces"
    parts = []
    for loss in LOSSES:
        folder = plan.folder / f"loss-{loss}"
        folder.mkdir(mode=0o755)
        with Distance(round_trip_s=ROUND_TRIP_S, loss=loss) as distance:
            control = "cubic" if distance.use_congestion_control("cubic") else "the kernel's own"
            title = f"### {1000 * ROUND_TRIP_S:.0f} ms, {100 * loss:g} % loss, TCP {control}"
            at = Plan(plan.rounds, plan.is_quick, folder, plan.is_private)
            parts.append(f"{title}\n\n{_over(distance, at, loss)}")
    return (
        "## Tunnels over a long link\n\nTwo network namespaces joined by `scripts/tools/tap_link.py`, "
        "MTU 1500; server, gateway and target at the far end. "
        "The link itself passes about 30 MiB/s.\n\n" + "\n\n".join(parts)
    )


def _over(distance: Distance, plan: Plan, loss: float) -> str:
    distance.far.start(
        BIN / "python", _PROGRAM,
        "--target-only", "--target-bind", "0.0.0.0", "--target-port", str(TARGET_PORT),
    )  # fmt: skip
    far = distance.far
    specs = [
        {"name": "raw", "port": TARGET_PORT, "connect_host": far.address},
        tunnels.product(plan.folder, "direct", 7201, far.namespace, far.address),
        tunnels.product(plan.folder, "relay", 7211, far.namespace, far.address),
        tunnels.ssh(plan.folder, tunnels.BASELINE, 7221, address=far.address),
        tunnels.product(plan.folder, "webrtc", 7241, far.namespace, far.address),
        tunnels.plain_aiortc(plan.folder, 7251, far.address),
    ]
    near, away = " ".join(distance.near.prefix), " ".join(far.prefix)
    for spec in specs[1:]:
        # The product's serving end runs here and puts its programs there by itself.
        is_ours = spec["name"].startswith("commander")
        spec["server_cmd"] = spec["server_cmd"] if is_ours else f"{away} {spec['server_cmd']}"
        spec["client_cmd"] = f"{near} {spec['client_cmd']}"
    size = ("6M" if loss else "48M") if not plan.is_quick else "1M"
    for spec in specs:
        spec.pop("bytes", None)
    words = [
        "--no-target", "--target-port", str(TARGET_PORT), "--tests", "bulk,lat,latload,cps",
        "--bytes", size, "--max-seconds", "5" if plan.is_quick else "20",
        "--pings", "100", "--conns", "32", "--ready-timeout", "60",
    ]  # fmt: skip
    result = tunnels.measure(plan, specs, words, default_rounds=ROUNDS, prefix=distance.near.prefix)
    return tunnels.figures(plan, result)
