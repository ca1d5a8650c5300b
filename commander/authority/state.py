"""
What the authority log says, at its head or at an earlier position.

Facts are kept with the sequence number they begin and end at, so that a seal written long
ago is judged by the rights of that moment (`at`), and a command by those of now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from commander.authority.statements import (
    FIRST_PREVIOUS,
    Access,
    Administrator,
    Application,
    Client,
    Device,
    Folder,
    Gateway,
    Genesis,
    Kind,
    Membership,
    Revoke,
    Role,
    User,
    Voucher,
)

_T = TypeVar("_T")


@dataclass
class Fact(Generic[_T]):
    """A statement's content and the log positions between which it holds."""

    value: _T
    since: int
    until: int | None = None

    def holds(self, at: int | None) -> bool:
        """Tell whether it holds at a position; None is the head."""
        if at is None:
            return self.until is None
        return self.since <= at and (self.until is None or self.until > at)


class Facts(Generic[_T]):
    """Facts of one kind by key; per key the latest last."""

    def __init__(self) -> None:
        self._by_key: dict[object, list[Fact[_T]]] = defaultdict(list)

    def copy(self) -> Facts[_T]:
        """A copy that changes apart from this one; values are shared, since they are frozen."""
        other: Facts[_T] = Facts()
        for key, facts in self._by_key.items():
            other._by_key[key] = [Fact(fact.value, fact.since, fact.until) for fact in facts]
        return other

    def add(self, key: object, value: _T, seq: int) -> None:
        """State a fact; one already holding for the key ends here."""
        self.end(key, seq)
        self._by_key[key].append(Fact(value, seq))

    def end(self, key: object, seq: int) -> bool:
        """End the fact that holds for a key; False when none does."""
        facts = self._by_key.get(key)
        if not facts or facts[-1].until is not None:
            return False
        facts[-1].until = seq
        return True

    def get(self, key: object, at: int | None = None) -> _T | None:
        """The value that holds for a key, or None."""
        for fact in reversed(self._by_key.get(key, ())):
            if fact.holds(at):
                return fact.value
        return None

    def latest(self, key: object) -> _T | None:
        """The value that holds for a key, else the one that held last; for judging what is old."""
        facts = self._by_key.get(key)
        return facts[-1].value if facts else None

    def known(self, key: object) -> bool:
        """Tell whether the key was ever stated, also when it has ended."""
        return key in self._by_key

    def values(self, at: int | None = None) -> Iterator[_T]:
        """All values that hold."""
        for facts in self._by_key.values():
            for fact in facts:
                if fact.holds(at):
                    yield fact.value


class State:
    """
    The log's facts. Made by `authority.log.replay`, extended by `authority.log.apply` only.

    Reading attributes is free to all; nothing outside `authority` changes them.
    """

    def __init__(self) -> None:
        self.genesis: Genesis | None = None
        self.seq = -1
        self.head = FIRST_PREVIOUS
        self.users: Facts[User] = Facts()
        self.devices: Facts[Device] = Facts()
        self.administrators: Facts[Administrator] = Facts()
        self.roles: Facts[Role] = Facts()
        self.memberships: Facts[Membership] = Facts()
        self.folders: Facts[Folder] = Facts()
        self.accesses: Facts[Access] = Facts()
        self.applications: Facts[Application] = Facts()
        self.vouchers: Facts[Voucher] = Facts()
        self.gateways: Facts[Gateway] = Facts()
        self.clients: Facts[Client] = Facts()
        self.used_vouchers: set[str] = set()
        self.digests: list[bytes] = []
        # One name space for all kinds: a device that took a user's UID would be judged as that user.
        self.kinds: dict[str, Kind] = {}

    def copy(self) -> State:
        """A copy to apply statements to, for who must be able to drop them again."""
        other = State()
        for name, value in vars(self).items():
            is_mutable = isinstance(value, Facts | set | list | dict)
            setattr(other, name, value.copy() if is_mutable else value)
        return other

    def user_of(self, principal: str, at: int | None = None) -> User | None:
        """The user a user or device UID stands for, while both hold."""
        device = self.devices.get(principal, at)
        return self.users.get(device.user if device else principal, at)

    def user_by_email(self, email: str) -> User | None:
        """The user with an e-mail in normal form."""
        return next((user for user in self.users.values() if user.email == email), None)

    def roles_of(self, user: str, at: int | None = None) -> list[Role]:
        """Roles that a user has."""
        found = (
            self.roles.get(membership.role, at)
            for membership in self.memberships.values(at)
            if membership.user == user
        )
        return [role for role in found if role is not None]

    def folder_members(self, folder: str) -> list[Access]:
        """Access statements that hold for a folder now."""
        return [access for access in self.accesses.values() if access.folder == folder]

    def folders_of(self, principal: str) -> Iterable[Access]:
        """Access statements that hold for a user or application now."""
        return [access for access in self.accesses.values() if access.principal == principal]

    def end(self, revoke: Revoke, seq: int) -> bool:
        """End what a revoke names; False when nothing of that name holds."""
        table: dict[str, Facts[Any]] = {
            "user": self.users, "device": self.devices, "administrator": self.administrators,
            "role": self.roles, "folder": self.folders, "application": self.applications,
            "voucher": self.vouchers, "gateway": self.gateways, "client": self.clients,
            "membership": self.memberships, "access": self.accesses,
        }  # fmt: skip
        key: object = revoke.target
        if revoke.kind in ("membership", "access"):
            key = (revoke.target, revoke.principal)
        facts = table.get(revoke.kind)
        return facts is not None and facts.end(key, seq)
