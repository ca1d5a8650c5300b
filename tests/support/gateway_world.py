"""
Everything a gateway meets, without a network: an enterprise, its records, a server that serves
them, a device that sends commands, and the service under test over memory paths.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import msgspec

from commander.audit.events import Event
from commander.authority.statements import Gateway, Right, root_fingerprint
from commander.clock import ManualClock
from commander.codec import decode, encode
from commander.crypto import aead
from commander.crypto.box import BoxPrivateKey
from commander.crypto.kdf import sha256
from commander.crypto.signing import SigningKey
from commander.errors import CommanderError
from commander.gateway.commands import Opened, open_sealed_command
from commander.gateway.follower import LogFollower, try_to_catch_up
from commander.gateway.limits import StartLimits
from commander.gateway.pins import Pins
from commander.gateway.records import RecordReader
from commander.gateway.service import CommandService, Identity
from commander.gateway.sessions import Sessions
from commander.gateway.targets import Allowance, TargetRule, parse_allowance
from commander.ids import DeviceUid, FolderUid, GatewayUid, RecordUid, new_uid
from commander.ksm import payloads
from commander.tunnel.codes import Role
from commander.tunnel.keys import ConversationKeys, Signalling
from commander.tunnel.path import KIND_MEMORY, Binding, Path
from commander.tunnel.transports.memory import MemoryPath, memory_paths
from commander.vault.opening import seal_payload, seal_settings, tunnel_seed
from commander.wire.calls import LogAnswer
from commander.wire.commands import (
    ATTACH_PATH,
    LIFETIME_S,
    START_TUNNEL,
    VERSION,
    Command,
    Deliver,
    Offer,
    OfferAnswer,
    PathParameters,
    Reply,
    SignedCommand,
    TunnelParameters,
    open_reply,
    seal_command,
)
from commander.wire.pam import ConfigurationSettings, PamSettings, ResourceSettings, TunnelSettings
from commander.wire.records import RecordData
from commander.wire.seals import (
    FIRST_PREVIOUS,
    RecordSeal,
    RecordVersion,
    SettingsSeal,
    SettingsVersion,
    Signed,
    record_commitment,
    sign_seal,
)
from tests.support.device_writes import SdkDevice, b64
from tests.support.enterprise import Enterprise, Person

LOOPBACK = parse_allowance("127.0.0.1/32")


@dataclass
class StoredRecord:
    """A record as the server holds it, and the key the owner knows."""

    uid: RecordUid
    folder: FolderUid
    record_key: bytes
    version: RecordVersion
    settings: SettingsVersion | None = None
    revision: int = 1
    settings_revision: int = 0


class Server:
    """An honest server; attributes let a test make it withhold or lie."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_down = False
        self.withhold_after: int | None = None
        self.requests: list[payloads.GetSecretRequest] = []
        self.log_requests = 0

    async def read_log(self, since: int) -> LogAnswer:
        self.log_requests += 1
        if self.is_down:
            raise CommanderError("the server is down")
        statements = self._world.enterprise.statements
        if self.withhold_after is not None:
            statements = statements[: self.withhold_after + 1]
        head = statements[-1]
        return LogAnswer(tuple(statements[since + 1 :]), head.seq, head.digest())

    async def get_secret(self, request: payloads.GetSecretRequest) -> payloads.GetSecretResponse:
        self.requests.append(request)
        if self.is_down:
            raise CommanderError("the server is down")
        folders: dict[str, payloads.Folder] = {}
        for uid in request.records:
            stored = self._world.records.get(uid)
            if stored is None:
                continue
            key = aead.seal(self._world.app_key, self._world.folder_keys[stored.folder])
            folder = folders.setdefault(
                stored.folder, payloads.Folder(stored.folder, key, True, [])
            )
            assert folder.records is not None
            folder.records.append(_wire_record(stored))
        answer = payloads.GetSecretResponse.make(folders=list(folders.values()), records=[])
        return payloads.GetSecretResponse.parse(answer.to_payload())


def _wire_record(stored: StoredRecord) -> payloads.Record:
    settings = stored.settings
    return payloads.Record(
        record_uid=stored.uid,
        record_key=stored.version.record_key,
        data=stored.version.payload,
        revision=stored.revision,
        is_editable=False,
        commander=payloads.RecordSeals(
            encode(stored.version.seal),
            settings.payload if settings else None,
            encode(settings.seal) if settings else None,
            encode(stored.version.write) if stored.version.write else msgspec.UNSET,
        ),
    )


