from __future__ import annotations

import subprocess
import sys

import pytest

from commander.tunnel.descriptors import PER_TUNNEL, RESERVED, tunnels_that_fit


@pytest.mark.parametrize(
    ("limit", "fits"),
    [
        (0, 0),
        (RESERVED + PER_TUNNEL - 1, 0),
        (RESERVED + PER_TUNNEL, 1),
        (1024, 80),
        (24576, 2042),
    ],
)
def test_how_many_tunnels_fit(limit: int, fits: int) -> None:
    """The usual limit of 1,024 lets 80 in; none is never negative."""
    assert tunnels_that_fit(limit) == fits


def test_the_limit_is_raised_as_far_as_the_system_lets_us() -> None:
    """To the hard limit and not beyond, for this process and what it starts."""
    script = (
        "import resource as r\n"
        "from commander.tunnel.descriptors import descriptor_limit, raise_descriptor_limit\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (256, 512))\n"
        "print(descriptor_limit(), raise_descriptor_limit(), raise_descriptor_limit())\n"
        "print(r.getrlimit(r.RLIMIT_NOFILE))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "256 512 512\n(512, 512)\n"
