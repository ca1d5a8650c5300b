from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from commander.clock import ManualClock
from commander.hosting import journal
from commander.hosting.journal import Follower, Journal, Value, describe, remove_old


def events(follower: Follower) -> list[object]:
    return [entry["event"] for entry in follower.new_lines()]


def test_lines_are_json_with_time_and_event(tmp_path: Path) -> None:
    """Each line stands alone and names when and what."""
    log = Journal(tmp_path / "run" / "t.jsonl", ManualClock(0))
    log.write("stream-opened", stream=1, program="psql\n")
    log.close()
    log.close()

    path = tmp_path / "run" / "t.jsonl"
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"time": "1970-01-01T00:00:00Z", "event": "stream-opened", "stream": 1, "program": "psql\n"}
    ]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_follower_sees_what_is_added(tmp_path: Path) -> None:
    """Lines come once each, half lines when they are whole, foreign lines never."""
    path = tmp_path / "run" / "t.jsonl"
    log = Journal(path, ManualClock())
    log.write("a")
    follower = Follower(path)
    assert events(follower) == ["a"]

    log.write("b")
    with path.open("ab") as file:
        file.write(b'not json\n[1]\n{"event": "c"')
    assert events(follower) == ["b"]
    with path.open("ab") as file:
        file.write(b"}\n")
    assert events(follower) == ["c"]
    follower.close()
    log.close()


def test_rotation_loses_no_line_of_a_follower(tmp_path: Path) -> None:
    """The file is kept small, and whoever follows it goes on in the new one."""
    path = tmp_path / "run" / "t.jsonl"
    log = Journal(path, ManualClock())
    log.write("first")
    follower = Follower(path)
    filler = "x" * 10_000
    for _ in range(journal.ROTATE_BYTES // 10_000 + 2):
        log.write("fill", text=filler)
    log.write("last")

    seen = events(follower)
    assert seen[0] == "first"
    assert seen[-1] == "last"
    assert path.stat().st_size < journal.ROTATE_BYTES
    assert path.with_suffix(".jsonl.1").exists()
    follower.close()
    log.close()


def test_old_logs_go_new_ones_stay(tmp_path: Path) -> None:
    """After 7 days without a line a log is removed."""
    old, new = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for path in (old, new):
        path.write_text("{}\n")
    os.utime(old, (0, 0))

    remove_old(tmp_path, now=journal.KEEP_S + 10)
    remove_old(tmp_path / "missing", now=0)

    assert not old.exists()
    assert new.exists()


def test_an_entry_reads_as_one_line() -> None:
    """Time, event, then the values."""
    entry: dict[str, journal.Value] = {
        "time": "2026-11-21T10:00:05Z",
        "event": "path-up",
        "kind": "relay",
    }

    assert describe(entry) == "10:00:05 path-up kind=relay"
    assert describe({}) == " ?"


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"event": "interrupted", "reason": "cut", "gone": False},
         "interrupted: connections wait; cut"),
        ({"event": "resumed", "path": "relay", "after_s": 1.25}, "resumed: over relay after 1.25 s"),
        ({"event": "trying", "paths": "relay, direct", "reason": "cut"},
         "trying: relay, direct; cut"),
        ({"event": "tunnel-closed", "code": "stopped", "reason": "by the user {x}"},
         "tunnel-closed: stopped; by the user {x}"),
        ({"event": "resumed"}, "resumed"),
        ({"event": "accept", "stream": 1}, "accept stream=1"),
    ],
)  # fmt: skip
def test_paths_are_told_in_sentences(entry: dict[str, Value], line: str) -> None:
    """Whatever a reason holds; an entry of another version lists what it has."""
    assert describe({"time": "2026-11-29T10:00:05Z", **entry}) == f"10:00:05 {line}"
