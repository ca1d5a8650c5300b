from __future__ import annotations

import argparse

import pytest

from commander.errors import UsageError
from commander.gateway.direct import DirectOptions
from commander.launch.gateway_direct import add_direct_arguments, read_direct


def read(*words: str) -> DirectOptions:
    parser = argparse.ArgumentParser()
    add_direct_arguments(parser)
    return read_direct(parser.parse_args(words))


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], DirectOptions()),
        (["--no-direct"], DirectOptions(is_allowed=False)),
        (["--direct-listen", "10.0.0.1:8444"], DirectOptions(listen=("10.0.0.1", 8444))),
        (["--direct-listen", "[fd00::1]:8444"], DirectOptions(listen=("fd00::1", 8444))),
        (
            ["--direct-listen", "0.0.0.0:8444", "--direct-advertise", "gw.example:443"],
            DirectOptions(listen=("0.0.0.0", 8444), advertise=("gw.example", 443)),
        ),
    ],
)
def test_options_are_read(words: list[str], options: DirectOptions) -> None:
    """What the owner writes is what the gateway does."""
    assert read(*words) == options


@pytest.mark.parametrize(
    "words",
    [
        ["--no-direct", "--direct-listen", "10.0.0.1:8444"],
        ["--direct-advertise", "gw.example:443"],
        ["--direct-listen", "0.0.0.0:8444"],
        ["--direct-listen", "[::]:8444"],
        ["--direct-listen", "10.0.0.1"],
        ["--direct-listen", ":8444"],
        ["--direct-listen", "10.0.0.1:22"],
        ["--direct-listen", "10.0.0.1:70000"],
        ["--direct-listen", "10.0.0.1:8444", "--direct-advertise", "gw.example:-1"],
        ["--direct-listen", "10.0.0.1:8444", "--direct-advertise", "gw.example:70000"],
    ],
)
def test_what_cannot_work_is_refused_before_the_start(words: list[str]) -> None:
    """Contradictions, addresses that nobody can connect to, ports of other services."""
    with pytest.raises(UsageError):
        read(*words)
