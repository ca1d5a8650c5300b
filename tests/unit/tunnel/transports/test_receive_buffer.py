from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from commander.tunnel.transports.framing import MAX_FRAME_BYTES
from commander.tunnel.transports.receive_buffer import receive_buffer


def test_a_thread_has_one_buffer_and_another_thread_another() -> None:
    """Loops in two threads read at the same time."""
    with ThreadPoolExecutor(1) as other:
        theirs = other.submit(receive_buffer).result()
    assert receive_buffer() is receive_buffer()
    assert theirs is not receive_buffer()


def test_the_buffer_takes_several_messages() -> None:
    """One read of a busy path is worth several messages."""
    assert len(receive_buffer()) >= 3 * MAX_FRAME_BYTES
