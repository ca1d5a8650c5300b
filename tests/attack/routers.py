"""
Routers in memory: an honest one, and the evil one that stands between real clients and gateways.

Both carry the control messages of `api.socket.RouterSocket` and `gateway.agent.Agent`, and the relay
paths of tunnels. The evil one does with each message what its seed says.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable

from commander.authority.refusals import Code
from commander.codec import encode
from commander.crypto.signing import SigningKey
from commander.gateway.agent import SocketClosed
from commander.ids import new_uid
from commander.tunnel.path import KIND_RELAY, STREAM_MESSAGE_BYTES, PathEvents
from commander.wire.commands import (
    Deliver,
    Head,
    Hello,
    Reply,
    ReplyEnvelope,
    Send,
    Undeliverable,
    command_hash,
    read_routed,
    seal_reply,
)

CLIENT = "client"
GATEWAY = "gateway"
Message = tuple[str, bytes]
"""An addressee and the control message for it."""


class ControlEnd:
    """One control connection; fits `api.socket.Carrier` and `gateway.agent.ControlSocket`."""

    def __init__(self, router: Router, principal: str) -> None:
        self.principal = principal
        self._router = router
        self._inbox: deque[bytes | None] = deque()
        self._news = asyncio.Event()

    def put(self, data: bytes | None) -> None:
        """Let the end receive a message; None closes the connection."""
        self._inbox.append(data)
        self._news.set()

    async def send(self, message: bytes) -> None:
        """Hand a message to the router."""
        self._router.receive(self, message)

    async def receive(self) -> bytes:
        """The next message. Raises SocketClosed."""
        while not self._inbox:
            self._news.clear()
            await self._news.wait()
        data = self._inbox.popleft()
        if data is None:
            raise SocketClosed(1006, "lost")
        return data

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self._receive_all()

    async def _receive_all(self) -> AsyncIterator[str | bytes]:
        while True:
            try:
                yield await self.receive()
            except SocketClosed:
                return

    async def ping(self, *, within_s: float) -> None:
        """Always answered."""

    async def close(self) -> None:
        """Leave the router."""
        self._router.leave(self)


class DeviceEnd:
    """The same as a device's socket uses it, which waits for a pong itself."""

    def __init__(self, end: ControlEnd) -> None:
        self._end = end

    async def send(self, message: bytes) -> None:
        """Hand a message to the router."""
        await self._end.send(message)

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return aiter(self._end)

    async def ping(self) -> Awaitable[float]:
        """Always answered."""
        pong: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        pong.set_result(0.0)
        return pong

    async def close(self) -> None:
        """Leave the router."""
        await self._end.close()


class RelayEnd:
    """One side of a conversation's relay; fits `tunnel.path.Path`."""

    kind = KIND_RELAY
    max_message_bytes = STREAM_MESSAGE_BYTES

    def __init__(self, router: Router, conversation: str, side: str) -> None:
        self.conversation = conversation
        self.side = side
        self._router = router
        self._events: PathEvents | None = None
        self._early: list[bytes] = []
        self._lost = ""

    def send(self, message: bytes) -> None:
        """Hand a message to the router."""
        assert len(message) <= self.max_message_bytes
        if not self._lost:
            self._router.frames_sent[self.conversation, self.side] += 1
            asyncio.get_running_loop().call_soon(self._router.carry, self, message)

    def backlog_bytes(self) -> int:
        """The router takes everything."""
        return 0

    def start(self, events: PathEvents) -> None:
        """Let callbacks flow."""
        self._events = events
        asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        assert self._events is not None
        early, self._early = self._early, []
        for message in early:
            self._events.message_received(message)
        if self._lost:
            self._events.path_lost(self._lost)

    def arrive(self, message: bytes) -> None:
        """Take a message from the router."""
        if self._lost:
            return
        if self._events is None:
            self._early.append(message)
        else:
            self._events.message_received(message)

    def lose(self, reason: str) -> None:
        """Let the path die."""
        if self._lost:
            return
        self._lost = reason
        if self._events is not None:
            asyncio.get_running_loop().call_soon(self._events.path_lost, reason)

    async def close(self, reason: str = "") -> None:
        """Close it; the other side hears of it."""
        self._router.close_relay(self.conversation, reason or "closed")


