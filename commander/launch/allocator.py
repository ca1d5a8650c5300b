"""How the C library's allocator treats what a process frees."""

from __future__ import annotations

import ctypes
from typing import Final

# malloc.h of glibc
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 16 * 1024 * 1024
_OWN_MAPPING_BYTES: Final = 4 * 1024 * 1024


def keep_freed_memory() -> bool:
    """
    Keep up to 16 MiB of freed memory instead of giving each large block back at once.

    Tunnels free and take blocks of 64 KiB to 256 KiB for every message. With the defaults
    glibc returns them to the kernel each time, and the page faults that follow cost more
    than the encryption (docs/performance.md). Tells whether the C library could be told.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    is_set = set_option(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    return bool(is_set and set_option(_M_MMAP_THRESHOLD, _OWN_MAPPING_BYTES))