@dataclass
class Asked:
    """A command on its way, and what its device needs to read the reply."""

    message: Deliver
    command: Command
    keys: ConversationKeys
    signalling: Signalling


@dataclass
class _MemoryPlan:
    answer: bytes
    path: MemoryPath
    is_made: bool = False

    async def make(self, carrier: int) -> tuple[Path, Binding]:
        self.is_made = True
        return self.path, Binding()

    async def close(self) -> None:
        if not self.is_made:
            await self.path.close("given up")


class MemoryKinds:
    """Paths within the process; the client's end of each stays in `client_ends`."""

    supported: tuple[str, ...] = (KIND_MEMORY,)

    def __init__(self) -> None:
        self.client_ends: dict[str, MemoryPath] = {}

    async def prepare(self, kind: str, conversation: str, offer: Offer) -> _MemoryPlan:
        one, two = memory_paths()
        self.client_ends[conversation] = one
        return _MemoryPlan(b"", two)


class Journal:
    """Audit events in memory, with a disk that a test can break."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.error: CommanderError | None = None

    async def write(self, event: Event) -> None:
        if self.error is not None:
            raise self.error
        self.events.append(event)

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


class World:
    """
    Alice owns a folder with a database record and a configuration, Bob may view it and has a role
    that may launch tunnels, and the gateway's application may view it too.
    """

    def __init__(self, tmp_path: FilePath, *, clock: ManualClock | None = None) -> None:
        self.tmp_path = tmp_path
        self.enterprise = Enterprise()
        self.clock = clock or ManualClock(float(self.enterprise.time) + 100)
        self.alice = self.enterprise.admin
        self.bob = self.enterprise.add_person("bob@acme.example")
        self.launchers = self.enterprise.add_role("Launchers", {"ALLOW_LAUNCH_PAM_TUNNELS": True})
        self.enterprise.add_member(self.launchers, self.bob)
        self.folder = self.enterprise.add_folder(self.alice)
        self.application = self.enterprise.add_application(self.alice)
        self.enterprise.share(
            self.alice, self.folder, self.application, Right.VIEW, kind="application"
        )
        self.enterprise.share(self.alice, self.folder, self.bob.user, Right.VIEW)
        self.gateway = GatewayUid(new_uid())
        self.gateway_key = SigningKey.generate()
        self.gateway_box = BoxPrivateKey.generate()
        self._certify_gateway()
        self.app_key = aead.new_key()
        self.folder_keys: dict[str, bytes] = {self.folder: aead.new_key()}
        self.records: dict[str, StoredRecord] = {}
        self.server = Server(self)
        self.journal = Journal()
        self.kinds = MemoryKinds()
        self.names: dict[str, list[str]] = {}
        self.pins = Pins(tmp_path / "pins.bin")
        self.configuration = self.add_record(self.folder, RecordData.create("pamNetwork", "Net"))
        self.configure(self.configuration, ConfigurationSettings(self.gateway, tunneling="on"))
        self.record = self.add_record(self.folder, database("127.0.0.1", 5432))
        self.settings = ResourceSettings(
            configuration=self.configuration.uid, tunnel=TunnelSettings(enabled=True)
        )
        self.configure(self.record, self.settings)

    def _certify_gateway(self) -> None:
        self.enterprise.by(
            self.alice,
            Gateway(
                self.gateway, self.application, "", "A" * 88, self.gateway_key.public.raw,
                self.gateway_box.public.raw, b"\x04" + bytes(64),
            ),
        )  # fmt: skip

    # --- what clients write ----------------------------------------------------------------

    def add_folder(self, *, shared: bool = True) -> FolderUid:
        """Another folder of Alice's, shared with the application or not."""
        folder = self.enterprise.add_folder(self.alice)
        self.folder_keys[folder] = aead.new_key()
        if shared:
            self.enterprise.share(
                self.alice, folder, self.application, Right.VIEW, kind="application"
            )
        return folder

    def add_record(
        self, folder: FolderUid, data: RecordData, *, author: Person | None = None
    ) -> StoredRecord:
        """Write a new record."""
        uid, key = RecordUid(new_uid()), aead.new_key()
        version = self.seal_record(uid, folder, key, data, author=author)
        stored = self.records[uid] = StoredRecord(uid, folder, key, version)
        return stored

    def edit(self, stored: StoredRecord, data: RecordData, *, author: Person | None = None) -> None:
        """Write the next revision."""
        stored.revision += 1
        stored.version = self.seal_record(
            stored.uid, stored.folder, stored.record_key, data,
            revision=stored.revision, prev=stored.version.seal.digest(), author=author,
        )  # fmt: skip

    def edit_by_device(self, stored: StoredRecord, data: RecordData, device: SdkDevice) -> None:
        """Write the next revision as a Secrets Manager device does."""
        payload = seal_payload(stored.record_key, data)
        write = device.sign(recordUid=stored.uid, data=b64(payload), revision=stored.revision)
        stored.revision += 1
        seal = RecordSeal(
            stored.uid, stored.folder, "", stored.revision, stored.version.seal.digest(),
            sha256(payload), b"", device.uid, self.enterprise.state.seq, self.enterprise.time, False,
        )  # fmt: skip
        signed = Signed(encode(seal), write.digest())
        stored.version = RecordVersion(signed, stored.version.record_key, payload, write)

    def seal_record(
        self,
        uid: RecordUid,
        folder: FolderUid,
        key: bytes,
        data: RecordData,
        *,
        revision: int = 1,
        prev: bytes = FIRST_PREVIOUS,
        author: Person | None = None,
    ) -> RecordVersion:
        """Seal one revision."""
        author = author or self.alice
        payload = seal_payload(key, data)
        seal = RecordSeal(
            uid, folder, "", revision, prev, sha256(payload),
            record_commitment(key, uid, revision), author.device, self.enterprise.state.seq,
            self.enterprise.time, False,
        )  # fmt: skip
        wrapped = aead.seal(self.folder_keys[folder], key)
        return RecordVersion(sign_seal(seal, author.device_key), wrapped, payload)

    def configure(
        self,
        stored: StoredRecord,
        settings: PamSettings,
        *,
        author: Person | None = None,
        folder: FolderUid | None = None,
    ) -> None:
        """Write the next revision of PAM settings."""
        author = author or self.alice
        payload = seal_settings(stored.record_key, stored.uid, settings)
        prev = stored.settings.seal.digest() if stored.settings else FIRST_PREVIOUS
        stored.settings_revision += 1
        seal = SettingsSeal(
            stored.uid, folder or stored.folder, stored.settings_revision, prev, sha256(payload),
            author.device, self.enterprise.state.seq, self.enterprise.time,
        )  # fmt: skip
        stored.settings = SettingsVersion(sign_seal(seal, author.device_key), payload)

    # --- the gateway -----------------------------------------------------------------------

    def follower(self) -> LogFollower:
        """A follower of this world's log."""
        fingerprint = _fingerprint(self.enterprise)
        return LogFollower(self.server.read_log, fingerprint=fingerprint, pins=self.pins)

    def reader(self, follower: LogFollower) -> RecordReader:
        """A reader of this world's records."""
        return RecordReader(
            self.server.get_secret,
            client_id=bytes(64),
            app_key=self.app_key,
            pins=self.pins,
            state=lambda: follower.state,
            catch_up=lambda: try_to_catch_up(follower),
        )

    async def resolve(self, host: str, port: int) -> list[str]:
        """The world's names."""
        if host not in self.names:
            raise OSError("no such name")
        return self.names[host]

    async def service(
        self,
        *,
        allowances: Sequence[Allowance] = (LOOPBACK,),
        limits: StartLimits | None = None,
        hello_s: float = 10.0,
    ) -> Running:
        """A service that has caught up; the clock then moves on by a second."""
        follower = self.follower()
        await follower.catch_up()
        sessions = Sessions(clock=self.clock, write=self.journal.write, hello_s=hello_s)
        service = CommandService(
            Identity(self.gateway, self.gateway_key, self.gateway_box),
            follower=follower,
            reader=self.reader(follower),
            sessions=sessions,
            paths=self.kinds,
            rule=TargetRule(allowances),
            write=self.journal.write,
            clock=self.clock,
            resolve=self.resolve,
            limits=limits,
        )
        self.clock.advance(2)
        return Running(self, service, follower)

    # --- the client ------------------------------------------------------------------------

    def command(self, person: Person | None = None, **changes: Any) -> Asked:
        """
        A sealed and signed command of Bob's for the record, with any of its fields changed.

        `parameters` and `offer` take values, which are encoded; `seed` is the tunnel seed.
        """
        person = person or self.bob
        secret, conversation = secrets.token_bytes(32), new_uid()
        record = self.records.get(changes.get("record", self.record.uid), self.record)
        keys = ConversationKeys(
            secret,
            changes.pop("seed", None) or tunnel_seed(record.record_key),
            client_device=person.device,
            gateway=self.gateway,
            conversation_id=conversation,
            record=record.uid,
            user=person.user,
        )
        signalling = keys.signalling(Role.CLIENT)
        now = int(self.clock.now())
        parameters = changes.pop("parameters", TunnelParameters("", 0, "", ""))
        offer = changes.pop("offer", Offer((KIND_MEMORY,), b""))
        fields: dict[str, Any] = {
            "version": VERSION,
            "action": START_TUNNEL,
            "gateway": self.gateway,
            "device": person.device,
            "conversation": conversation,
            "record": record.uid,
            "record_revision": record.revision,
            "settings_revision": record.settings_revision,
            "issued_at": now,
            "expires_at": now + LIFETIME_S,
            "nonce": secrets.token_bytes(16),
            "log_seq": self.enterprise.state.seq,
            "log_hash": self.enterprise.state.head,
            "secret": secret,
            "parameters": parameters if isinstance(parameters, bytes) else encode(parameters),
            "offer": offer if isinstance(offer, bytes) else signalling.seal(encode(offer)),
        }
        key = changes.pop("key", person.device_key)
        command = Command(**{**fields, **changes})
        return Asked(self.deliver(command, key, person.device), command, keys, signalling)

    def path_command(self, start: Asked, *, generation: int = 100, **changes: Any) -> Asked:
        """A command for a further path of a tunnel that was started, with any field changed."""
        parameters = PathParameters(start.command.conversation, generation)
        return self.command(**{"action": ATTACH_PATH, "parameters": parameters, **changes})

    def deliver(self, command: Command, key: SigningKey, sender: str) -> Deliver:
        """A command as the router hands it over."""
        sealed = seal_command(
            msgspec.structs.replace(command, gateway=self.gateway),
            key,
            self.gateway_box.public,
        )
        if command.gateway != self.gateway:
            # Sealed to this gateway, but naming another one inside.
            body = encode(command)
            signed = encode(SignedCommand(body, key.sign("command", body)))
            sealed = self.gateway_box.public.seal(
                signed, "command", self.gateway, command.conversation, command.device
            )
        return Deliver(command.conversation, sender, sealed)

    def open(self, asked: Asked) -> Opened:
        """The command as the gateway opens it."""
        return open_sealed_command(
            asked.message.payload,
            self.gateway_box,
            gateway=self.gateway,
            conversation=asked.message.conversation,
            sender=asked.message.sender,
        )


