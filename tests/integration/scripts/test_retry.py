"""Downloads of the set-up are repeated."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[3]
# A command that fails as often as there are marks to take away, and says so each time.
FLAKY = (
    'flaky() { echo tried; [ -z "$(ls "$1")" ] || { rm "$1/$(ls "$1" | head -n 1)"; return 7; }; }'
)


def run(folder: Path, fails: int) -> tuple[int, int]:
    """Status of `retry` under the options of our scripts, and how often it tried."""
    for number in range(fails):
        (folder / str(number)).touch()
    script = f'set -euo pipefail; source scripts/lib/retry.sh; {FLAKY}; retry flaky "$1"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", folder],
        cwd=ROOT, env={"PATH": "/usr/bin:/bin", "RETRY_PAUSE_S": "0"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.count("tried")


@pytest.mark.parametrize(("fails", "outcome"), [(0, (0, 1)), (2, (0, 3)), (9, (7, 3))])
def test_a_download_is_tried_three_times(
    tmp_path: Path, fails: int, outcome: tuple[int, int]
) -> None:
    """Success ends it; the last status is told."""
    assert run(tmp_path, fails) == outcome
