from __future__ import annotations

from commander.router import limits
from commander.router.bounded_server import MAX_FRAGMENTS, MAX_MESSAGE_BYTES
from commander.tunnel.path import STREAM_MESSAGE_BYTES
from commander.wire.commands import ROUTED_LIMIT

RESUME_WINDOW_S = 600


def test_the_largest_messages_pass() -> None:
    """Commands and frames of full size fit into what the server beneath takes, and into a queue."""
    assert max(ROUTED_LIMIT, STREAM_MESSAGE_BYTES) <= MAX_MESSAGE_BYTES
    assert 8 * ROUTED_LIMIT < limits.QUEUE_BYTES
    assert MAX_FRAGMENTS > 1


def test_a_conversation_outlives_the_resume_window() -> None:
    """Who comes back within ten minutes is still introduced."""
    assert limits.CONVERSATION_IDLE_S > RESUME_WINDOW_S


def test_one_principal_cannot_take_all_sockets() -> None:
    """What one device may hold is a small part of what the process takes."""
    own = limits.MAX_DEVICE_SOCKETS + limits.MAX_WAITING_RELAYS
    assert own * 100 < limits.MAX_SOCKETS