class Router:
    """
    An honest router. `sent` is told every message as its sender made it, before anything is done
    with it; `frames_sent` counts what each side of a relay gave, by conversation.
    """

    def __init__(self, head: Callable[[], Head]) -> None:
        self.sent: Callable[[str, Send], None] = lambda sender, send: None
        self.gateways: list[str] = []
        self._head = head
        self._sockets: dict[str, ControlEnd] = {}
        self.frames_sent: Counter[tuple[str, str]] = Counter()
        self._relays: dict[str, dict[str, RelayEnd]] = {}
        self._waiting: dict[tuple[str, str], list[bytes]] = {}

    async def connect(self, principal: str) -> ControlEnd:
        """A control connection of a device or gateway."""
        end = self._sockets[principal] = ControlEnd(self, principal)
        return end

    def leave(self, end: ControlEnd) -> None:
        """Forget a connection that was closed."""
        if self._sockets.get(end.principal) is end:
            del self._sockets[end.principal]

    def receive(self, sender: ControlEnd, data: bytes) -> None:
        """Take a control message."""
        message = read_routed(data)
        if isinstance(message, Hello):
            sender.put(encode(self._head()))
        elif isinstance(message, Send):
            self.sent(sender.principal, message)
            self.route(sender.principal, message)

    def route(self, sender: str, send: Send) -> None:
        """Pass a message on."""
        told = Deliver(send.conversation, sender, send.payload)
        # Gateways answer devices and never talk to each other, or two could do so for ever.
        is_between_gateways = sender in self.gateways and send.to in self.gateways
        if is_between_gateways or not self.put(send.to, encode(told)):
            lost = Undeliverable(send.conversation, Code.GATEWAY_OFFLINE, "not connected")
            self.put(sender, encode(lost))

    def put(self, principal: str, data: bytes | None) -> bool:
        """Give a peer a message; False when it is not connected."""
        end = self._sockets.get(principal)
        if end is not None:
            end.put(data)
        return end is not None

    # --- relay ---------------------------------------------------------------------------------

    def relay(self, conversation: str, side: str) -> RelayEnd:
        """One side of a conversation's relay."""
        end = RelayEnd(self, conversation, side)
        self._relays.setdefault(conversation, {})[side] = end
        for message in self._waiting.pop((conversation, side), []):
            end.arrive(message)
        return end

    def carry(self, sender: RelayEnd, message: bytes) -> None:
        """Copy a message to the other side."""
        self.pass_over(sender.conversation, other(sender.side), message)

    def pass_over(self, conversation: str, side: str, message: bytes) -> None:
        """Give a side a message, now or once it is there."""
        end = self._relays.get(conversation, {}).get(side)
        if end is not None:
            end.arrive(message)
        else:
            self._waiting.setdefault((conversation, side), []).append(message)

    def close_relay(self, conversation: str, reason: str) -> None:
        """End both sides."""
        for end in self._relays.get(conversation, {}).values():
            end.lose(reason)

    def forget_relays(self) -> None:
        """End all relays."""
        for conversation in self._relays:
            self.close_relay(conversation, "end of the sequence")
        self._relays.clear()
        self.frames_sent.clear()
        self._waiting.clear()


def other(side: str) -> str:
    """The side across."""
    return GATEWAY if side == CLIENT else CLIENT


