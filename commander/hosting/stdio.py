"""A tunnel's stream on two descriptors of this process: `ssh -o ProxyCommand='... --stdio'`."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import select
import socket
import threading
from collections.abc import Callable

from commander.hosting.hosted import HostedTunnel
from commander.tunnel.reports import StreamReport

_CHUNK = 64 * 1024


async def carry(tunnel: HostedTunnel, source: int, sink: int) -> StreamReport:
    """
    Copy `source` to the target and the target's answer to `sink`, until the stream is over.

    Blocking threads, because a file or a terminal cannot be waited for otherwise, and because
    making a descriptor non-blocking would make it so for every program that shares it.
    """
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    pipe, ended = tunnel.connect()
    drained = asyncio.Event()

    def tell_drained() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            loop.call_soon_threadsafe(drained.set)

    try:
        try:
            await loop.connect_accepted_socket(lambda: pipe, ours)
        except BaseException:
            ours.close()
            raise
        # Each thread has a descriptor of its own and closes it; a shutdown reaches them all.
        _start("stdio-in", functools.partial(_pump_in, source, theirs.dup()))
        _start("stdio-out", functools.partial(_pump_out, theirs.dup(), sink, tell_drained))
        report = await ended
        if report.cause == "closed":
            await drained.wait()
        return report
    finally:
        with theirs, contextlib.suppress(OSError):
            theirs.shutdown(socket.SHUT_RDWR)


def _start(name: str, work: Callable[[], None]) -> None:
    # A daemon: one that waits for a terminal must not keep the process.
    threading.Thread(target=work, name=name, daemon=True).start()


def _pump_in(source: int, sink: socket.socket) -> None:
    with sink:
        with contextlib.suppress(OSError):
            while chunk := _read(source):
                sink.sendall(chunk)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _pump_out(source: socket.socket, sink: int, ended: Callable[[], None]) -> None:
    with source:
        try:
            while chunk := source.recv(_CHUNK):
                _write(sink, chunk)
        except OSError:
            # Whoever read us is gone: what the target still sends has no place to go.
            with contextlib.suppress(OSError):
                source.shutdown(socket.SHUT_RDWR)
    ended()


def _read(source: int) -> bytes:
    while True:
        try:
            return os.read(source, _CHUNK)
        except BlockingIOError:
            select.select([source], [], [])


def _write(sink: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(sink, left) :]
        except BlockingIOError:
            select.select([], [sink], [])
