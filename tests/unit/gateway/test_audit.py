from __future__ import annotations

import resource
from pathlib import Path

import pytest

from commander.audit.chain import EMPTY, ChainHead, Entry, append
from commander.audit.events import TunnelIntent, TunnelOutcome
from commander.authority.refusals import Code
from commander.clock import ManualClock
from commander.crypto.signing import SigningKey
from commander.errors import CommanderError, InvalidInput, Refused, Tampered
from commander.gateway import audit
from commander.gateway.audit import AuditOutbox, read_outbox, unknown_outcome
from commander.ids import new_uid

KEY = SigningKey.generate()
PRODUCER = new_uid()


class Server:
    """Stores entries as the backend does; can be down or refuse to answer once."""

    def __init__(self) -> None:
        self.head: ChainHead = EMPTY
        self.entries: list[Entry] = []
        self.is_down = False
        self.loses_answer = False

    async def upload(self, events: tuple[bytes, ...]) -> int:
        if self.is_down:
            raise CommanderError("down")
        for raw in events:
            entry = Entry.parse(raw)
            if entry.sequence > self.head.sequence:
                self.head = append(entry, self.head, KEY.public)
                self.entries.append(entry)
        if self.loses_answer:
            self.loses_answer = False
            raise CommanderError("answer lost")
        return self.head.sequence


@pytest.fixture
def server() -> Server:
    """An audit store."""
    return Server()


def open_outbox(path: Path, server: Server) -> AuditOutbox:
    """What a gateway does at its start."""
    return AuditOutbox(path, producer=PRODUCER, key=KEY, clock=ManualClock(), upload=server.upload)


def intent(conversation: str = "") -> TunnelIntent:
    """An intent."""
    return TunnelIntent(
        conversation or new_uid(), new_uid(), new_uid(), new_uid(), new_uid(), new_uid(), 3,
        "db.internal", 5432,
    )  # fmt: skip


async def upload_all(outbox: AuditOutbox) -> None:
    """Upload until nothing waits."""
    while await outbox.upload_once():
        pass


async def test_events_survive_and_arrive_in_order(tmp_path: Path, server: Server) -> None:
    """What was written is there after a restart, is uploaded once, and the chain goes on."""
    path = tmp_path / "outbox"
    first = open_outbox(path, server)
    for _ in range(3):
        await first.write(intent())

    second = open_outbox(path, server)
    await second.write(intent())
    await upload_all(second)

    assert [entry.sequence for entry in server.entries] == [1, 2, 3, 4]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_lost_answer_costs_nothing(tmp_path: Path, server: Server) -> None:
    """The same entries are sent again and stored once."""
    outbox = open_outbox(tmp_path / "outbox", server)
    await outbox.write(intent())
    server.loses_answer = True
    with pytest.raises(CommanderError):
        await outbox.upload_once()

    await upload_all(outbox)

    assert len(server.entries) == 1
    assert outbox.waiting == 0


async def test_any_torn_end_is_cut_off(tmp_path: Path, server: Server) -> None:
    """Whatever part of the last entry reached the disk, the whole ones before it stay."""
    path = tmp_path / "outbox"
    outbox = open_outbox(path, server)
    await outbox.write(intent())
    one = path.stat().st_size
    await outbox.write(intent())
    data = path.read_bytes()

    for cut in range(one, len(data)):
        entries, whole = read_outbox(data[:cut])
        assert (len(entries), whole) == (1, one)
    path.write_bytes(data[:one] + bytes(100))
    assert read_outbox(path.read_bytes())[1] == one
    path.write_bytes(data[: len(data) - 5])
    again = open_outbox(path, server)
    await again.write(intent())
    await upload_all(again)

    assert [entry.sequence for entry in server.entries] == [1, 2]


async def test_a_damaged_entry_is_named(tmp_path: Path, server: Server) -> None:
    """An outbox that was altered is not silently taken for a short one."""
    path = tmp_path / "outbox"
    outbox = open_outbox(path, server)
    await outbox.write(intent())
    data = bytearray(path.read_bytes())
    data[0] = 0xFF
    path.write_bytes(data)

    with pytest.raises(Tampered):
        open_outbox(path, server)


