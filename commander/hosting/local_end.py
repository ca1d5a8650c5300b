"""Where programs of this machine enter a tunnel, and which program is behind each stream."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

from commander.codec import encode
from commander.hosting.journal import Journal
from commander.tunnel.listener import LocalListener, Place
from commander.tunnel.peer import Address, Peer, ProgramFinder
from commander.tunnel.pipe import Pipe
from commander.wire.commands import StreamMeta

# Refused connections that are told one by one each minute; the rest is counted.
TOLD_PER_MINUTE = 60
_MINUTE_S = 60.0


@dataclass(frozen=True)
class Caller:
    """The program behind one connection, as the kernel says; uid None and pid 0 when unseen."""

    program: str = ""
    pid: int = 0
    uid: int | None = None
    address: Address = ("", 0)
    remote_port: int = 0


@dataclass(frozen=True)
class Entrance:
    """A place to listen at, and the port of the target that it leads to; 0 is the tunnel's own."""

    place: Place
    remote_port: int = 0


class LocalEnds:
    """
    The listeners of one tunnel and the programs that came through them.

    `pipe` makes the stream of an accepted connection from its meta, `tell` opens one that leads
    nowhere, only for what its meta says. Tell `opened` and `closed`
    what the engine says; `caller` then names the program of a stream.
    """

    def __init__(
        self, pipe: Callable[[bytes], Pipe], tell: Callable[[bytes], None], journal: Journal
    ) -> None:
        self._pipe = pipe
        self._journal = journal
        self._programs = ProgramFinder()
        self._listeners: list[LocalListener] = []
        # From being accepted until the engine gives it a stream a connection has no number.
        self._fresh: WeakKeyDictionary[Pipe, Caller] = WeakKeyDictionary()
        self._callers: dict[int, Caller] = {}
        self._refusals = Refusals(journal, tell)

    @property
    def refused(self) -> int:
        """Connections that were closed before a byte of them was forwarded."""
        return self._refusals.total

    @property
    def uids_refused(self) -> tuple[int, ...]:
        """Whose they were, as far as that could be seen; ascending."""
        return self._refusals.uids

    def open(self, entrances: Sequence[Entrance]) -> list[Address]:
        """Listen at each entrance, or at none: raises what `Place.bind` raises."""
        opened = []
        try:
            for entrance in entrances:
                accept = partial(self.accept, remote_port=entrance.remote_port)
                listener = LocalListener(entrance.place, accept, self)
                opened.append(listener.open())
                self._listeners.append(listener)
        except BaseException:
            self.close()
            raise
        return opened

    def close(self) -> None:
        """Stop listening; connections go on. Idempotent."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()
        self._refusals.tell_rest()

    def accept(self, peer: Peer, *, remote_port: int = 0) -> asyncio.BaseProtocol:
        """The protocol for a connection of our own user; `remote_port` 0 is the tunnel's own."""
        found = self._programs.find(peer)
        caller = Caller(found.name, found.pid, peer.uid, peer.address, remote_port)
        return self.connect(caller)

    def connect(self, caller: Caller) -> Pipe:
        """The stream of a connection that came through no listener."""
        pipe = self._pipe(encode(StreamMeta(caller.program[:64], caller.remote_port)))
        self._fresh[pipe] = caller
        return pipe

    def opened(self, stream: int) -> Caller:
        """The engine gave a connection its stream: who it is."""
        for pipe, caller in list(self._fresh.items()):
            if pipe.stream == stream:
                del self._fresh[pipe]
                self._callers[stream] = caller
                return caller
        return Caller()

    def caller(self, stream: int) -> Caller:
        """Who is behind an open stream."""
        return self._callers.get(stream, Caller())

    def closed(self, stream: int) -> Caller:
        """A stream is over: who it was."""
        return self._callers.pop(stream, Caller())

    def connection_refused(self, peer: Peer, reason: str) -> None:
        """A connection of somebody else was closed before a byte of it was forwarded."""
        self._refusals.add(peer, reason)

    def accept_paused(self, reason: str) -> None:
        """The process ran out of descriptors or memory for a moment."""
        self._journal.write("accept-paused", reason=reason)


class Refusals:
    """
    Writes who was turned away, without letting a stranger fill the log, and tells the gateway, in
    whose signed audit log it belongs.
    """

    def __init__(self, journal: Journal, tell: Callable[[bytes], None]) -> None:
        self._journal = journal
        self._tell = tell
        self._untold: Counter[int | None] = Counter()
        self._count: Counter[int | None] = Counter()
        self._told = 0
        self._silent = 0
        self._since = 0.0

    @property
    def total(self) -> int:
        """How many there were."""
        return self._count.total()

    @property
    def uids(self) -> tuple[int, ...]:
        """Whose they were."""
        return tuple(sorted(uid for uid in self._count if uid is not None))

    def add(self, peer: Peer, reason: str) -> None:
        """Count one, and write it unless a minute's share is used up."""
        self._count[peer.uid] += 1
        self._untold[peer.uid] += 1
        now = self._journal.now()
        if now - self._since >= _MINUTE_S:
            self.tell_rest()
            self._told, self._since = 0, now
        if self._told >= TOLD_PER_MINUTE:
            self._silent += 1
            return
        self._told += 1
        count = self._untold.pop(peer.uid)
        uid = -1 if peer.uid is None else peer.uid
        self._tell(encode(StreamMeta("", turned_away=count, uid=uid)))
        self._journal.write("refused", uid=peer.uid, pid=peer.pid or None, reason=reason)

    def tell_rest(self) -> None:
        """Write how many were only counted."""
        silent, self._silent = self._silent, 0
        if silent:
            self._journal.write("refused-more", count=silent)
