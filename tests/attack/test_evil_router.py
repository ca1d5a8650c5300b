"""
The evil router between real clients and real gateways: ten thousand seeded sequences.

`ATTACK_SEQUENCES=1000000 ATTACK_SEED=7 scripts/test tests/attack/test_evil_router.py` plays more
of them, and others; a violation names the seed of its sequence.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from commander.authority.refusals import EXPLANATIONS, Code
from commander.codec import encode
from commander.errors import CommanderError
from commander.wire.commands import Send, Undeliverable
from tests.attack.campaign import Attempt, Campaign, run_campaign
from tests.attack.routers import DEEDS
from tests.attack.virtual_loop import VirtualLoop, run_virtually

SEQUENCES = int(os.environ.get("ATTACK_SEQUENCES", "10000"))
SEED = int(os.environ.get("ATTACK_SEED", "0"))
BATCHES = 10
# Keys differ from run to run, so a rare end may miss one batch; these come in each.
COMMON_ENDS = {"opened", "timed-out", "unreachable", "tampered", "hello-broken"}


@pytest.mark.timeout(max(180, SEQUENCES // 10))
@pytest.mark.parametrize("batch", range(BATCHES))
def test_an_evil_router_reaches_nothing(private_path: Path, batch: int) -> None:
    """
    No tunnel and no connection that a device did not sign for, none twice, no success that is none,
    no code outside the table; and an honest router opens tunnels between any two of them.
    """
    size = SEQUENCES // BATCHES
    report = run_campaign(private_path, first_seed=SEED + batch * size, sequences=size)

    assert report.violations == []
    assert report.controls == size // 100
    assert set(report.deeds) == DEEDS
    assert set(report.outcomes) >= COMMON_ENDS


def test_two_campaigns_of_one_seed_do_the_same(private_path: Path) -> None:
    """A violation can be shown again: what the router does comes from the seed alone."""
    first = run_campaign(_private(private_path / "1"), first_seed=5, sequences=1)
    again = run_campaign(_private(private_path / "2"), first_seed=5, sequences=1)

    assert first.deeds == again.deeds


def _private(directory: Path) -> Path:
    directory.mkdir(mode=0o700)
    return directory


def ask_with_answer(directory: Path, code: str, message: str) -> CommanderError | None:
    """Ask for a tunnel when the router says that the command was not delivered; the error."""

    async def work(loop: VirtualLoop) -> CommanderError | None:
        campaign = Campaign(loop, directory)
        await campaign.start()

        def refuse(sender: str, send: Send) -> None:
            told = encode(Undeliverable(send.conversation, code, message))
            campaign.router.put(sender, told)

        if code:
            campaign.router.sent = refuse
            campaign.router.reseed(random.Random(0), 0.0)
        client = campaign.clients[0]
        site = campaign.sites[0]
        attempt = Attempt(client.person, site, campaign.world.record, 5432)
        found = await client.open(attempt, random.Random(1))
        await campaign.close()
        return found.error

    return run_virtually(work)


SERVER_CODES = [code for code, (said_by, _) in EXPLANATIONS.items() if "server" in said_by]
OTHER_CODES = [str(code) for code in EXPLANATIONS if code not in SERVER_CODES]


def test_control_without_a_word_of_the_router_the_tunnel_opens(private_path: Path) -> None:
    """The control of the two tests below."""
    assert ask_with_answer(private_path, "", "") is None


@pytest.mark.parametrize("code", [Code.POLICY_MISSING, Code.PEER_UNKNOWN, Code.GATEWAY_OFFLINE])
def test_the_router_speaks_for_the_server(private_path: Path, code: Code) -> None:
    """What the server judges itself keeps its code."""
    error = ask_with_answer(private_path, code, "said the server")

    assert error is not None
    assert error.code == code


@pytest.mark.parametrize("code", [*OTHER_CODES, "accepted", "\x1b[2J", "x" * 5000])
def test_the_router_never_speaks_for_a_gateway(private_path: Path, code: str) -> None:
    """A gateway's code without the gateway's signature, or no code at all, tells of the router only."""
    error = ask_with_answer(private_path, code, "y" * 60_000)

    assert error is not None
    assert error.code == "unreachable"
    assert len(str(error)) <= 500