class EvilRouter(Router):
    """
    Does to each message what its seed says; `deeds` counts what it did, `restraint` is the share
    of messages that it passes on as they are.

    It has keys of its own, and the commands to gateway `victim` that a test gives it in
    `accomplices`.
    It holds messages back until `let_go`.
    """

    def __init__(self, head: Callable[[], Head], rng: random.Random) -> None:
        super().__init__(head)
        self.restraint = 1.0
        self.deeds: Counter[str] = Counter()
        self.victim = ""
        self.accomplices: list[Callable[[], Deliver]] = []
        self.devices: list[str] = []
        self._rng = rng
        self._seen: deque[tuple[str, Send]] = deque(maxlen=60)
        self._held: list[Message] = []
        self._relayed: deque[bytes] = deque(maxlen=60)
        self._held_frames: list[tuple[str, str, bytes]] = []
        self._key = SigningKey.generate()

    def behave(self) -> None:
        """Be honest from now on."""
        self.let_go()
        self.restraint = 1.0

    def reseed(self, rng: random.Random, restraint: float) -> None:
        """Begin another sequence."""
        self._rng = rng
        self.restraint = restraint

    def let_go(self) -> None:
        """Deliver what was held back, in another order."""
        held, self._held = self._held, []
        self._rng.shuffle(held)
        for principal, data in held:
            self.put(principal, data)
        frames, self._held_frames = self._held_frames, []
        self._rng.shuffle(frames)
        for conversation, side, message in frames:
            self.pass_over(conversation, side, message)

    # --- control messages ------------------------------------------------------------------------

    def route(self, sender: str, send: Send) -> None:
        """Pass it on, or do something else with it."""
        self._seen.append((sender, send))
        if self._rng.random() < self.restraint:
            super().route(sender, send)
            return
        if self._held and self._rng.random() < 0.3:
            self.let_go()
        deed = self._rng.choice(_CONTROL_DEEDS)
        self.deeds[deed.__name__] += 1
        for principal, data in deed(self, sender, send):
            self.put(principal, data)

    def _honest(self, sender: str, send: Send) -> Message:
        return send.to, encode(Deliver(send.conversation, sender, send.payload))

    def _drop(self, sender: str, send: Send) -> list[Message]:
        return []

    def _duplicate(self, sender: str, send: Send) -> list[Message]:
        return [self._honest(sender, send)] * self._rng.randrange(2, 4)

    def _hold(self, sender: str, send: Send) -> list[Message]:
        self._held.append(self._honest(sender, send))
        return []

    def _alter_payload(self, sender: str, send: Send) -> list[Message]:
        payload = alter(self._rng, send.payload)
        return [(send.to, encode(Deliver(send.conversation, sender, payload)))]

    def _alter_message(self, sender: str, send: Send) -> list[Message]:
        principal, data = self._honest(sender, send)
        return [(principal, alter(self._rng, data)), (principal, data)]

    def _other_sender(self, sender: str, send: Send) -> list[Message]:
        name = self._rng.choice([*self.devices, *self.gateways, new_uid(), "", sender + "x"])
        return [(send.to, encode(Deliver(send.conversation, name, send.payload)))]

    def _other_conversation(self, sender: str, send: Send) -> list[Message]:
        name = self._rng.choice([new_uid(), self._any()[1].conversation, "", "x" * 300])
        return [(send.to, encode(Deliver(name, sender, send.payload)))]

    def _other_addressee(self, sender: str, send: Send) -> list[Message]:
        to = self._rng.choice([*self.gateways, *self.devices])
        return [(to, encode(Deliver(send.conversation, sender, send.payload)))]

    def _reflect(self, sender: str, send: Send) -> list[Message]:
        return [(sender, encode(Deliver(send.conversation, send.to, send.payload)))]

    def _replay(self, sender: str, send: Send) -> list[Message]:
        again = [self._any() for _ in range(self._rng.randrange(1, 4))]
        return [self._honest(*old) for old in again] + [self._honest(sender, send)]

    def _swap_payload(self, sender: str, send: Send) -> list[Message]:
        payload = self._any()[1].payload
        return [(send.to, encode(Deliver(send.conversation, sender, payload)))]

    def _say_undeliverable(self, sender: str, send: Send) -> list[Message]:
        code = self._rng.choice([*map(str, Code), "", "accepted", "\x1b]0;x\x07", "x" * 5000])
        told = encode(
            Undeliverable(send.conversation, code, self._rng.choice(["", "ok", "\x1b[2J"]))
        )
        also = [self._honest(sender, send)] if self._rng.random() < 0.5 else []
        return [(sender, told), (send.to, told), *also]

    def _forge_reply(self, sender: str, send: Send) -> list[Message]:
        wanted = self._rng.random() < 0.5
        code = "" if wanted else self._rng.choice(list(Code))
        reply = Reply(send.conversation, command_hash(send.payload), wanted, code, "", b"x" * 80)
        forged = self._rng.choice(
            [
                seal_reply(reply, self._key, secret=None),
                seal_reply(reply, self._key, secret=bytes(32)),
                encode(ReplyEnvelope(False, encode(reply), bytes(64))),
                encode(ReplyEnvelope(True, encode(reply), bytes(64))),
                self._rng.randbytes(200),
                b"",
            ]
        )
        late = self._honest(sender, send)
        return [(sender, encode(Deliver(send.conversation, send.to, forged))), late]

    def _forge_head(self, sender: str, send: Send) -> list[Message]:
        seq = self._rng.choice([0, -1, 1, 2**40, 2**63 - 1])
        head = encode(Head(seq, self._rng.randbytes(self._rng.choice([0, 32]))))
        return [(send.to, head), (sender, head), self._honest(sender, send)]

    def _forge_kind(self, sender: str, send: Send) -> list[Message]:
        odd = self._rng.choice([encode(Hello("0", "evil")), encode(send), b"\x80", b"", b"\xc1"])
        return [(self._rng.choice([send.to, sender]), odd), self._honest(sender, send)]

    def _forge_command(self, sender: str, send: Send) -> list[Message]:
        forged = self._rng.choice(self.accomplices)()
        return [(self.victim, encode(forged)), self._honest(sender, send)]

    def _cut(self, sender: str, send: Send) -> list[Message]:
        for principal in self._rng.sample([sender, send.to], self._rng.randrange(1, 3)):
            self.put(principal, None)
        return [self._honest(sender, send)]

    def _any(self) -> tuple[str, Send]:
        return self._rng.choice(self._seen)

    # --- relay -----------------------------------------------------------------------------------

    def carry(self, sender: RelayEnd, message: bytes) -> None:
        """Copy it, or do something else with it."""
        self._relayed.append(message)
        if self._rng.random() < self.restraint:
            super().carry(sender, message)
            return
        deed = self._rng.choice(_RELAY_DEEDS)
        self.deeds[deed.__name__] += 1
        deed(self, sender, message)

    def _send_frames(self, sender: RelayEnd, *messages: bytes) -> None:
        for message in messages:
            self.pass_over(sender.conversation, other(sender.side), message)

    def _frame_dropped(self, sender: RelayEnd, message: bytes) -> None:
        """Nothing arrives."""

    def _frame_doubled(self, sender: RelayEnd, message: bytes) -> None:
        self._send_frames(sender, message, message)

    def _frame_altered(self, sender: RelayEnd, message: bytes) -> None:
        self._send_frames(sender, alter(self._rng, message))

    def _frame_held(self, sender: RelayEnd, message: bytes) -> None:
        self._held_frames.append((sender.conversation, other(sender.side), message))

    def _frame_overtaken(self, sender: RelayEnd, message: bytes) -> None:
        asyncio.get_running_loop().call_later(0.1, self._send_frames, sender, message)

    def _frame_reflected(self, sender: RelayEnd, message: bytes) -> None:
        self.pass_over(sender.conversation, sender.side, message)
        self._send_frames(sender, message)

    def _frame_replayed(self, sender: RelayEnd, message: bytes) -> None:
        self._send_frames(sender, self._rng.choice(self._relayed), message)

    def _frame_crossed(self, sender: RelayEnd, message: bytes) -> None:
        self.pass_over(
            self._rng.choice(list(self._relays)), self._rng.choice([CLIENT, GATEWAY]), message
        )

    def _frame_forged(self, sender: RelayEnd, message: bytes) -> None:
        # The form of a greeting or proof, with a value of our own; or no form at all.
        hello = (
            bytes([1, self._rng.choice([1, 2])]) + (1).to_bytes(2, "big") + self._rng.randbytes(32)
        )
        noise = self._rng.randbytes(self._rng.choice([0, 1, 26, 36, 200, STREAM_MESSAGE_BYTES]))
        self._send_frames(sender, self._rng.choice([hello, noise]), message)

    def _relay_cut(self, sender: RelayEnd, message: bytes) -> None:
        self.close_relay(sender.conversation, "cut")


