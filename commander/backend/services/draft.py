"""A commit while it is being checked and stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from commander.authority.decide import Action, decide
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.backend.ledger import check_time
from commander.errors import Refused
from commander.ids import is_uid


@dataclass(frozen=True)
class Draft:
    """Whose commit it is, the state after its statements, and where it is being stored."""

    connection: AsyncConnection
    state: State
    user: str
    device: str
    now: int

    def need(self, action: Action, target: str) -> None:
        """Raise Refused with `decide`'s code unless the device may act on the target now."""
        decide(self.state, self.device, action, target, now=self.now).enforce()

    def check_author(self, author: str, time: int, what: str) -> None:
        """Raise Refused unless a seal is by this device and of now."""
        if author != self.device:
            raise Refused(f"{what} is sealed by another device", code=Code.SEAL_AUTHOR)
        check_time(time, self.now, what)


def need_uid(text: str, what: str) -> None:
    """Raise Refused(request-malformed) unless a text is a UID."""
    if not is_uid(text):
        raise Refused(f"{what} is not a UID", code=Code.REQUEST_MALFORMED)


def need_size(data: bytes, most: int, what: str, *, least: int = 0) -> None:
    """Raise Refused: too-large, or request-malformed when it is too short."""
    if len(data) > most:
        raise Refused(f"{what} has more than {most} bytes", code=Code.TOO_LARGE)
    if len(data) < least:
        raise Refused(f"{what} has fewer than {least} bytes", code=Code.REQUEST_MALFORMED)


def need_once(names: Sequence[str], what: str) -> None:
    """Raise Refused(request-malformed) when something is there twice in one commit."""
    if len(set(names)) != len(names):
        raise Refused(f"{what} is there twice", code=Code.REQUEST_MALFORMED)
