"""Every bound of the router in one place; README.md explains them."""

from __future__ import annotations

from typing import Final

MAX_SOCKETS: Final = 25_000
"""Control and relay sockets of the process together; past it upgrades are refused."""
MAX_DEVICE_SOCKETS: Final = 16
"""Control sockets of one device (background tunnel hosts share its key); the 17th fences the oldest."""
QUEUE_BYTES: Final = 1024 * 1024
"""Waiting for one control socket; a peer that lets it grow past this is cut off."""
HELLO_S: Final = 10.0
"""From upgrade to Hello."""
MAX_TEXT: Final = 128
"""Characters of a Hello's version and name."""
SENDS_PER_S: Final = 50.0
SENDS_BURST: Final = 500.0
"""Messages that one control socket may have passed on: all tunnels of a process may come back at once."""
GATEWAY_SENDS_PER_S: Final = 500.0
GATEWAY_SENDS_BURST: Final = 2000.0
"""The same for a gateway, which answers many devices."""

MAX_DEVICE_CONVERSATIONS: Final = 8192
MAX_GATEWAY_CONVERSATIONS: Final = 65_536
CONVERSATION_IDLE_S: Final = 120.0
"""
An introduction without message or relay is forgotten; longer than a command lives and its relay waits.

Every attempt of a tunnel to come back is a conversation of its own, so that nobody has to remember.
"""

PAIR_S: Final = 30.0
"""How long the first relay socket of a conversation waits for the second."""
MAX_WAITING_RELAYS: Final = 64
MAX_WAITING_GATEWAY_RELAYS: Final = 1024
"""Relay sockets of one device, of one gateway, that wait for their pair."""
MAX_PIECE: Final = 68 * 1024
"""Bytes of a relay in one WebSocket message."""
STREAM_BYTES: Final = 256 * 1024
"""What is read from a relay stream at once, and what may wait to be written to one."""
EARLY_BYTES: Final = 64 * 1024
"""What is read from a relay stream before the other side is there."""
PREFIX_S: Final = 10.0
"""From the TLS handshake of a relay stream to its whole prefix."""
MAX_PREFIXES: Final = 1024
"""Relay streams whose prefix has not come; the oldest makes room."""
MAX_JUDGED: Final = 8192
"""Relay streams whose prefix is being judged: after a restart thousands come back at once."""
STREAM_IDLE_S: Final = 20
"""A relay stream whose peer acknowledges nothing for so long is cut by the kernel."""
CLOSE_S: Final = 5.0
"""A close that the peer does not answer ends by cutting the connection."""
SWEEP_S: Final = 30.0
"""How often every socket's session is asked for again, besides at new heads."""
JUDGE_BATCH: Final = 100
"""Principals judged before those that may not stay are closed, and before the next pause of a sweep."""
SWEEP_PAUSE_S: Final = 0.1
HEAD_BATCH: Final = 500
"""Announcements handed out before other work gets a turn."""
