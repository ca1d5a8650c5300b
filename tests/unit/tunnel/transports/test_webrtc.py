from __future__ import annotations

import pytest
from aiortc.rtcconfiguration import RTCIceTransportPolicy

from commander.tunnel.transports import webrtc
from commander.tunnel.transports.ice import DEFAULT_OPTIONS, WebRtcOptions


@pytest.mark.parametrize("relay_only", [False, True])
def test_the_library_asks_no_server_itself(relay_only: bool) -> None:
    """It gets an empty list; for None it would ask a public server. Ours are asked by our agent."""
    options = WebRtcOptions(relay_only=relay_only)

    configuration = webrtc._configuration(options)

    policy = RTCIceTransportPolicy.RELAY if relay_only else RTCIceTransportPolicy.ALL
    assert configuration.iceServers == []
    assert configuration.iceTransportPolicy is policy


def test_nothing_but_host_candidates_by_default() -> None:
    """Whoever configures nothing asks nobody."""
    assert DEFAULT_OPTIONS.ice_servers == ()
    assert DEFAULT_OPTIONS.rules.kinds == {"host"}
