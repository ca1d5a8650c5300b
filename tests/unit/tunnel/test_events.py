from __future__ import annotations

from commander.tunnel import events, frames


def test_what_links_say_is_no_business_of_streams() -> None:
    """The mux passes these on; every other frame it handles itself."""
    links = {frames.Ping, frames.Pong, frames.Progress, frames.Bye, frames.Abandon, frames.Prefer}
    assert set((events.LinkFrame | events.AboutLinks).__args__) == links
    assert events.SentBytes(1, 5, 0).length == 0
