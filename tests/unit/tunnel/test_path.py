from __future__ import annotations

from commander.tunnel import frames
from commander.tunnel.handshake import MESSAGE_BYTES
from commander.tunnel.path import (
    DATA_CHANNEL_MESSAGE_BYTES,
    MIN_MESSAGE_BYTES,
    OVERHEAD_BYTES,
    STREAM_MESSAGE_BYTES,
    Binding,
)
from commander.tunnel.pipe import READ_BYTES
from commander.tunnel.seal import SEAL_BYTES


def test_one_read_of_a_socket_fits_one_message_with_reports_beside_it() -> None:
    """Otherwise each read of bulk would cost two messages."""
    acknowledgement, credit, progress = 13, 13, 9
    needed = SEAL_BYTES + 1 + frames.DATA_HEADER_BYTES + acknowledgement + credit + progress
    assert needed <= OVERHEAD_BYTES
    assert READ_BYTES + OVERHEAD_BYTES == STREAM_MESSAGE_BYTES


def test_the_smallest_path_takes_the_largest_control_frame() -> None:
    """An OPEN with full meta, sealed; and HELLO."""
    opening = frames.message_of([frames.Open(1, bytes(frames.MAX_META_BYTES))])
    assert len(opening) + SEAL_BYTES <= MIN_MESSAGE_BYTES <= DATA_CHANNEL_MESSAGE_BYTES
    assert MESSAGE_BYTES <= MIN_MESSAGE_BYTES


def test_a_relay_has_an_empty_binding() -> None:
    """There the conversation's keys are the only proof."""
    assert Binding() == Binding(b"", b"")
    assert Binding(b"a", b"b") != Binding(b"b", b"a")
