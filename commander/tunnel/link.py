from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

from commander.clock import Clock
from commander.errors import CommanderError, InvalidInput, SealBroken, Unreachable
from commander.tunnel import frames
from commander.tunnel.codes import Role
from commander.tunnel.events import Entry
from commander.tunnel.handshake import Handshake
from commander.tunnel.keys import ConversationKeys
from commander.tunnel.pacing import CHANNEL_PACE, STREAM_PACE, DeliveryWindow
from commander.tunnel.path import DATA_CHANNEL_MESSAGE_BYTES, Binding, Path
from commander.tunnel.seal import KEY_LIFE_S, SEAL_BYTES, Opener, Sealer

MAX_PONGS: Final = 16
"""Answers to pings that wait at a time; a flood of pings gets no more."""
_CONTROL_FRAME: Final = 16
"""Room that any frame of a link fits in."""
_RTT_WEIGHT: Final = 0.25
QUIET_BYTES: Final = 256
"""What came and was not reported yet, of a link that nobody uses: answers to pings."""


class LinkOwner(Protocol):
    """What a link tells the tunnel."""

    def link_verified(self, link: Link) -> bool:
        """Both ends proved themselves; frames may flow. False when the tunnel is over."""
        ...

    def link_message(self, link: Link, message: bytes) -> None:
        """One opened message."""
        ...

    def link_ready(self, link: Link) -> None:
        """The path takes messages again."""
        ...

    def link_talks(self, link: Link) -> None:
        """It has something to say of itself; `Link.put` has it."""
        ...

    def link_lost(self, link: Link, reason: str, *, gone: bool) -> None:
        """The path of a verified link is gone, or not to be trusted any more."""
        ...


class _Bye(Enum):
    UNSAID = auto()
    DUE = auto()
    SAID = auto()


class _Sent(NamedTuple):
    """What a message holds that the peer has not confirmed, and where it ends."""

    position: int
    entries: Sequence[Entry]