_CONTROL_DEEDS: list[Callable[[EvilRouter, str, Send], list[Message]]] = [
    EvilRouter._drop, EvilRouter._duplicate, EvilRouter._hold, EvilRouter._alter_payload,
    EvilRouter._alter_message, EvilRouter._other_sender, EvilRouter._other_conversation,
    EvilRouter._other_addressee, EvilRouter._reflect, EvilRouter._replay, EvilRouter._swap_payload,
    EvilRouter._say_undeliverable, EvilRouter._forge_reply, EvilRouter._forge_head,
    EvilRouter._forge_kind, EvilRouter._forge_command, EvilRouter._forge_command, EvilRouter._cut,
]  # fmt: skip
_RELAY_DEEDS: list[Callable[[EvilRouter, RelayEnd, bytes], None]] = [
    EvilRouter._frame_dropped, EvilRouter._frame_doubled, EvilRouter._frame_altered,
    EvilRouter._frame_held, EvilRouter._frame_overtaken, EvilRouter._frame_reflected,
    EvilRouter._frame_replayed, EvilRouter._frame_crossed, EvilRouter._frame_forged,
    EvilRouter._relay_cut,
]  # fmt: skip
DEEDS = frozenset(deed.__name__ for deed in (*_CONTROL_DEEDS, *_RELAY_DEEDS))


def alter(rng: random.Random, data: bytes) -> bytes:
    """One of the things that can be done to bytes."""
    at = rng.randrange(len(data) or 1)
    match rng.randrange(6):
        case 0:
            flipped = bytes([data[at] ^ 1 << rng.randrange(8)]) if data else b"\0"
            return data[:at] + flipped + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return data + rng.randbytes(rng.randrange(1, 40))
        case 3:
            return data[:at] + rng.randbytes(8) + data[at + 8 :]
        case 4:
            return data[:at] + data[at + 1 :]
        case _:
            return rng.randbytes(len(data))
