from __future__ import annotations

import pytest

from commander.errors import UsageError
from commander.secret import Secret
from commander.tunnel.transports import webrtc, webrtc_fast
from commander.tunnel.transports.ice import DEFAULT_OPTIONS, IceServer, WebRtcOptions
from commander.tunnel.transports.webrtc_engine import VARIABLE, choose_engine, load_engine
from commander.wire.ice import parse_ice_url


def with_relays(*urls: str) -> WebRtcOptions:
    return WebRtcOptions(
        tuple(IceServer(parse_ice_url(url), "user", Secret("word")) for url in urls)
    )


def test_aiortc_is_used_unless_the_other_is_asked_for() -> None:
    """That wrtc is installed is not enough: it parses a peer's packets in native code."""
    assert load_engine({}, DEFAULT_OPTIONS) is webrtc
    assert load_engine({VARIABLE: "aiortc"}, DEFAULT_OPTIONS) is webrtc
    assert load_engine({VARIABLE: "wrtc"}, DEFAULT_OPTIONS) is webrtc_fast


def test_where_only_tls_gets_through_aiortc_is_used() -> None:
    """The native library verifies by authorities of its own, and knows ours not."""
    assert choose_engine("wrtc", with_relays("stun:relay", "turns:relay")) == "aiortc"
    assert choose_engine("wrtc", with_relays("turn:relay", "turns:relay")) == "wrtc"
    assert choose_engine("wrtc", with_relays("stun:relay")) == "wrtc"


def test_another_word_is_a_usage_error() -> None:
    """With the words there are."""
    with pytest.raises(UsageError, match="no library") as caught:
        choose_engine("chrome", DEFAULT_OPTIONS)
    assert "aiortc or wrtc" in caught.value.hint
