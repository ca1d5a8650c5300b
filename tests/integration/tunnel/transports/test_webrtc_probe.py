"""What people are told of STUN and TURN servers, with a real one on loopback."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from commander.api.tls import turn_context
from commander.backend.turn import Relays
from commander.tunnel.transports.ice import WebRtcOptions, ice_options
from commander.tunnel.transports.webrtc_probe import probe_servers
from commander.wire.ice import parse_ice_url
from tests.support.servers.coturn import Coturn, TurnPorts
from tests.support.waiting import free_port

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    ports = TurnPorts(free_port(), free_port())
    with Coturn(tmp_path_factory.mktemp("relay"), "127.0.0.1", ports=ports) as relay:
        yield relay


def options_for(relays: Relays, tls: ssl.SSLContext | None = None) -> WebRtcOptions:
    options = ice_options(relays.answer(now=int(time.time())), tls=tls)
    return replace(options, choose_addresses=lambda addresses: ["127.0.0.1"])


async def test_each_server_that_works_says_what_it_found(relay: Coturn) -> None:
    """The address that STUN saw, and the relay's for TURN over UDP, TCP and TLS."""
    relays = relay.relays("udp", "tcp", "tls")

    reports = await probe_servers(options_for(relays, turn_context(relay.ca_pem)))

    assert [report.url for report in reports] == [str(url) for url in relays.urls]
    assert [report.reason for report in reports if not report.is_working] == []
    assert {report.found for report in reports} == {"127.0.0.1"}


async def test_why_a_server_does_not_work_is_told(relay: Coturn) -> None:
    """A credential, a certificate, silence: each in our words, and none costs the others time."""
    good = relay.relays("udp", "tls")
    wrong = relay.wrong(relay.relays("udp", stun=False))

    # Trusting only the machine's authorities: the relay's certificate is of the server's own.
    reports = await probe_servers(options_for(good))
    refused = await probe_servers(options_for(wrong))

    assert [report.is_working for report in reports] == [True, True, False]
    assert "certificate" in reports[2].reason
    assert refused[0].reason == "the TURN server does not take the credential"


async def test_the_quota_is_for_each_credential_and_not_for_all(relay: Coturn) -> None:
    """Eight relays of one credential at once, then a refusal that says so; others are not touched."""
    relays = relay.relays(*["udp"] * 8, stun=False)
    one, other = options_for(relays), options_for(relays)

    first, second, others = await asyncio.gather(*map(probe_servers, (one, one, other)))

    working = [report for report in (*first, *second) if report.is_working]
    refused = {report.reason for report in (*first, *second) if not report.is_working}
    assert len(working) >= 8
    assert refused <= {"the TURN server's quota for this credential is used up"}
    assert all(report.is_working for report in others), others


async def test_silence_is_told_and_nothing_is_left_behind() -> None:
    """Nobody answers there: two seconds are waited, and after the probe no task of it runs."""
    relays = Relays((parse_ice_url(f"stun:127.0.0.1:{free_port()}"),))

    (report,) = await probe_servers(options_for(relays))

    assert (report.is_working, report.found) == (False, "")
    assert report.reason == "no answer; UDP may be blocked"
    assert asyncio.all_tasks() == {asyncio.current_task()}
