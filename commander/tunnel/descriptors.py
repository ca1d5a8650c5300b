"""How many tunnels a process has descriptors for (`ulimit -n`), and taking what the system lets it."""

from __future__ import annotations

import resource
from typing import Final

PER_TUNNEL: Final = 12
"""Log, listener or target connections, and the carriers of an old path and of a new one (4 each)."""
RESERVED: Final = 64
"""Standard streams, control sockets, databases, and connections of the moment."""
_ENOUGH: Final = 1024 * 1024


def descriptor_limit() -> int:
    """The limit that holds now; a system without one counts as a million."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENOUGH if soft == resource.RLIM_INFINITY else min(soft, _ENOUGH)


def raise_descriptor_limit() -> int:
    """
    Raise our limit as far as we may without asking anybody; the limit that holds then.

    Programs started later inherit it, so call it only where it is needed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            # macOS has a lower limit of its own beside the one it tells.
            return descriptor_limit()
    return descriptor_limit()


def tunnels_that_fit(limit: int) -> int:
    """How many tunnels a process with so many descriptors can hold, each with some connections."""
    return max(0, (limit - RESERVED) // PER_TUNNEL)
