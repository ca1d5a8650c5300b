from __future__ import annotations

from aiortc.rtcconfiguration import RTCIceTransportPolicy

from commander.secret import Secret
from commander.tunnel.transports.webrtc import DEFAULT_OPTIONS, IceServer, WebRtcOptions
from commander.tunnel.transports.webrtc_guards import no_loopback


def test_no_public_server_is_asked_by_default() -> None:
    """Without servers the library gets an empty list; for None it would ask one on the Internet."""
    assert DEFAULT_OPTIONS.for_library().iceServers == []


def test_servers_reach_the_library_with_their_credentials() -> None:
    """A TURN server's password is revealed to the library only."""
    turn = IceServer("turn:192.0.2.1:3478", "user", Secret("hidden-word"))
    options = WebRtcOptions(ice_servers=(IceServer("stun:192.0.2.1"), turn), relay_only=True)

    configuration = options.for_library()

    assert configuration.iceTransportPolicy is RTCIceTransportPolicy.RELAY
    assert configuration.iceServers is not None
    assert [server.urls for server in configuration.iceServers] == [
        "stun:192.0.2.1",
        "turn:192.0.2.1:3478",
    ]
    assert configuration.iceServers[1].credential == "hidden-word"
    assert "hidden-word" not in repr(options)


def test_loopback_is_not_offered() -> None:
    """Addresses of loopback stay at home; all others are offered in their order."""
    assert list(no_loopback(["192.0.2.7", "127.0.0.5", "2001:db8::7"])) == [
        "192.0.2.7",
        "2001:db8::7",
    ]
