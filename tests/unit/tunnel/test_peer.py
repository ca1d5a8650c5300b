from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.tunnel.peer import (
    Peer,
    Program,
    ProgramFinder,
    Socket,
    can_identify,
    find_socket,
    identify,
    identify_unix,
)

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
LINE = (
    "   0: 0100007F:A3F2 0100007F:1538 01 00000000:00000000 00:00000000 00000000  1000        0"
    " 4711 1 0000000000000000 20 4 30 10 -1"
)
MAPPED = LINE.replace(
    "0100007F:A3F2 0100007F:1538",
    "0000000000000000FFFF00000100007F:A3F2 0000000000000000FFFF00000100007F:1538",
)
SIX = LINE.replace(
    "0100007F:A3F2 0100007F:1538",
    "00000000000000000000000001000000:A3F2 00000000000000000000000001000000:1538",
)
LOCAL, REMOTE = ("127.0.0.1", 0xA3F2), ("127.0.0.1", 0x1538)


@pytest.mark.parametrize("line", [LINE, MAPPED])
def test_an_ipv4_connection_is_found_in_both_of_its_forms(line: str) -> None:
    """A client may use an IPv4 socket or an IPv6 one for the same address."""
    assert find_socket([HEADER, line], LOCAL, REMOTE) == Socket(1000, 4711)


def test_an_ipv6_connection_is_found() -> None:
    """::1 in the kernel's word order."""
    assert find_socket([HEADER, SIX], ("::1", 0xA3F2), ("::1", 0x1538)) == Socket(1000, 4711)


def test_only_both_ends_together_identify_a_socket() -> None:
    """The listener's own side of the connection, and others, do not match."""
    assert find_socket([LINE], REMOTE, LOCAL) is None
    assert find_socket([LINE], ("127.0.0.2", 0xA3F2), REMOTE) is None
    assert find_socket([LINE], ("127.0.0.1", 1), REMOTE) is None


def test_lines_without_numbers_are_passed_over() -> None:
    """A table that is cut or damaged identifies nobody."""
    assert find_socket([LINE.replace("4711", "none")], LOCAL, REMOTE) is None


@given(st.lists(st.text(max_size=120), max_size=5))
def test_strange_tables_are_no_error(lines: list[str]) -> None:
    """Whatever the file says, nothing is raised and nothing is invented."""
    assert find_socket([*lines, "a b", "x " * 20], LOCAL, REMOTE) is None


def make_proc(root: Path, line: str) -> Path:
    (root / "self/net").mkdir(parents=True)
    (root / "self/net/tcp").write_text(f"{HEADER}\n{line}\n")
    return root


def test_the_tables_are_read_when_the_kernel_does_not_answer(tmp_path: Path) -> None:
    """A connection that only the table knows is identified from it."""
    proc = make_proc(tmp_path, LINE)
    assert can_identify(proc)
    assert identify(REMOTE, LOCAL, proc=proc) == Peer(LOCAL, 1000, 4711)


def test_a_socket_that_nobody_holds_has_no_owner(tmp_path: Path) -> None:
    """A closed socket shows uid 0 on some kernels; it must not pass for root or for us."""
    proc = make_proc(tmp_path, LINE.replace("  1000        0 4711", "     0        0 0"))
    assert identify(REMOTE, LOCAL, proc=proc) == Peer(LOCAL, None)


def test_without_tables_nobody_is_identified(tmp_path: Path) -> None:
    """Other systems, and containers without /proc."""
    assert not can_identify(tmp_path)
    assert identify(REMOTE, LOCAL, proc=tmp_path) == Peer(LOCAL, None)


def test_the_program_is_found_by_its_open_socket(tmp_path: Path) -> None:
    """Pid and printable name, or nothing."""
    fds = tmp_path / "77" / "fd"
    fds.mkdir(parents=True)
    (fds / "0").symlink_to("/dev/null")
    (fds / "3").symlink_to("socket:[4711]")
    (fds / "4").write_text("no link")
    (tmp_path / "77" / "comm").write_text("ps\x1bql\n")
    (tmp_path / "78").mkdir()

    finder = ProgramFinder(proc=tmp_path)
    assert finder.find(Peer(LOCAL, 1000, 4711)) == Program(77, "ps?ql")
    assert finder.find(Peer(LOCAL, 1000, 4711)) == Program(77, "ps?ql")
    assert finder.find(Peer(LOCAL, 1000, 1)) == Program()
    assert finder.find(Peer(LOCAL, None)) == Program()
    (tmp_path / "77" / "comm").unlink()
    assert finder.find(Peer(LOCAL, 1000, 4711)) == Program(77)
    assert ProgramFinder(proc=tmp_path / "none").find(Peer(LOCAL, 1000, 4711)) == Program()


def test_the_search_begins_with_the_process_that_started_last(tmp_path: Path) -> None:
    """Also when the kernel has begun anew with low numbers: there is not time for all."""
    for pid in (*range(1, 5), *range(30_000, 30_400)):
        fds = tmp_path / str(pid) / "fd"
        fds.mkdir(parents=True)
        (tmp_path / str(pid) / "comm").write_text("psql\n")
    (tmp_path / "4" / "fd" / "3").symlink_to("socket:[4711]")
    (tmp_path / "30000" / "fd" / "3").symlink_to("socket:[4712]")
    assert ProgramFinder(proc=tmp_path).find(Peer(LOCAL, 1000, 4711)) == Program()

    (tmp_path / "loadavg").write_text("0.00 0.01 0.05 1/404 4\n")

    assert ProgramFinder(proc=tmp_path).find(Peer(LOCAL, 1000, 4711)) == Program(4, "psql")
    assert ProgramFinder(proc=tmp_path).find(Peer(LOCAL, 1000, 4712)) == Program()


def test_a_search_that_found_nothing_is_not_made_for_each_connection(tmp_path: Path) -> None:
    """Beside a browser it takes milliseconds, and one program may connect a thousand times."""
    for pid in range(100, 120):
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "comm").write_text("psql\n")
    (tmp_path / "100" / "fd" / "3").symlink_to("socket:[4711]")
    (tmp_path / "119" / "fd" / "3").symlink_to("socket:[4712]")
    times = iter((0.0, 0.004, 0.1, 0.2, 0.21))
    finder = ProgramFinder(proc=tmp_path, monotonic=lambda: next(times))

    assert finder.find(Peer(LOCAL, 1000, 1)) == Program()
    assert finder.find(Peer(LOCAL, 1000, 4711)) == Program()
    assert finder.find(Peer(LOCAL, 1000, 4712)) == Program(119, "psql")
    assert finder.find(Peer(LOCAL, 1000, 4711)) == Program(100, "psql")


def test_a_unix_socket_names_the_process(tmp_path: Path) -> None:
    """By its credentials: no search, and the program's name from that pid alone."""
    (tmp_path / "9").mkdir()
    (tmp_path / "9" / "comm").write_text("psql\n")

    found = ProgramFinder(proc=tmp_path).find(Peer(("", 0), 1000, pid=9))

    assert found == Program(9, "psql")


def test_the_other_end_of_a_unix_socket_is_known() -> None:
    """SO_PEERCRED tells process and user of whoever connected."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert identify_unix(ours) == Peer(("", 0), os.getuid(), pid=os.getpid())
