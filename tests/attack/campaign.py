"""
A campaign of the evil router: real client code and real gateways around it, and what must hold.

    client: hosting.conversation, api.socket, tunnel.engine      gateway: gateway.agent and below

Each sequence is made of its seed alone. After each one `violations` says what went wrong:
a tunnel or connection that no device asked for, a success that is none, a refusal without a
published code, or an error inside a gateway.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from commander.api.client import Api
from commander.api.socket import RouterSocket
from commander.api.transport import HttpAnswer, NotSent
from commander.audit.chain import Entry
from commander.audit.events import CommandRefused, TunnelIntent
from commander.authority.refusals import EXPLANATIONS, Code
from commander.authority.statements import Gateway, root_fingerprint
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import (
    CommanderError,
    InvalidInput,
    Refused,
    SealBroken,
    Tampered,
    TimedOut,
    Unreachable,
)
from commander.gateway.agent import Agent
from commander.gateway.audit import AuditOutbox
from commander.gateway.follower import LogFollower, try_to_catch_up
from commander.gateway.paths import NetworkPaths
from commander.gateway.pins import Pins
from commander.gateway.records import RecordReader
from commander.gateway.service import CommandService, Identity
from commander.gateway.sessions import Sessions
from commander.gateway.targets import TargetRule
from commander.hosting.conversation import Accepted, Position, TunnelRequest, ask_gateway
from commander.ids import FolderUid, GatewayUid, new_uid
from commander.tasks import spawn
from commander.tunnel.codes import CloseCode, Role
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.path import KIND_RELAY
from commander.tunnel.path import Path as TunnelPath
from commander.tunnel.reports import TunnelLimits
from commander.vault.opening import tunnel_seed
from commander.wire.commands import Deliver, Head, Offer, Send, TunnelParameters
from commander.wire.pam import ConfigurationSettings, ResourceSettings, TunnelSettings
from commander.wire.records import RecordData
from tests.attack.routers import CLIENT, GATEWAY, DeviceEnd, EvilRouter
from tests.attack.virtual_loop import (
    Application,
    LoopClock,
    VirtualLoop,
    feed,
    run_virtually,
)
from tests.support.enterprise import Person
from tests.support.gateway_world import LOOPBACK, Journal, StoredRecord, World, database, new_device
from tests.support.vaults import SERVER

ANSWER_S = 5.0
HELLO_S = 2.0
ECHO_S = 3.0
# What a client may be told: a code of the table, or that nobody trustworthy answered.
_OWN_CODES = frozenset({Tampered.default_code, TimedOut.default_code, Unreachable.default_code})
_SERVER_CODES = frozenset(
    code for code, (said_by, _) in EXPLANATIONS.items() if "server" in said_by
)
_ERRORS = (Refused, Tampered, TimedOut, Unreachable)


class NoTransport:
    """Fits `api.transport.Transport`; there is no server behind it."""

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> HttpAnswer:
        """Never sent."""
        raise NotSent("there is no server here")

    async def get(self, path: str, *, timeout_s: float) -> HttpAnswer:
        """Never sent."""
        raise NotSent("there is no server here")

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Site:
    """One gateway: the real agent and service, and the record that it leads to."""

    uid: GatewayUid
    sign_key: SigningKey
    box_key: BoxPrivateKey
    service: CommandService
    agent: Agent
    journal: Journal


@dataclass
class Attempt:
    """One tunnel that a client asked for, and what it believes became of it."""

    person: Person
    site: Site
    record: StoredRecord
    port: int
    conversations: list[str] = field(default_factory=list)
    accepted: Accepted | None = None
    is_attached: bool = False
    sent: bytes = b""
    echoed: bytes = b""
    error: CommanderError | None = None


class Client:
    """One device: the product's code from socket to tunnel end."""

    def __init__(self, campaign: Campaign, person: Person) -> None:
        self.person = person
        self._campaign = campaign
        self.attempt: Attempt | None = None
        api = Api(NoTransport(), SERVER, clock=campaign.clock)
        self.socket = RouterSocket(
            api,
            {},
            clock=campaign.clock,
            version="1",
            rng=random.Random(1),
            connect=self._connect,
        )
        self.socket.start()

    async def _connect(self, api: Api, environment: Mapping[str, str]) -> DeviceEnd:
        return DeviceEnd(await self._campaign.router.connect(self.person.device))

    async def open(self, attempt: Attempt, rng: random.Random) -> Attempt:
        """Ask for a tunnel, bring up its path, and send bytes through it."""
        self.attempt = attempt
        try:
            attempt.accepted = await self._ask(attempt)
            await self._use(attempt, attempt.accepted, rng)
        except CommanderError as error:
            attempt.error = error
        return attempt

    async def _ask(self, attempt: Attempt) -> Accepted:
        campaign, record, site = self._campaign, attempt.record, attempt.site
        request = TunnelRequest(
            record=record.uid,
            title="Orders",
            record_revision=record.revision,
            settings_revision=record.settings_revision,
            remote="",
            gateway=site.uid,
            gateway_sign_key=site.sign_key.public.raw,
            gateway_box_key=site.box_key.public.raw,
            device=self.person.device,
            user=self.person.user,
            device_key=self.person.device_key,
            tunnel_seed=tunnel_seed(record.record_key),
            parameters=TunnelParameters("", 0, "", ""),
        )
        return await ask_gateway(
            request,
            Offer((KIND_RELAY,), b""),
            self.socket,
            position=campaign.position,
            clock=campaign.clock,
            timeout_s=ANSWER_S,
        )

    async def _use(self, attempt: Attempt, accepted: Accepted, rng: random.Random) -> None:
        campaign = self._campaign
        end = TunnelEnd(
            Role.CLIENT, accepted.keys, clock=campaign.clock, limits=TunnelLimits(hello_s=HELLO_S)
        )
        try:
            try:
                await end.attach(campaign.router.relay(accepted.conversation, CLIENT))
            except (SealBroken, InvalidInput) as error:
                # As `hosting.host` tells it.
                raise Tampered("not the gateway", code=Code.HELLO_BROKEN) from error
            attempt.is_attached = True
            pipe = end.pipe(b"")
            application = Application(campaign.loop, pipe)
            pipe.connection_made(application)
            attempt.sent = rng.randbytes(rng.randrange(1, 2000))
            feed(pipe, attempt.sent)
            until = campaign.loop.time() + ECHO_S
            while (
                len(application.received) < len(attempt.sent)
                and not end.closed.done()
                and campaign.loop.time() < until
            ):
                await asyncio.sleep(0.2)
            attempt.echoed = bytes(application.received)
        finally:
            await end.close()


