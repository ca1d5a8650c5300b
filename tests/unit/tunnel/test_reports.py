from __future__ import annotations

from commander.tunnel.codes import CloseCode
from commander.tunnel.reports import NoEvents, StreamReport, TunnelEvents, TunnelLimits


def test_the_defaults_are_the_published_limits() -> None:
    """As in the room's README."""
    limits = TunnelLimits()
    assert (limits.heartbeat_s, limits.dead_after_s, limits.hello_s, limits.connect_s) == (
        2.0,
        6.0,
        10.0,
        10.0,
    )
    assert limits.idle_s is None
    assert limits.backlog_bytes == 1024 * 1024
    assert limits.mux.max_streams == 1024
    assert limits.mux.receive_budget == 64 * 1024 * 1024


def test_an_owner_may_listen_to_nothing() -> None:
    """Every event is taken and forgotten."""
    events: TunnelEvents = NoEvents()
    events.path_up("memory", 1)
    events.path_lost("memory", "cut")
    events.stream_opened(1, b"")
    events.stream_closed(StreamReport(1, b"", 0, 0, 0.0))
    events.tunnel_closed(CloseCode.STOPPED, "")
    assert isinstance(events, NoEvents)
