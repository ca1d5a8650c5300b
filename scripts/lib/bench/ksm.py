"""Secrets Manager devices at one server: calls a second, how long one takes, and how much one may bring."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from commander.authority.statements import Right
from commander.ids import FolderUid, RecordUid, new_uid
from commander.ksm.config import DeviceConfig
from commander.ksm.request import PATH_PREFIX, OutgoingRequest, build_request
from commander.vault.draft import Draft
from commander.vault.state import Place
from commander.wire.records import RecordData
from scripts.lib.bench.page import Plan, percentile, progress, table
from tests.support.backend_server import running
from tests.support.sdk_devices import SdkWorld, build_world
from tests.support.server_program import Running

CLIENTS = 25
MORE_CLIENTS = 60
RECORDS = 100
MANY_RECORDS = 10_000
GOAL_PER_S = 200
SECONDS = 20.0
_BATCH = 500
# Requests are made beforehand, since their cryptography is the client's, and used in turn.
_PREPARED = 12


@dataclass
class Device:
    """A client with a source address of its own, as clients on several machines would have."""

    number: int
    config: DeviceConfig
    address: str
    context: ssl.SSLContext
    requests: dict[str, list[OutgoingRequest]] = field(default_factory=dict)
    _open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def prepare(self, name: str, *contents: dict[str, object]) -> None:
        """Make signed requests."""
        client_id = base64.b64encode(self.config.client_id).decode()
        key = self.config.server_public_key
        assert key is not None
        self.requests[name] = [
            build_request(
                key, self.config.server_key_id, self.config.private_key,
                json.dumps({"clientVersion": "mp17.3.0", "clientId": client_id, **content}).encode(),
            )
            for content in contents
        ]  # fmt: skip

    async def call(self, endpoint: str, name: str, turn: int, *, keep: bool) -> int:
        """One call; the size of its opened answer."""
        request = self.requests[name][turn % len(self.requests[name])]
        if self._open is None:
            self._open = await self._connect()
        reader, writer = self._open
        head = "".join(f"{key}: {value}\r\n" for key, value in request.headers.items())
        writer.write(
            f"POST {PATH_PREFIX}{endpoint} HTTP/1.1\r\nHost: {self.address}\r\n{head}"
            f"Content-Length: {len(request.body)}\r\n\r\n".encode()
            + request.body
        )
        status, body = await _answer(reader)
        if not keep:
            await self.close()
        if status != 200:
            raise RuntimeError(f"{endpoint} was answered with {status}: {body[:200]!r}")
        return len(request.open_answer(body))

    async def close(self) -> None:
        """End the connection."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.address.rsplit(":", 1)
        source = (f"127.0.0.{2 + self.number % 200}", 0)
        return await asyncio.open_connection(
            host, int(port), ssl=self.context, local_addr=source, limit=64 * 1024 * 1024
        )


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    size = next(
        int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:")
    )
    return int(head.split(" ", 2)[1]), await reader.readexactly(size)


def run(plan: Plan) -> str:
    """Build a store, start the server program on it, and measure."""
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> str:
    plan.folder.chmod(0o700)
    many = 1_000 if plan.is_quick else MANY_RECORDS
    progress(f"ksm: making {many} records and {MORE_CLIENTS} clients")
    async with running(plan.folder) as server:
        owner = await server.set_up()
        world = await build_world(server, owner, plan.folder, rights=(Right.VIEW, Right.EDIT))
        await _fill(world, RECORDS - 1)
        configs = [await world.config() for _ in range(MORE_CLIENTS)]
        record, revision = world.record, 1
        large = await build_world(server, owner, plan.folder, rights=(Right.VIEW,))
        await _fill(large, many - 1)
        reader = await large.config()
    program = Running(plan.folder)
    try:
        context = ssl.create_default_context(cafile=str(plan.folder / "ca.pem"))
        devices = [
            Device(number, config, program.address, context)
            for number, config in enumerate(configs)
        ]
        one = Device(MORE_CLIENTS, reader, program.address, context)
        # What made the store is not the client that is measured: collections pass it over.
        gc.collect()
        gc.freeze()
        rows = await _measure(plan, devices, program.child.pid)
        writes = await _write(devices[0], record, revision, 20 if plan.is_quick else 200)
        large_line = await _read_all(one, many, program.child.pid)
    finally:
        program.stop()
    heads = [
        "calls",
        "clients",
        "connection",
        "calls/s",
        "p50 ms",
        "p99 ms",
        "worst ms",
        "server CPU ms/call",
    ]
    return (
        "## Secrets Manager devices\n\n"
        f"{table(heads, rows)}\n\n"
        f"* Each `get_secret` answers {RECORDS} records of 1 KiB. *kept*: one TLS connection a client; *new*: a TLS handshake "
        "for every call, as the official SDKs do. Client and server share the machine.\n"
        f"* Goal: {GOAL_PER_S} calls a second with p99 under 50 ms.\n"
        f"{writes}\n{large_line}\n"
    )


