"""An address of its own for each record (127.x.y.z), and a name under `localhost`; the same every day."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from commander.errors import Conflict, InvalidInput
from commander.files import make_private_directory, read_private, write_private

MAX_RECORDS = 10_000
MAX_NAME = 50
# 127.64.0.0 to 127.127.255.255: away from 127.0.0.1, from 127.0.0.53 (systemd-resolved) and from
# 127.0.1.1 (the host's own name on Debian).
_FIRST = int(ipaddress.IPv4Address("127.64.0.0"))
_COUNT = 64 * 256 * 256
_OTHER = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Natural:
    """Where a record listens with its target's own port, and what it is called there."""

    address: str
    name: str


class LoopbackAddresses:
    """
    Addresses and names by record UID in a private JSON file; a damaged file counts as empty.

    Both follow from record and title alone, so that a lost file changes them only for records
    that had collided.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, record: str, title: str) -> Natural:
        """
        The record's address and name; kept from now on. A new title gives a new name.

        Raises Conflict when 10,000 records have one.
        """
        known = self._read()
        found = known.pop(record, None)
        stem = name_stem(title, record)
        address = found.address if found else choose_address(record, _addresses(known))
        name = (
            found.name if found and _is_of(found.name, stem) else choose_name(stem, _names(known))
        )
        natural = Natural(address, name)
        if natural == found:
            return natural
        if len(known) >= MAX_RECORDS:
            raise Conflict(f"{MAX_RECORDS} records have an address", hint=f"remove {self._path}")
        known[record] = natural
        make_private_directory(self._path.parent)
        content = {uid: [one.address, one.name] for uid, one in known.items()}
        write_private(self._path, json.dumps(content).encode())
        return natural

    def _read(self) -> dict[str, Natural]:
        try:
            content = json.loads(read_private(self._path, limit=4 * 1024 * 1024))
        except (FileNotFoundError, InvalidInput, ValueError):
            return {}
        if not isinstance(content, dict):
            return {}
        found = {}
        for record, values in content.items():
            match values:
                case [str(address), str(name)] if _is_ours(address) and name:
                    found[record] = Natural(address, name)
        return found


def choose_address(record: str, taken: Collection[str]) -> str:
    """The first free address from the one that the record's hash points at."""
    start = int.from_bytes(hashlib.sha256(record.encode()).digest()[:8], "big")
    for step in range(_COUNT):
        address = ipaddress.IPv4Address(_FIRST + (start + step) % _COUNT)
        if address.packed[3] not in (0, 255) and str(address) not in taken:
            return str(address)
    raise Conflict("no loopback address is left")


def name_stem(title: str, record: str) -> str:
    """A title as one label of a host name; the record's UID when nothing of it can be one."""
    stem = _OTHER.sub("-", title.lower()).strip("-")[:MAX_NAME].strip("-")
    return stem or _OTHER.sub("-", record.lower()).strip("-")


def choose_name(stem: str, taken: Collection[str]) -> str:
    """The stem, or the first of stem-2, stem-3, ... that is free."""
    number = 2
    name = stem
    while name in taken:
        name = f"{stem}-{number}"
        number += 1
    return name


def _is_of(name: str, stem: str) -> bool:
    return name == stem or re.fullmatch(rf"{re.escape(stem)}-\d+", name) is not None


def _is_ours(address: str) -> bool:
    try:
        number = int(ipaddress.IPv4Address(address))
    except ValueError:
        return False
    return _FIRST <= number < _FIRST + _COUNT


def _addresses(known: dict[str, Natural]) -> set[str]:
    return {one.address for one in known.values()}


def _names(known: dict[str, Natural]) -> set[str]:
    return {one.name for one in known.values()}