class Campaign:
    """Two gateways, three records, two devices with rights, one without, and the evil router."""

    def __init__(self, loop: VirtualLoop, directory: Path) -> None:
        self.loop = loop
        self.clock = LoopClock(loop)
        self.world = World(directory, clock=self.clock)
        self.outcomes: Counter[str] = Counter()
        self.router = EvilRouter(self._head, random.Random(0))
        self.router.sent = self._note
        self._directory = directory
        self._asking: dict[str, Attempt] = {}
        self._begun: Counter[str] = Counter()
        self._running: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Bring everything up."""
        world = self.world
        second = GatewayUid(new_uid()), SigningKey.generate(), BoxPrivateKey.generate()
        self._certify(*second)
        eve = world.enterprise.add_person("eve@acme.example")
        # Alice may see one record more than Bob.
        private = world.add_folder()
        other_configuration = world.add_record(world.folder, RecordData.create("pamNetwork", "Two"))
        world.configure(other_configuration, ConfigurationSettings(second[0], tunneling="on"))
        stock = self._protect(database("127.0.0.1", 5433), world.folder, other_configuration)
        wages = self._protect(database("127.0.0.1", 5434), private, world.configuration)
        world.edit(world.record, database("127.0.0.1", 5432))
        self.sites = [
            await self._site("one", world.gateway, world.gateway_key, world.gateway_box),
            await self._site("two", *second),
        ]
        one, two = self.sites
        self.clients = [Client(self, world.bob), Client(self, world.alice)]
        self._choices = [
            (self.clients[0], one, world.record, 5432), (self.clients[0], two, stock, 5433),
            (self.clients[1], one, world.record, 5432), (self.clients[1], two, stock, 5433),
            (self.clients[1], one, wages, 5434),
        ]  # fmt: skip
        self.router.gateways = [one.uid, two.uid]
        self.router.victim = one.uid
        self.router.devices = [world.bob.device, world.alice.device, eve.device]
        self.router.accomplices = self._accomplices(eve)
        for client in self.clients:
            await client.socket.wait_connected()
        await asyncio.sleep(3)

    def _certify(self, uid: GatewayUid, sign: SigningKey, box: BoxPrivateKey) -> None:
        world = self.world
        world.enterprise.by(
            world.alice,
            Gateway(
                uid, world.application, "", "B" * 88, sign.public.raw, box.public.raw,
                b"\x04" + bytes(64),
            ),
        )  # fmt: skip

    def _protect(
        self, data: RecordData, folder: FolderUid, configuration: StoredRecord
    ) -> StoredRecord:
        world = self.world
        record = world.add_record(folder, data)
        settings = ResourceSettings(
            configuration=configuration.uid, tunnel=TunnelSettings(enabled=True)
        )
        world.configure(record, settings)
        return record

    async def _site(self, name: str, uid: GatewayUid, sign: SigningKey, box: BoxPrivateKey) -> Site:
        world, journal = self.world, Journal()
        pins = Pins(self._directory / f"{name}.pins")
        fingerprint = root_fingerprint(world.enterprise.root.public.raw)
        follower = LogFollower(world.server.read_log, fingerprint=fingerprint, pins=pins)
        reader = RecordReader(
            world.server.get_secret,
            client_id=bytes(64),
            app_key=world.app_key,
            pins=pins,
            state=lambda: follower.state,
            catch_up=lambda: try_to_catch_up(follower),
        )
        service = CommandService(
            Identity(uid, sign, box),
            follower=follower,
            reader=reader,
            sessions=Sessions(clock=self.clock, write=journal.write, hello_s=HELLO_S),
            paths=NetworkPaths(self._open_relay),
            rule=TargetRule((LOOPBACK,)),
            write=journal.write,
            clock=self.clock,
            resolve=world.resolve,
        )
        outbox = AuditOutbox(
            self._directory / f"{name}.outbox", producer=uid, key=sign, clock=self.clock,
            upload=_upload,
        )  # fmt: skip
        agent = Agent(
            service,
            follower,
            outbox,
            lambda: self.router.connect(uid),
            gateway=uid,
            version="1",
            clock=self.clock,
            changed=lambda state: None,
            rng=random.Random(2),
        )
        self._running.append(spawn(agent.run(), name=f"agent-{name}"))
        return Site(uid, sign, box, service, agent, journal)

    async def _open_relay(self, conversation: str) -> TunnelPath:
        return self.router.relay(conversation, GATEWAY)

    def _accomplices(self, eve: Person) -> list[Callable[[], Deliver]]:
        """Commands of a device without rights and of a stranger, and commands in Bob's name."""
        world = self.world
        stranger = new_device(world.bob)

        def command(person: Person, **changes: SigningKey) -> Deliver:
            offer = Offer((KIND_RELAY,), b"")
            return world.command(person, offer=offer, **changes).message

        return [
            lambda: command(eve),
            lambda: command(stranger),
            lambda: command(world.bob, key=eve.device_key),
            lambda: _renamed(command(eve), world.bob.device),
        ]

    def _head(self) -> Head:
        state = self.world.enterprise.state
        return Head(state.seq, state.head)

    def position(self) -> Position:
        """The log position of every client."""
        state = self.world.enterprise.state
        return Position(state.seq, state.head)

    def _note(self, sender: str, send: Send) -> None:
        for client in self.clients:
            if client.person.device == sender and client.attempt is not None:
                self._asking[send.conversation] = client.attempt
                client.attempt.conversations.append(send.conversation)

    # --- sequences -------------------------------------------------------------------------------

    async def play(self, seed: int) -> list[str]:
        """Run one sequence; what was violated."""
        rng = random.Random(seed)
        self.router.reseed(rng, rng.choice([0.0, 0.3, 0.6, 0.8, 0.9]))
        attempts = await self._open_some(rng)
        self.router.let_go()
        await asyncio.sleep(0.5)
        found = self.violations(attempts)
        await self._clean()
        return found

    async def play_honestly(self, seed: int) -> list[str]:
        """The control: a router that passes everything on; what did not work."""
        self.router.behave()
        rng = random.Random(seed)
        # Whoever was cut off comes back first.
        await asyncio.sleep(40)
        attempts = await self._open_some(rng)
        found = self.violations(attempts)
        found += [
            f"an honest router, and yet {attempt.error!r}"
            for attempt in attempts
            if attempt.error is not None or attempt.echoed != attempt.sent or not attempt.sent
        ]
        await self._clean()
        return found

    async def _open_some(self, rng: random.Random) -> list[Attempt]:
        first = rng.choice(self._choices)
        chosen = [first]
        if rng.random() < 0.3:
            chosen.append(rng.choice([c for c in self._choices if c[0] is not first[0]]))
        attempts = [Attempt(c.person, s, r, port) for c, s, r, port in chosen]
        opening = [
            choice[0].open(attempt, rng) for choice, attempt in zip(chosen, attempts, strict=True)
        ]
        await asyncio.gather(*opening)
        return attempts

    def violations(self, attempts: list[Attempt]) -> list[str]:
        """Everything that must not have happened."""
        return [
            *self._unauthorised_tunnels(),
            *self._unauthorised_connections(attempts),
            *self._wrong_codes(),
            *(problem for attempt in attempts for problem in self._false_success(attempt)),
        ]

    def _unauthorised_tunnels(self) -> list[str]:
        found = []
        for site in self.sites:
            for event in site.journal.events:
                if not isinstance(event, TunnelIntent):
                    continue
                self._begun[event.conversation] += 1
                attempt = self._asking.get(event.conversation)
                if attempt is None:
                    found.append(f"tunnel {event.conversation} was asked for by nobody")
                    continue
                signed = (attempt.person.device, attempt.site.uid, attempt.record.uid)
                if signed != (event.device, site.uid, event.record):
                    found.append(f"tunnel {event.conversation} is not the one that was asked for")
        found += [
            f"command {uid} counted {times} times"
            for uid, times in self._begun.items()
            if times > 1
        ]
        return found

    def _unauthorised_connections(self, attempts: list[Attempt]) -> list[str]:
        found = []
        allowed: Counter[int] = Counter(a.port for a in attempts if a.is_attached)
        for host, port, target in self.loop.connections:
            allowed[port] -= 1
            if host != "127.0.0.1" or allowed[port] < 0:
                found.append(f"target {host}:{port} was connected without a stream of a client")
            received = bytes(target.received)
            if not any(a.port == port and a.sent.startswith(received) for a in attempts):
                found.append(f"target {host}:{port} got bytes that no client sent")
        return found

    def _wrong_codes(self) -> list[str]:
        found = []
        published = set(Code)
        for site in self.sites:
            found += [
                f"the gateway refused with {event.code!r}"
                for event in site.journal.events
                if isinstance(event, CommandRefused) and event.code not in published
            ]
            if site.service.counters["failed"]:
                found.append("a command failed inside the gateway")
        return found

    def _false_success(self, attempt: Attempt) -> list[str]:
        error = attempt.error
        self.outcomes[error.code if error is not None else "opened"] += 1
        found = []
        if error is not None and not isinstance(error, _ERRORS):
            found.append(f"the client ended with {error!r}")
        if isinstance(error, Refused) and not self._was_refused(attempt, error.code):
            found.append(f"the client was told the code {error.code[:60]!r}, which nobody said")
        elif error is not None and error.code not in {*map(str, Code), *_OWN_CODES}:
            found.append(f"the client ended with code {error.code[:60]!r}")
        if attempt.accepted is not None:
            uid = attempt.accepted.conversation
            begun = {
                event.conversation
                for event in attempt.site.journal.events
                if isinstance(event, TunnelIntent)
            }
            if uid not in begun:
                found.append("the client believes in a tunnel that its gateway does not have")
            # Its greeting and its proof: without them nobody may have been taken for it.
            if attempt.is_attached and self.router.frames_sent[uid, GATEWAY] < 2:
                found.append("the client believes in a path to a gateway that did not prove itself")
        if not attempt.sent.startswith(attempt.echoed):
            found.append("the client got bytes that its target did not send")
        return found

    def _was_refused(self, attempt: Attempt, code: str) -> bool:
        """Whether the gateway said so; a code of the server's own may come from its router."""
        if code in _SERVER_CODES:
            return True
        return any(
            isinstance(event, CommandRefused)
            and (event.code, event.conversation in attempt.conversations) == (code, True)
            for event in attempt.site.journal.events
        )

    async def _clean(self) -> None:
        for site in self.sites:
            await site.service.sessions.close_all(CloseCode.STOPPED, "end of the sequence")
            site.journal.events.clear()
        self.router.forget_relays()
        self.loop.connections.clear()

    async def close(self) -> None:
        """Stop everything."""
        for client in self.clients:
            await client.socket.close()
        for site in self.sites:
            site.agent.stop()
        await asyncio.gather(*self._running)


async def _upload(entries: tuple[bytes, ...]) -> int:
    return Entry.parse(entries[-1]).sequence


def _renamed(message: Deliver, sender: str) -> Deliver:
    return Deliver(message.conversation, sender, message.payload)


@dataclass
class Report:
    """What a campaign did; `violations` begin with the seed of their sequence."""

    violations: list[str]
    outcomes: Counter[str]
    deeds: Counter[str]
    controls: int


def run_campaign(
    directory: Path, *, first_seed: int, sequences: int, control_every: int = 100
) -> Report:
    """Play sequences, with an honest one after every so many; stops at the first violation."""

    async def work(loop: VirtualLoop) -> Report:
        campaign = Campaign(loop, directory)
        await campaign.start()
        controls = 0
        found: list[str] = []
        for number in range(sequences):
            seed = first_seed + number
            found = [f"seed {seed}: {problem}" for problem in await campaign.play(seed)]
            if not found and (number + 1) % control_every == 0:
                found = [f"after seed {seed}: {p}" for p in await campaign.play_honestly(seed)]
                controls += 1
            if found:
                break
        await campaign.close()
        return Report(found, campaign.outcomes, campaign.router.deeds, controls)

    return run_virtually(work)
