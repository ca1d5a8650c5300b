"""
The product at work, to be disturbed: a tunnel with an echo and a flood, and records being added.

`Work` is one spell of it. After the disturbance its parts tell what they saw: when the local
sockets ended, how the tunnel's process ended, and which records were acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from commander.api.bootstrap import open_transport
from commander.api.client import Api, Caller
from commander.audit.chain import Entry
from commander.audit.events import TunnelIntent, TunnelOutcome
from commander.audit.verify import Verdict, verify
from commander.authority.log import replay
from commander.clock import SystemClock
from commander.config.paths import find_paths
from commander.crypto.signing import VerifyKey
from commander.vault.unlock import resume_login
from commander.wire.calls import AUDIT_READ, LOG, AuditRead, LogRequest
from tests.chaos.target import ECHO, FLOOD, PATTERN, Target
from tests.support.processes import Child
from tests.support.product import FOLDER, Product, User
from tests.support.waiting import until

RECORD = "Echo"
BATCH = 10  # records of one batch


class World:
    """Server, gateway and user of one test directory, with one target."""

    def __init__(self, directory: Path) -> None:
        self.product = Product(directory)
        self.target = Target()
        self.acknowledged: set[str] = set()  # titles of records that were said to be made
        self._number = 0

    def start(self) -> None:
        """Bring everything up."""
        self.product.start_server()
        self.user = self.product.set_up()
        self.product.start_gateway()
        self.user.configure_network()
        self.user.add_target(RECORD, self.target.address)

    @property
    def gateway(self) -> Child:
        """The gateway's process."""
        return self.product.gateways["gateway"]

    @property
    def server(self) -> Child:
        """The server's process."""
        assert self.product.server is not None
        return self.product.server

    def next_number(self) -> int:
        """A number that no other record has."""
        self._number += 1
        return self._number

    def start_adding(self, count: int) -> Child:
        """Start a batch that adds records one after the other, and says so of each."""
        titles = [f"record-{self.next_number():06}" for _ in range(count)]
        line = "record-add -t {} -rt login --folder {} login=nobody"
        return self.user.start("-c", "\n".join(line.format(title, FOLDER) for title in titles))

    def note_added(self, adding: Child) -> None:
        """Take note of what a batch has said to be made, however it ended."""
        self.acknowledged |= set(re.findall(r"record '(record-\d+)' made", adding.output))

    def missing_records(self) -> set[str]:
        """Titles that were acknowledged and are not there; must be empty."""
        listed = self.user("ls", FOLDER, "--format", "csv")
        return {title for title in self.acknowledged if title not in listed}

    def gateway_is_online(self) -> bool:
        """What the server says."""
        rows = self.user.json("pam", "gateway", "list", "--online")
        return bool(rows)

    def audit(self) -> Audit:
        """All audit events that the server has, read as an administrator."""
        return asyncio.run(_read_audit(self.user))

    def __enter__(self) -> Self:
        self.product.__enter__()
        self.target.__enter__()
        try:
            self.start()
        except BaseException as error:
            error.add_note(self.product.logs())
            self.product.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.product.__exit__(kind, error, trace)
        finally:
            self.target.__exit__(kind, error, trace)


@dataclasses.dataclass(frozen=True)
class Audit:
    """The server's stored events and what verifying them gave."""

    entries: list[Entry]
    verdict: Verdict

    def tunnels_without_outcome(self) -> set[str]:
        """Conversations with an intent and no outcome."""
        intents, outcomes = set(), set()
        for entry in self.entries:
            event = entry.event()
            if isinstance(event, TunnelIntent):
                intents.add(event.conversation)
            elif isinstance(event, TunnelOutcome):
                outcomes.add(event.conversation)
        return intents - outcomes


async def _read_audit(user: User) -> Audit:
    paths = find_paths(user.home.environment(), user_home=user.home.directory)
    clock = SystemClock()
    login = resume_login(paths, clock)
    device = login.device
    caller = Caller(device.device, login.session, device.signing_key())
    api = Api(open_transport(device.server, {}), device.server, clock=clock, caller=caller)
    try:
        log = await api.call(LOG, LogRequest(-1))
        state = replay(log.statements, fingerprint=device.root)
        keys: dict[str, VerifyKey] = {}
        keys |= {str(g.gateway): VerifyKey(g.sign_key) for g in state.gateways.values()}
        entries: list[Entry] = []
        after, more = 0, True
        while more:
            answer = await api.call(AUDIT_READ, AuditRead(after, 0, 0, "", "", "", "", 0))
            keys[answer.server] = VerifyKey(answer.server_key)
            entries += [Entry.parse(raw) for _, raw in answer.events]
            after, more = answer.events[-1][0] if answer.events else after, answer.more
    finally:
        await api.close()
    return Audit(entries, verify(entries, keys))


