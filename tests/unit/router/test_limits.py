from __future__ import annotations

from commander.hosting.gates import OTHERS_AT_ONCE, URGENT_AT_ONCE
from commander.router import limits
from commander.router.bounded_server import MAX_FRAGMENTS, MAX_MESSAGE_BYTES
from commander.wire.commands import LIFETIME_S, ROUTED_LIMIT


def test_the_largest_messages_pass() -> None:
    """Commands and pieces of relays fit into what the server beneath takes, commands into a queue."""
    assert max(ROUTED_LIMIT, limits.MAX_PIECE) <= MAX_MESSAGE_BYTES
    assert 8 * ROUTED_LIMIT < limits.QUEUE_BYTES
    assert MAX_FRAGMENTS > 1


def test_a_conversation_outlives_its_command_and_its_relay() -> None:
    """Nobody who was introduced is forgotten before the paths are up."""
    assert limits.CONVERSATION_IDLE_S > LIFETIME_S + limits.PAIR_S


def test_a_thousand_tunnels_may_come_back_at_once() -> None:
    """Attempts of all tunnels of a gateway, and of a device, one every two seconds for as long as is remembered."""
    gateway, device = 1024, 128
    assert gateway * limits.CONVERSATION_IDLE_S / 2 < limits.MAX_GATEWAY_CONVERSATIONS
    assert device * limits.CONVERSATION_IDLE_S / 2 < limits.MAX_DEVICE_CONVERSATIONS
    assert gateway <= limits.MAX_WAITING_GATEWAY_RELAYS
    assert limits.MAX_WAITING_RELAYS > URGENT_AT_ONCE + OTHERS_AT_ONCE


def test_one_principal_cannot_take_all_sockets() -> None:
    """What one device may hold is a small part of what the process takes."""
    own = limits.MAX_DEVICE_SOCKETS + limits.MAX_WAITING_RELAYS
    assert own * 100 < limits.MAX_SOCKETS