@dataclass
class Running:
    """A service under test."""

    world: World
    service: CommandService
    follower: LogFollower
    asked: list[Asked] = field(default_factory=list)

    async def ask(self, asked: Asked) -> Reply:
        """Hand a command in and open the reply as its device would."""
        self.asked.append(asked)
        sent = await self.service.handle(asked.message)
        assert (sent.conversation, sent.to) == (asked.message.conversation, asked.message.sender)
        return open_reply(
            sent.payload,
            self.world.gateway_key.public,
            secret=asked.command.secret,
            conversation=asked.message.conversation,
            command=asked.message.payload,
        )

    async def start(self, person: Person | None = None, **changes: Any) -> tuple[Asked, Reply]:
        """Ask for a tunnel."""
        asked = self.world.command(person, **changes)
        return asked, await self.ask(asked)


def answer_of(asked: Asked, reply: Reply) -> OfferAnswer:
    """What an accepted reply says, opened with the conversation's keys."""
    return decode(OfferAnswer, asked.signalling.open(reply.answer))


def database(host: str, port: int) -> RecordData:
    """A database record."""
    record = RecordData.create("pamDatabase", "Orders")
    record.set_first("pamHostname", {"hostName": host, "port": str(port)})
    return record


def new_device(person: Person) -> Person:
    """The same user with a device that nobody certified."""
    return Person(
        person.user, person.email, person.identity, person.box, DeviceUid(new_uid()),
        SigningKey.generate(), person.device_box,
    )  # fmt: skip


def _fingerprint(enterprise: Enterprise) -> bytes:
    return root_fingerprint(enterprise.root.public.raw)
