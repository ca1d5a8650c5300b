from __future__ import annotations

import asyncio
from typing import Protocol

from commander.clock import Clock
from commander.errors import CommanderError, InvalidInput, SealBroken, Unreachable
from commander.tunnel.codes import Role
from commander.tunnel.handshake import Handshake
from commander.tunnel.keys import ConversationKeys
from commander.tunnel.pacing import DeliveryWindow
from commander.tunnel.path import Binding, Path
from commander.tunnel.seal import KEY_LIFE_S, SEAL_BYTES, Opener, Sealer


class LinkOwner(Protocol):
    """What a link tells the engine."""

    def link_verified(self, link: Link) -> bool:
        """Both ends proved themselves; frames may flow. False when the path is not needed."""
        ...

    def link_message(self, message: bytes) -> None:
        """One opened message."""
        ...

    def link_ready(self) -> None:
        """The path takes messages again."""
        ...

    def link_lost(self, link: Link, reason: str) -> None:
        """The path of a verified link is gone, or not to be trusted any more."""
        ...


class Link:
    """
    One generation: a path, its HELLO, and the seal of everything that follows.

    `verified` is done once frames may flow, or holds the error that ended the attempt.
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
    ) -> None:
        self.path = path
        self.generation = generation
        self.verified: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.heard_at = clock.monotonic()
        self.received_bytes = 0
        self.window = DeliveryWindow()
        self._role = role
        self._keys = keys
        self._handshake = Handshake(role, keys, binding, generation)
        self._clock = clock
        self._owner = owner
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None
        self._keyed_at = 0.0
        self._is_over = False

    @property
    def message_bytes(self) -> int:
        """Largest message before sealing."""
        return self.path.max_message_bytes - SEAL_BYTES

    def begin(self) -> None:
        """Let the path flow and greet the other end."""
        self.path.start(self)
        self.path.send(self._handshake.greeting())

    def send(self, message: bytes) -> None:
        """Seal and hand in one message; only once verified."""
        assert self._sealer is not None
        sealed = self._sealer.seal(message)
        self.window.sent(len(sealed), self._clock.monotonic())
        self.path.send(sealed)

    def progress(self, received: int) -> bool:
        """Take the peer's report of what arrived; False for one that cannot be true."""
        return self.window.progress(received, self._clock.monotonic())

    def renew_key(self) -> None:
        """Move on to the next key when this one is ten minutes old."""
        now = self._clock.monotonic()
        if self._sealer is not None and now - self._keyed_at >= KEY_LIFE_S:
            self._sealer.ratchet()
            self._keyed_at = now

    def abandon(self) -> None:
        """Listen to nothing more; the caller closes the path."""
        self._is_over = True

    # --- PathEvents ------------------------------------------------------------------------

    def message_received(self, message: bytes | memoryview) -> None:
        """Open a message, or take a step of HELLO."""
        if self._is_over:
            return
        self.heard_at = self._clock.monotonic()
        if self._opener is None:
            self._hello(message)
            return
        self.received_bytes += len(message)
        try:
            opened = self._opener.open(message)
        except SealBroken:
            self._end(SealBroken(), "a frame does not verify")
            return
        self._owner.link_message(opened)

    def path_ready(self) -> None:
        """The backlog is low again."""
        if self._opener is not None and not self._is_over:
            self._owner.link_ready()

    def path_lost(self, reason: str, *, gone: bool = False) -> None:
        """The carrier is gone."""
        self._end(Unreachable(f"the path is lost: {reason}"), reason)

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
                self.verified.set_exception(Unreachable("another path carries the tunnel"))

    def _end(self, error: CommanderError, reason: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._opener is not None:
            self._owner.link_lost(self, reason)
        elif not self.verified.done():
            self.verified.set_exception(error)
