"""
An event loop without a network, whose time passes only while nothing else can happen.

A deadline of half a minute costs nothing, a run with the same seed does the same, and every TCP
connection that anything asks for is noted and led to a target that echoes.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from commander.clock import ManualClock

_T = TypeVar("_T")
START = 1_800_000_000.0


class NothingCanHappen(AssertionError):
    """Everything waits, and no timer is set: the program would hang for ever."""


class _Selector(selectors.SelectSelector):
    """Never waits: it tells the loop how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped: Callable[[float], None] = lambda seconds: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout != 0:
            if timeout is None:
                raise NothingCanHappen
            self.skipped(timeout)
        return ready


class EchoTarget(asyncio.Transport):
    """A connection to a target that sends everything back; `received` is what came."""

    def __init__(self, loop: VirtualLoop, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.received = bytearray()
        self._loop = loop
        self._protocol = protocol
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes and send them back soon."""
        self.received += data
        self._loop.call_soon(self._echo, bytes(data))

    def _echo(self, data: bytes) -> None:
        if not self._is_closing:
            feed(self._protocol, data)

    def write_eof(self) -> None:
        """Nothing more comes; close."""
        self.close()

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._is_closing

    def close(self) -> None:
        """Close it."""
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """There is no socket."""
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def get_write_buffer_size(self) -> int:
        """Nothing is buffered."""
        return 0

    def pause_reading(self) -> None:
        """What is echoed is less than any limit."""

    def resume_reading(self) -> None:
        """Nothing was paused."""


class Application(EchoTarget):
    """The socket of a local program at the client's end: it only collects what comes."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes."""
        self.received += data


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. `connections` are the targets that were connected, with host and port."""

    def __init__(self) -> None:
        selector = _Selector()
        self._now = 1000.0
        super().__init__(selector)
        selector.skipped = self.advance
        self.connections: list[tuple[str, int, EchoTarget]] = []

    def time(self) -> float:
        """The loop's own time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def run_in_executor(  # type: ignore[override]  # as every caller here uses it
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Work that would block is done at once: a thread has no part in this loop's time."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  handed on to whoever awaits it
            future.set_exception(error)
        return future

    async def create_connection(  # type: ignore[override]  # the one form that is used here
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: str, port: int
    ) -> tuple[EchoTarget, asyncio.BaseProtocol]:
        """Note the connection and lead it to an echo."""
        protocol = protocol_factory()
        transport = EchoTarget(self, protocol)
        self.connections.append((host, port, transport))
        self.call_soon(protocol.connection_made, transport)
        await asyncio.sleep(0)
        return transport, protocol


class LoopClock(ManualClock):
    """Wall clock and monotonic clock that follow a `VirtualLoop`."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def now(self) -> float:
        """Seconds since 1970."""
        return START + self._loop.time()

    def monotonic(self) -> float:
        """The loop's time."""
        return self._loop.time()

    def advance(self, seconds: float) -> None:
        """Let time pass for the loop and for this clock."""
        self._loop.advance(seconds)


def feed(protocol: asyncio.BaseProtocol, data: bytes) -> None:
    """Give a buffered protocol bytes as a socket would."""
    assert isinstance(protocol, asyncio.BufferedProtocol)
    while data:
        buffer = memoryview(protocol.get_buffer(len(data)))
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]


def run_virtually(work: Callable[[VirtualLoop], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine to its end in a loop of its own."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work(loop))
    finally:
        loop.run_until_complete(_cancel_rest())
        loop.close()


async def _cancel_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest)