async def _fill(world: SdkWorld, count: int) -> None:
    """Records of about 1 KiB each."""
    place = Place(FolderUid(world.folder), "")
    for start in range(0, count, _BATCH):
        added = {}
        for number in range(start, min(count, start + _BATCH)):
            data = added[RecordUid(new_uid())] = RecordData.create("login", f"Service {number}")
            data.set_first("login", f"user{number}")
            data.set_first("password", "x" * 700)
        await world.vault.commit(partial(_add, added, place))


def _add(added: dict[RecordUid, RecordData], place: Place, draft: Draft) -> None:
    for uid, data in added.items():
        draft.put_record(uid, data, place)


async def _measure(plan: Plan, devices: list[Device], pid: int) -> list[list[str]]:
    for device in devices:
        device.prepare("all", *[{}] * _PREPARED)
    seconds = 3.0 if plan.is_quick else SECONDS
    few = devices[:CLIENTS]
    rows = []
    for keep in (True, False):
        rows.append(await _paced(few, seconds, keep=keep, pid=pid))
        rows.append(await _fast(devices, 2.0 if plan.is_quick else 8.0, keep=keep, pid=pid))
    return rows


async def _paced(devices: list[Device], seconds: float, *, keep: bool, pid: int) -> list[str]:
    """The goal's rate, evenly spread; a call that waits for the one before counts its wait."""
    progress(f"ksm: {GOAL_PER_S} a second, connections {'kept' if keep else 'new'}")
    each = len(devices) / GOAL_PER_S
    begin = time.perf_counter() + 0.2
    taken: list[float] = []

    async def work(device: Device) -> None:
        for turn in range(int(seconds / each)):
            due = begin + each * turn + device.number / GOAL_PER_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await device.call("get_secret", "all", turn, keep=keep)
            taken.append(time.perf_counter() - due)

    return await _row(f"{GOAL_PER_S}/s asked for", devices, work, taken, keep=keep, pid=pid)


async def _fast(devices: list[Device], seconds: float, *, keep: bool, pid: int) -> list[str]:
    """As many as come back."""
    progress(f"ksm: as fast as it goes, connections {'kept' if keep else 'new'}")
    end = time.perf_counter() + seconds
    taken: list[float] = []

    async def work(device: Device) -> None:
        # A client may call a hundred times at once and ten times a second from then on.
        for turn in range(int(90 + 8 * seconds)):
            begin = time.perf_counter()
            if begin > end:
                return
            await device.call("get_secret", "all", turn, keep=keep)
            taken.append(time.perf_counter() - begin)

    return await _row("as fast as it goes", devices, work, taken, keep=keep, pid=pid)


async def _row(
    name: str,
    devices: list[Device],
    work: Callable[[Device], Awaitable[None]],
    taken: list[float],
    *,
    keep: bool,
    pid: int,
) -> list[str]:
    begin, cpu = time.perf_counter(), _cpu_s(pid)
    async with asyncio.TaskGroup() as group:
        for device in devices:
            group.create_task(_until_done(work(device)))
    passed, used = time.perf_counter() - begin, _cpu_s(pid) - cpu
    for device in devices:
        await device.close()
    # The token buckets of all clients fill again.
    await asyncio.sleep(10.0)
    ms = [1000 * one for one in taken]
    return [
        name, str(len(devices)), "kept" if keep else "new", f"{len(ms) / passed:.0f}",
        f"{percentile(ms, 0.5):.1f}", f"{percentile(ms, 0.99):.1f}", f"{max(ms):.0f}",
        f"{1000 * used / len(ms):.1f}",
    ]  # fmt: skip


async def _until_done(work: Awaitable[None]) -> None:
    await work


async def _write(device: Device, record: str, revision: int, count: int) -> str:
    data = base64.b64encode(bytes(1024)).decode()
    device.prepare(
        "update", *({"recordUid": record, "data": data, "revision": revision + n} for n in range(count))
    )  # fmt: skip
    taken = []
    for turn in range(count):
        begin = time.perf_counter()
        await device.call("update_secret", "update", turn, keep=True)
        taken.append(1000 * (time.perf_counter() - begin))
        await asyncio.sleep(max(0.0, 0.1 - (time.perf_counter() - begin)))
    await device.close()
    return (
        f"* `update_secret`, one client, each durable on the disk: p50 {percentile(taken, 0.5):.1f} ms, "
        f"p99 {percentile(taken, 0.99):.1f} ms."
    )


async def _read_all(device: Device, records: int, pid: int) -> str:
    device.prepare("all", {}, {})
    times = []
    for turn in range(2):
        begin = time.perf_counter()
        size = await device.call("get_secret", "all", turn, keep=True)
        times.append(time.perf_counter() - begin)
    await device.close()
    return (
        f"* An application with {records} records: the first `get_secret` {times[0]:.2f} s, the next {times[1]:.2f} s, "
        f"{size / 2**20:.1f} MiB; the server then has {_rss_mib(pid):.0f} MiB."
    )


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