class Stream(threading.Thread):
    """One local connection through a tunnel; notes when it ended, and whether bytes were wrong."""

    def __init__(self, port: int, kind: bytes) -> None:
        super().__init__(daemon=True)
        self.is_going = threading.Event()
        self.ended_at: float | None = None
        self.cause = ""
        self.wrong = ""
        self._kind = kind
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.start()

    def run(self) -> None:
        try:
            with self._socket:
                self._socket.sendall(self._kind)
                self._echo() if self._kind == ECHO else self._flood()
        except OSError as error:
            self.cause = type(error).__name__
        self.ended_at = time.monotonic()

    def leave(self) -> None:
        """Close it from this side."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _echo(self) -> None:
        number = 0
        while True:
            sent = number.to_bytes(8, "big")
            self._socket.sendall(sent)
            got = b""
            while len(got) < len(sent):
                part = self._socket.recv(len(sent) - len(got))
                if not part:
                    self.cause = "end"
                    return
                got += part
            if got != sent:
                self.wrong = f"{got!r} instead of {sent!r}"
                return
            self.is_going.set()
            number += 1
            threading.Event().wait(0.005)

    def _flood(self) -> None:
        at = 0
        while part := self._socket.recv(65536):
            begin = at % len(PATTERN)
            wanted = (PATTERN * (len(part) // len(PATTERN) + 2))[begin : begin + len(part)]
            if part != wanted:
                self.wrong = f"other bytes after {at}"
                return
            at += len(part)
            self.is_going.set()
        self.cause = "end"


class Work:
    """One tunnel in use, others opened and records added, until `stop`; a context manager."""

    def __init__(self, world: World, *words: str) -> None:
        self._world = world
        self._stopping = threading.Event()
        self._words = words
        self.failures: list[subprocess.CompletedProcess[str]] = []
        self._loops = [
            threading.Thread(target=self._repeat, args=(step,), daemon=True)
            for step in (self._add_records, self._open_short_tunnel)
        ]

    def __enter__(self) -> Self:
        self.tunnel, self.port = self._world.user.start_tunnel(RECORD, *self._words)
        self.streams = [Stream(self.port, ECHO), Stream(self.port, FLOOD)]
        for stream in self.streams:
            assert stream.is_going.wait(30), f"no byte came through: {stream.cause}"
        for loop in self._loops:
            loop.start()
        return self

    def go_on(self, seconds: float) -> None:
        """Return after a time; the tunnel must have lived so long."""
        threading.Event().wait(seconds)
        assert self.tunnel.is_running, self.tunnel.output

    def stop(self) -> None:
        """Let the records be, and take the streams away; idempotent."""
        self.pause()
        for stream in self.streams:
            stream.leave()
            stream.join(30)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        with contextlib.suppress(AssertionError):
            self.tunnel.stop()

    def pause(self) -> None:
        """Open no further tunnels and add no records; the streams go on."""
        self._stopping.set()
        for loop in self._loops:
            loop.join(90)
            assert not loop.is_alive(), "a command hangs"

    def streams_go_on(self, *, within_s: float) -> None:
        """Wait until every stream has got a byte that came after this call; none may have ended."""
        for stream in self.streams:
            stream.is_going.clear()
        for stream in self.streams:
            assert stream.is_going.wait(within_s), f"no byte came any more: {stream.cause}"
        assert all(stream.ended_at is None for stream in self.streams)

    def wrong_bytes(self) -> list[str]:
        """What came through a tunnel and should not have; must be empty."""
        return [stream.wrong for stream in self.streams if stream.wrong]

    def streams_ended(self, *, within_s: float) -> float:
        """Wait until every local socket ended; how long after the call that was."""
        begin = time.monotonic()
        until(
            lambda: all(stream.ended_at is not None for stream in self.streams),
            "the local sockets ended",
            deadline_s=within_s,
        )
        ends = [stream.ended_at for stream in self.streams if stream.ended_at is not None]
        return max(0.0, max(ends) - begin)

    def _repeat(self, step: Callable[[], subprocess.CompletedProcess[str]]) -> None:
        while not self._stopping.is_set():
            done = step()
            if done.returncode != 0:
                self.failures.append(done)

    def _add_records(self) -> subprocess.CompletedProcess[str]:
        adding = self._world.start_adding(BATCH)
        status = adding.wait(deadline_s=90)
        self._world.note_added(adding)
        return subprocess.CompletedProcess(["record-add"], status, "", adding.output)

    def _open_short_tunnel(self) -> subprocess.CompletedProcess[str]:
        return self._world.user.run("pam", "tunnel", "start", RECORD, "--new", "--run", "true")


def check_echo(world: World) -> None:
    """A new tunnel of its own carries bytes both ways and ends in order."""
    child, port = world.user.start_tunnel(RECORD, "--new")
    stream = Stream(port, ECHO)
    try:
        assert stream.is_going.wait(30), f"no byte came through a new tunnel: {stream.cause}"
    finally:
        stream.leave()
        child.interrupt()
    assert child.wait() == 130, child.output


@contextlib.contextmanager
def measured(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Note how long the block took."""
    begin = time.monotonic()
    yield
    seconds[name] = time.monotonic() - begin


def leftovers(user: User) -> list[str]:
    """Control sockets, half-written files and logs of starts in a user's directories."""
    found = []
    for directory in (user.home.commander, user.home.runtime):
        for path in directory.rglob("*"):
            name = path.name
            if name.endswith((".new", ".sock", ".pid", ".err", ".trial")) or name.startswith(
                "start-"
            ):
                found.append(str(path.relative_to(user.home.directory)))
    return sorted(found)


def is_gone(pid: int) -> bool:
    """Whether there is no such process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
