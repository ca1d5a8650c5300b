from __future__ import annotations

import base64

import pytest

from commander.authority.refusals import Code
from commander.backend.services.devices.tickets import (
    MAX_CHARACTERS,
    Direction,
    Ticket,
    read_ticket,
    write_ticket,
)
from commander.errors import Refused

KEY = bytes(range(32))
CLIENT = base64.b64encode(bytes(range(64))).decode()
TICKET = Ticket(Direction.DOWNLOAD, "-" + "f" * 20 + "A", CLIENT, 1_000)


def refused(text: str, *, key: bytes = KEY, now: int = 0, up: bool = False) -> str:
    direction = Direction.UPLOAD if up else Direction.DOWNLOAD
    with pytest.raises(Refused) as caught:
        read_ticket(key, text, direction, now=now)
    return caught.value.code


def test_ticket_is_read_until_it_ends() -> None:
    """To the second."""
    text = write_ticket(KEY, TICKET)

    assert read_ticket(KEY, text, Direction.DOWNLOAD, now=999) == TICKET
    assert len(text) <= MAX_CHARACTERS
    assert refused(text, now=1_000) == Code.REQUEST_STALE


def test_ticket_is_for_one_direction() -> None:
    """Who may read may not write."""
    assert refused(write_ticket(KEY, TICKET), up=True) == Code.REQUEST_MALFORMED


def test_changed_ticket_is_refused() -> None:
    """Each character, each truncation, another key, another text."""
    text = write_ticket(KEY, TICKET)
    others = [
        text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :] for at in range(len(text))
    ]
    others += [text[:cut] for cut in range(len(text))]

    for bad in [*others, text + "A", "x" * 10_000, "Ω", text + "="]:
        assert refused(bad) == Code.REQUEST_MALFORMED
    assert refused(text, key=bytes(32)) == Code.REQUEST_MALFORMED
