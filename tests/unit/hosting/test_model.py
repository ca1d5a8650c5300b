from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.hosting.model import (
    Ask,
    Told,
    TunnelInfo,
    match_tunnels,
    read_ask,
    read_told,
    write_line,
)


def info(tunnel: str, title: str = "Orders DB", record: str = "r" * 22) -> TunnelInfo:
    return TunnelInfo(
        tunnel, "c" + tunnel[1:], record, title, "g", "db:5432", "127.0.0.1", 49152, "open",
        "relay", 1, 0.0, 0, 0, 0, 0, None, 1, "session",
    )  # fmt: skip


def test_messages_round_trip() -> None:
    """Both messages are read as they were written."""
    assert read_ask(write_line(Ask("stop", "t", "bye"))) == Ask("stop", "t", "bye")
    told = Told((info("a" * 22),), "", "")
    assert read_told(write_line(told)) == told


@given(st.binary(max_size=200))
def test_hostile_lines_are_refused(line: bytes) -> None:
    """Anything else is InvalidInput."""
    for read in (read_ask, read_told):
        try:
            read(line)
        except InvalidInput:
            continue


def test_tunnels_are_found_by_their_name_in_a_file() -> None:
    """And by the name under localhost; no name at all finds nothing."""
    named = msgspec.structs.replace(info("a" * 22), name="orders-db", local_name="orders.localhost")
    tunnels = [info("b" * 22), named]

    assert match_tunnels("orders-db", tunnels) == [named]
    assert match_tunnels("orders.localhost", tunnels) == [named]
    assert match_tunnels("", tunnels) == []


@pytest.mark.parametrize(
    ("wanted", "count"),
    [("abcd" + "x" * 18, 1), ("abcd" + "x" * 18 + "==", 1), ("abcd", 1), ("ab", 0), ("Orders DB", 2),
     ("r" * 22, 2), ("none", 0), ("cbcd" + "x" * 18, 1)],
)  # fmt: skip
def test_tunnels_are_found_by_what_people_type(wanted: str, count: int) -> None:
    """Id with or without padding, conversation, unique prefix, record and title are taken."""
    tunnels = [info("abcd" + "x" * 18), info("zzzz" + "y" * 18)]

    assert len(match_tunnels(wanted, tunnels)) == count
