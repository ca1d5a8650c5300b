"""What every use case works with: store, log, keys, time, limits."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from commander.audit.chain import ChainWriter
from commander.audit.events import Event
from commander.authority import log
from commander.authority.state import State
from commander.backend import identity, limits
from commander.backend.identity import ServerIdentity
from commander.backend.ledger import Ledger, check_time
from commander.backend.ports import NobodyOnline, Presence
from commander.backend.storage import audit, schema, statements
from commander.backend.storage.accesses import Accesses
from commander.backend.storage.accounts import SessionCache
from commander.backend.storage.database import Database
from commander.backend.storage.device_shelf import DeviceShelf
from commander.backend.storage.files import FILES, FileStore
from commander.backend.turn import Relays
from commander.clock import Clock
from commander.crypto.kdf import derive
from commander.errors import Refused
from commander.wire.requests import FRESH_S

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caller:
    """
    Who calls, as the HTTP layer established it.

    `user` is the user of a device or the application of a gateway; all but `address` is empty
    for calls that carry a proof of their own.
    """

    address: str
    kind: Literal["device", "gateway", "nobody"] = "nobody"
    principal: str = ""
    user: str = ""
    session: bytes = b""
    device_key: bytes = b""
    nonce: bytes = b""


@dataclass
class Guards:
    """Counters in memory; a restart begins them anew."""

    requests: limits.RateLimiter
    open_calls: limits.RateLimiter
    logins: limits.RateLimiter
    relays: limits.RateLimiter
    devices: limits.RateLimiter
    open_devices: limits.RateLimiter
    delays: limits.LoginDelays
    nonces: limits.Once
    challenges: limits.Once

    @classmethod
    def fresh(cls) -> Guards:
        """Guards with the published limits."""
        return cls(
            requests=limits.RateLimiter(limits.REQUESTS),
            open_calls=limits.RateLimiter(limits.OPEN_CALLS),
            logins=limits.RateLimiter(limits.LOGINS),
            relays=limits.RateLimiter(limits.RELAYS),
            devices=limits.RateLimiter(limits.DEVICE_CALLS),
            open_devices=limits.RateLimiter(limits.DEVICE_SOURCE),
            delays=limits.LoginDelays(),
            nonces=limits.Once(),
            challenges=limits.Once(),
        )


@dataclass
class Core:
    """One server; make it with `open_core`."""

    database: Database
    ledger: Ledger
    identity: ServerIdentity
    clock: Clock
    ca_pem: str = ""
    presence: Presence = field(default_factory=NobodyOnline)
    relays: Relays = field(default_factory=Relays)
    guards: Guards = field(default_factory=Guards.fresh)
    sessions: SessionCache = field(default_factory=SessionCache)
    answers: Counter[str] = field(default_factory=Counter)
    """Calls answered since the start, by refusal code; "ok" for the others."""
    challenge_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    files: FileStore = field(init=False)
    shelf: DeviceShelf = field(init=False)
    accesses: Accesses = field(init=False)
    ticket_key: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find what stands beside the store and what follows from its keys."""
        self.shelf = DeviceShelf(self.database)
        self.accesses = Accesses(self.database)
        self.files = FileStore(self.database.path.parent / FILES)
        self.ticket_key = derive(self.identity.sign.raw(), "attachment-ticket")

    @property
    def state(self) -> State:
        """The authority log's state at its head."""
        return self.ledger.state

    def now(self) -> int:
        """Whole seconds since 1970."""
        return int(self.clock.now())

    async def record(self, connection: AsyncConnection, event: Event) -> None:
        """Put an event of the server itself into its audit chain, in the caller's transaction."""
        head = await audit.head(connection, self.identity.uid)
        writer = ChainWriter(self.identity.uid, self.identity.sign, head)
        entry = writer.seal(event, time_ms=int(self.clock.now() * 1000))
        await audit.add(connection, [entry])

    async def note(self, event: Event) -> None:
        """Record an event by itself. Never raises: what it tells of has happened anyway."""
        try:
            async with self.database.transaction(aside=True) as transaction:
                await self.record(transaction.connection, event)
        except Refused as error:
            _log.error("audit event %s was not stored: %s", type(event).__name__, error.code)

    def check_fresh(self, time: int) -> None:
        """Raise Refused(request-stale) unless a request is of now, give or take 120 s."""
        check_time(time, self.now(), "the request")

    def use_nonce(self, principal: str, nonce: bytes) -> bool:
        """Use a request's nonce up; False when it was used before."""
        now = self.clock.now()
        return self.guards.nonces.use(
            principal.encode() + nonce, now=now, until=now + 2 * FRESH_S + 1
        )

    async def close(self) -> None:
        """Write what waits, and close the store."""
        await self.accesses.close()
        await self.database.close()


async def open_core(path: Path, clock: Clock, *, ca_pem: str = "") -> Core:
    """
    Open or make the store at `path` and evaluate its log.

    Raises CommanderError when the store is damaged, newer or cannot be written, and Refused
    when its log does not hold together.
    """
    await schema.upgrade(path)
    database = Database(path)
    try:
        keys = await identity.load(database, now=int(clock.now()))
        state = State()
        async with database.reading() as connection:
            async for statement in statements.everything(connection):
                log.apply(state, statement)
    except BaseException:
        await database.close()
        raise
    return Core(database, Ledger(state), keys, clock, ca_pem)