class Link:
    """
    One generation of a tunnel: a path, its HELLO, and the seal of everything that follows.

    `verified` is done once frames may flow, or holds the error that ended the attempt. Links of
    one `group` are carriers of one path. `unconfirmed` is what must be sent again on others
    when this one dies. Heartbeat, progress and farewell of the link are kept here; `put` adds
    them to a message.
    """

    def __init__(
        self,
        role: Role,
        keys: ConversationKeys,
        path: Path,
        binding: Binding,
        generation: int,
        clock: Clock,
        owner: LinkOwner,
        *,
        group: int = 0,
    ) -> None:
        self.path = path
        self.message_bytes = path.max_message_bytes - SEAL_BYTES
        """Largest message before sealing."""
        self.is_over = False
        """Whether it was abandoned or lost."""
        self.generation = generation
        self.group = group
        self.verified: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.heard_at = clock.monotonic()
        self.since = clock.now()
        self.received_bytes = 0
        self.sent_bytes = 0
        is_channel = path.max_message_bytes <= DATA_CHANNEL_MESSAGE_BYTES
        self.window = DeliveryWindow(CHANNEL_PACE if is_channel else STREAM_PACE)
        self.rtt_s: float | None = None
        self.is_leaving = False
        """No more bytes of streams: the group is being replaced."""
        self.has_peer_left = False
        self.rests = False
        """Nothing is under way on it, so its silence says nothing."""
        self._role = role
        self._keys = keys
        self._handshake = Handshake(role, keys, binding, generation)
        self._clock = clock
        self._owner = owner
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None
        self._keyed_at = 0.0
        self._log: deque[_Sent] = deque()
        self._pings: deque[int] = deque()
        self._pongs: deque[int] = deque(maxlen=MAX_PONGS)
        self._ping_token = 0
        self._ping_sent_at: float | None = None
        self._told = 0
        self._last_bytes = 0
        self._tells = False
        self._bye = _Bye.UNSAID

    @property
    def room(self) -> int:
        """What the frames of the next message may have together, at this pace of the path."""
        return min(self.message_bytes, self.window.message_bytes) - 2

    @property
    def takes_bytes(self) -> bool:
        """Whether streams may be sent on it: verified, and nobody has said farewell."""
        return not (self.is_over or self.is_leaving or self.has_peer_left)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing that was sent, asked or received here waits for an answer."""
        is_answered = self._ping_sent_at is None and not self.has_control()
        return is_answered and not self._log and self.received_bytes - self._told <= QUIET_BYTES

    @property
    def has_left(self) -> bool:
        """Whether both ends said farewell and all that was sent here was confirmed."""
        return self._bye is _Bye.SAID and self.has_peer_left and not self._log

    def begin(self) -> None:
        """Let the path flow and greet the other end."""
        self.path.start(self)
        self.path.send(self._handshake.greeting())

    def send(self, message: bytes, entries: Sequence[Entry] = ()) -> None:
        """Seal and hand in one message, and remember what it holds; only once verified."""
        assert self._sealer is not None
        sealed = self._sealer.seal(message)
        self.sent_bytes += len(sealed)
        if entries:
            self.wake(self._clock.monotonic())
            self._log.append(_Sent(self.sent_bytes, entries))
        self.window.sent(len(sealed), self._clock.monotonic())
        self.path.send(sealed)

    def wake(self, since: float) -> None:
        """Expect signs of life, and count its silence from a moment on."""
        if self.rests:
            self.rests = False
            self.heard_at = max(self.heard_at, since)

    def unconfirmed(self) -> list[Entry]:
        """Take out what the peer may not have."""
        log, self._log = self._log, deque()
        return [entry for sent in log for entry in sent.entries]

    def renew_key(self) -> None:
        """Move on to the next key when this one is ten minutes old."""
        now = self._clock.monotonic()
        if self._sealer is not None and now - self._keyed_at >= KEY_LIFE_S:
            self._sealer.ratchet()
            self._keyed_at = now

    def abandon(self) -> None:
        """Listen to nothing more; the caller closes the path."""
        self.is_over = True
        if not self.verified.done():
            self.verified.set_exception(Unreachable("the attempt was given up"))
            self.verified.exception()  # Nobody has to wait for it.

    # --- frames of the link itself ---------------------------------------------------------

    def ping(self) -> None:
        """Ask for a sign of life, unless one was asked for and is not answered yet."""
        if self._ping_sent_at is None:
            self._ping_token += 1
            self._ping_sent_at = self._clock.monotonic()
            self._pings.append(self._ping_token)
            self._owner.link_talks(self)

    def tell_progress(self, step: int = 0) -> None:
        """Have the peer told how much came here, if it is `step` more than it knows (0: its pace)."""
        step = step or self.window.pace.step_after(self._last_bytes)
        if not self._tells and self.received_bytes - self._told >= step:
            self._tells = True
            self._owner.link_talks(self)

    def leave(self) -> None:
        """Say farewell with the next message, which is then the last but for the answer to a farewell."""
        self.is_leaving = True
        if self._bye is _Bye.UNSAID:
            self._bye = _Bye.DUE
            self._owner.link_talks(self)

    def has_control(self) -> bool:
        """Whether `put` would add anything."""
        return bool(self._pings or self._pongs or self._tells or self._bye is _Bye.DUE)

    def put(self, parts: list[frames.Bytes], room: int) -> int:
        """Append what this link has to say; returns the room that is left."""
        before = len(parts)
        while self._pings:
            parts.append(frames.serialize(frames.Ping(self._pings.popleft())))
        while self._pongs and room >= _CONTROL_FRAME * (len(parts) - before + 3):
            parts.append(frames.serialize(frames.Pong(self._pongs.popleft())))
        if self._tells:
            self._tells = False
            self._told = self.received_bytes
            parts.append(frames.serialize(frames.Progress(self._told)))
        return room - sum(map(len, parts[before:]))

    def put_farewell(self, parts: list[frames.Bytes]) -> None:
        """Append BYE, if it is due; nothing may follow it."""
        if self._bye is _Bye.DUE:
            self._bye = _Bye.SAID
            parts.append(frames.serialize(frames.Bye()))

    def take(self, frame: frames.Ping | frames.Pong | frames.Progress | frames.Bye) -> bool:
        """Take a frame of the link; False for one that cannot be true."""
        match frame:
            case frames.Ping(token):
                self._pongs.append(token)
                self._owner.link_talks(self)
                # In the same message, so that an idle link needs no other.
                self.tell_progress(step=1)
            case frames.Pong(token):
                self._pong(token)
            case frames.Progress(received):
                return self._progress(received)
            case frames.Bye():
                self.has_peer_left = True
                self.tell_progress(step=1)
                self.leave()
        return True

    def _pong(self, token: int) -> None:
        if token == self._ping_token and self._ping_sent_at is not None:
            sample = self._clock.monotonic() - self._ping_sent_at
            self._ping_sent_at = None
            old = self.rtt_s
            self.rtt_s = sample if old is None else old + _RTT_WEIGHT * (sample - old)

    def _progress(self, received: int) -> bool:
        if not self.window.progress(received, self._clock.monotonic()):
            return False
        while self._log and self._log[0].position <= received:
            self._log.popleft()
        return True

    # --- PathEvents ------------------------------------------------------------------------

    def message_received(self, message: bytes | memoryview) -> None:
        """Open a message, or take a step of HELLO."""
        if self.is_over:
            return
        self.heard_at = self._clock.monotonic()
        if self._opener is None:
            self._hello(message)
            return
        try:
            opened = self._opener.open(message)
        except SealBroken:
            self._end(SealBroken(), "a frame does not verify")
            return
        self.received_bytes += len(message)
        self._last_bytes = len(message)
        self._owner.link_message(self, opened)

    def path_ready(self) -> None:
        """The backlog is low again."""
        if self._opener is not None and not self.is_over:
            self._owner.link_ready(self)

    def path_lost(self, reason: str, *, gone: bool = False) -> None:
        """The carrier is gone."""
        self._end(Unreachable(f"the path is lost: {reason}"), reason, gone=gone)

    # --- inside ----------------------------------------------------------------------------

    def _hello(self, message: bytes | memoryview) -> None:
        try:
            answer = self._handshake.receive(message)
            if self._handshake.is_verified:
                self._sealer = self._keys.sealer(self._role, self.generation)
                self._opener = self._keys.opener(self._role, self.generation)
        except (InvalidInput, SealBroken) as error:
            self._end(error, "hello failed")
            return
        if answer is not None:
            self.path.send(answer)
        if self._opener is not None:
            self._keyed_at = self._clock.monotonic()
            is_taken = self._owner.link_verified(self)
            if self.verified.done():
                return
            if is_taken:
                self.verified.set_result(None)
            else:
                self.verified.set_exception(Unreachable("the tunnel is over"))

    def _end(self, error: CommanderError, reason: str, *, gone: bool = False) -> None:
        if self.is_over:
            return
        self.is_over = True
        if self._opener is not None:
            self._owner.link_lost(self, reason, gone=gone)
        elif not self.verified.done():
            self.verified.set_exception(error)
