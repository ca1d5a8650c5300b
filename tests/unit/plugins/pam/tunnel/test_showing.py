from __future__ import annotations

import os

import msgspec
import pytest

from commander.clock import ManualClock
from commander.config.paths import Paths
from commander.errors import NotFound
from commander.hosting.handle import TunnelsHandle
from commander.hosting.journal import Journal
from commander.hosting.model import LinkInfo, StreamInfo, TunnelInfo
from commander.plugin.results import Document
from commander.plugin.testing import FakeContext, run_command
from commander.shell.output.machine import to_plain
from commander.wire.records import RecordData
from plugins.pam.tunnel import plugin
from plugins.pam.tunnel.listing import row_of
from plugins.pam.tunnel.showing import describe_tunnel, next_step
from tests.support.memory_server import MemoryServer
from tests.support.processes import Home
from tests.support.vaults import first_vault

OPEN = TunnelInfo(
    "pbxV4snkAP9KGCUhSb6aQQ", "c", "r", "Orders DB", "g", "db:5432", "127.0.0.1", 49152, "open",
    "relay", 1, 100.0, 1, 4, 10, 20, 1.25, 1, "session",
    streams=(
        StreamInfo(7, "psql", 150.0, 10, 20, pid=42, uid=1000, state="open", address="127.0.0.1:5"),
        StreamInfo(9, "", 160.0, 0, 0),
    ),
    refused=2, refused_uids=(54321,), links=(LinkInfo("relay", 1, 1, 100.0, 100, 200, 1.24, True),),
)  # fmt: skip


def test_an_open_tunnel_shows_its_streams() -> None:
    """Who is on it: program, pid, uid, since when, bytes and state; unknown ones are not invented."""
    shown = to_plain(describe_tunnel(OPEN, 200.0))

    assert isinstance(shown, dict)
    assert shown["open_streams"] == [
        {"stream": 7, "program": "psql", "pid": 42, "uid": 1000, "from": "127.0.0.1:5",
         "since": "1970-01-01T00:02:30Z", "bytes_in": 10, "bytes_out": 20, "state": "open"},
        {"stream": 9, "program": "?", "pid": None, "uid": None, "from": "",
         "since": "1970-01-01T00:02:40Z", "bytes_in": 0, "bytes_out": 0, "state": ""},
    ]  # fmt: skip
    assert shown["links"] == [
        {"path": "relay", "generation": 1, "group": 1, "preferred": True, "rtt": "1.2 ms", "rtt_ms": 1.2,
         "since": "1970-01-01T00:01:40Z", "bytes_in": 100, "bytes_out": 200},
    ]  # fmt: skip
    assert (shown["up"], shown["refused"], shown["refused_uids"]) == (100.0, 2, [54321])
    assert shown["limits"]["streams"] == 1024


def test_what_to_type_next_follows_the_state() -> None:
    """Refusals point to the log, trouble to diagnose."""
    assert "who was refused" in next_step(OPEN)
    assert next_step(msgspec.structs.replace(OPEN, refused=0)).startswith("pam tunnel tail")
    lost = msgspec.structs.replace(OPEN, status="resuming", interrupted_s=100.0)
    assert "for another 8 min" in next_step(lost)
    assert "pam tunnel diagnose r" in next_step(lost)
    assert row_of(lost, 200.0)["status_text"] == "resuming (100 s)"


async def test_an_ended_tunnel_says_why_and_what_to_type_next(home: Home) -> None:
    """By the beginning of its id, from its log; a log without an end means a killed process."""
    paths = Paths(home=home.commander, runtime=home.runtime)
    clock = ManualClock()
    context = FakeContext(paths=paths, clock=clock, tunnels=TunnelsHandle(paths, clock, print))
    journal = Journal(paths.tunnel_log("abcdEFGH"), clock)
    journal.write("tunnel-opened", record="r" * 22)
    journal.write("accept", stream=1)
    killed = await run_command(plugin, "pam tunnel show abcd", context)
    journal.write("tunnel-closed", code="path-lost", reason="no sign of life for 6 s")
    journal.close()

    ended = await run_command(plugin, "pam tunnel show abcdE", context)

    assert isinstance(killed, Document)
    assert isinstance(ended, Document)
    assert killed.values["code"] == "host-lost"
    assert (ended.values["code"], ended.values["connections"]) == ("path-lost", 1)
    assert "no sign of life" in str(ended.values["reason"])
    assert "pam tunnel diagnose " + "r" * 22 in str(ended.values["next"])


async def test_an_ended_tunnel_is_found_by_its_record(home: Home) -> None:
    """The newest of the record's, by UID, and by title where the vault opens: --run tells no id."""
    paths = Paths(home=home.commander, runtime=home.runtime)
    clock = ManualClock()
    vault = await first_vault(MemoryServer(clock), clock)
    data = RecordData({"title": "Build host", "type": "pamMachine", "fields": []})
    record = (await vault.create_record(data)).uid
    tunnels = TunnelsHandle(paths, clock, print)
    context = FakeContext(paths=paths, clock=clock, tunnels=tunnels, open_vault=vault)
    for number, tunnel in enumerate(("oldOLD", "newNEW", "foreign")):
        log = paths.tunnel_log(tunnel)
        journal = Journal(log, clock)
        journal.write("path-up", path="relay")
        journal.write("tunnel-opened", record="x" * 22 if tunnel == "foreign" else record)
        journal.close()
        os.utime(log, (number, number))
    paths.tunnel_log("no-record").write_text("nonsense\n")

    for name in (record, "Build host"):
        shown = await run_command(plugin, f"pam tunnel show '{name}'", context)
        assert isinstance(shown, Document)
        assert shown.values["tunnel_id"] == "newNEW"
    context.open_vault = None
    with pytest.raises(NotFound):
        await run_command(plugin, "pam tunnel tail 'Build host' --no-follow", context)