async def test_an_outbox_that_others_read_is_refused(tmp_path: Path, server: Server) -> None:
    """Its mode is checked like that of every private file."""
    path = tmp_path / "outbox"
    open_outbox(path, server)
    path.chmod(0o644)

    with pytest.raises(InvalidInput):
        open_outbox(path, server)


async def test_a_dead_process_leaves_unknown_outcomes(tmp_path: Path, server: Server) -> None:
    """Intents without outcome get one, once, and only those."""
    path = tmp_path / "outbox"
    outbox = open_outbox(path, server)
    begun, ended = intent(), intent()
    await outbox.write(begun)
    await outbox.write(ended)
    await outbox.write(unknown_outcome(ended))

    again = open_outbox(path, server)
    assert await again.recover() == 1
    assert await open_outbox(path, server).recover() == 0

    await upload_all(again)
    event = server.entries[-1].event()
    assert isinstance(event, TunnelOutcome)
    assert (event.conversation, event.code) == (begun.conversation, "unknown")


async def test_a_disk_that_refuses_is_audit_unavailable(tmp_path: Path, server: Server) -> None:
    """The write fails with its code, and when the disk is back the chain has no gap."""
    path = tmp_path / "outbox"
    outbox = open_outbox(path, server)
    await outbox.write(intent())
    hidden = path.rename(tmp_path / "elsewhere")
    with pytest.raises(Refused) as caught:
        await outbox.write(intent())
    assert caught.value.code == Code.AUDIT_UNAVAILABLE
    hidden.rename(path)

    await outbox.write(intent())
    await upload_all(outbox)

    assert [entry.sequence for entry in server.entries] == [1, 2]


async def test_an_entry_that_fits_only_in_part_is_none(tmp_path: Path, server: Server) -> None:
    """A disk that takes half an entry before it is full leaves a chain that a restart can read."""
    path = tmp_path / "outbox"
    outbox = open_outbox(path, server)
    await outbox.write(intent())
    whole = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (whole + 40, hard))
    try:
        with pytest.raises(Refused) as caught:
            await outbox.write(intent())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code == Code.AUDIT_UNAVAILABLE
    assert path.stat().st_size == whole

    await outbox.write(intent())
    await upload_all(open_outbox(path, server))

    assert [entry.sequence for entry in server.entries] == [1, 2]


async def test_a_full_outbox_is_audit_unavailable(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes no events does not fill the disk."""
    monkeypatch.setattr(audit, "OUTBOX_BYTES", 500)
    outbox = open_outbox(tmp_path / "outbox", server)
    await outbox.write(intent())

    with pytest.raises(Refused) as caught:
        await outbox.write(intent())

    assert caught.value.code == Code.AUDIT_UNAVAILABLE


async def test_what_the_server_has_is_dropped(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file stays small, keeps the last entry and open intents, and the chain goes on."""
    monkeypatch.setattr(audit, "COMPACT_BYTES", 2000)
    path = tmp_path / "outbox"
    outbox = open_outbox(path, server)
    begun = intent()
    await outbox.write(begun)
    for _ in range(20):
        done = intent()
        await outbox.write(done)
        await outbox.write(unknown_outcome(done))

    await upload_all(outbox)

    assert len(read_outbox(path.read_bytes())[0]) == 2
    again = open_outbox(path, server)
    assert await again.recover() == 1
    await upload_all(again)
    assert [entry.sequence for entry in server.entries] == list(range(1, 43))


async def test_a_server_that_claims_too_much_is_not_believed(tmp_path: Path) -> None:
    """Entries are dropped only when they may have been stored."""

    async def lie(events: tuple[bytes, ...]) -> int:
        return 10**6

    outbox = AuditOutbox(
        tmp_path / "o", producer=PRODUCER, key=KEY, clock=ManualClock(), upload=lie
    )
    await outbox.write(intent())

    with pytest.raises(CommanderError):
        await outbox.upload_once()
    assert outbox.waiting == 1
