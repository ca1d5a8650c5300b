"""
What this device remembers of Secrets Manager devices, and checks beyond a single version. Pure.

* The key of a client that nobody has confirmed is pinned when it is first seen: whoever used the one-time
  token first stays the author of what the client writes.
* A signed request that names no revision (a folder's new name, a file added by some SDKs) counts once: a server
  that shows an old one again as a new revision is found out.
* What a device makes has its key wrapped to the application's owner. Wrapped to somebody else, the
  server gave the device another owner's key, and can read what the device made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from commander.authority.refusals import Code
from commander.authority.state import State
from commander.crypto.kdf import sha256
from commander.errors import Refused
from commander.ksm.owner import is_wrapped_to_owner
from commander.ksm.writes import AddFile, CreateSecret, UpdateFolder
from commander.wire.calls import SyncAnswer
from commander.wire.device_writes import DeviceWrite, author_of, open_write
from commander.wire.seals import (
    RecordSeal,
    RecordVersion,
    read_record_seal,
)

# Of each object so many requests are remembered; with 32 bytes each that is 32 KiB.
MAX_REQUESTS = 1_024


@dataclass
class SeenDevices:
    """Keys by client UID; of each object ("record/UID", "folder/UID") request digest to revision."""

    keys: dict[str, bytes] = field(default_factory=dict)
    requests: dict[str, dict[bytes, int]] = field(default_factory=dict)

    def accept(self, state: State, name: str, revision: int, write: DeviceWrite) -> None:
        """Check a verified version's request against what was seen, and remember it. Raises Refused."""
        author = author_of(state, write, device_keys=self.keys)
        content = open_write(write)
        # The rest is bound to its revision: a creation is the first, an update names what it saw.
        if isinstance(content, UpdateFolder) or (
            isinstance(content, AddFile) and content.revision is None
        ):
            self._count(name, revision, write)
        if not author.is_confirmed:
            self.keys.setdefault(author.client, author.device_key)

    def _count(self, name: str, revision: int, write: DeviceWrite) -> None:
        # Of what was signed, not of the signature: ECDSA has a second one for every first.
        digest = sha256(write.wrapped_key + write.body)
        seen = self.requests.setdefault(name, {})
        if seen.get(digest, revision) != revision:
            raise Refused(
                f"revision {revision} of {name} is a device's request of revision {seen[digest]} again",
                code=Code.SEAL_REVISION,
            )
        seen[digest] = revision
        while len(seen) > MAX_REQUESTS:
            del seen[next(iter(seen))]

    def copy(self) -> SeenDevices:
        """One to try a sequence of versions on."""
        requests = {name: dict(seen) for name, seen in self.requests.items()}
        return SeenDevices(dict(self.keys), requests)

    def stored(self) -> dict[str, dict[str, int]]:
        """The requests as they are kept: digests in hex."""
        return {
            name: {digest.hex(): revision for digest, revision in seen.items()}
            for name, seen in self.requests.items()
        }

    @classmethod
    def restore(
        cls, keys: Mapping[str, bytes], requests: Mapping[str, Mapping[str, int]]
    ) -> SeenDevices:
        """The inverse of `keys` and `stored`. Raises ValueError for what is no digest."""
        found = {
            name: {bytes.fromhex(digest): revision for digest, revision in seen.items()}
            for name, seen in requests.items()
        }
        return cls(dict(keys), found)


def check_owner(write: DeviceWrite, application_key: bytes | None, record_key: bytes) -> None:
    """
    Raise Refused when a device made a record for another owner than its application's.

    Without the application's key there is nothing to compare with.
    """
    content = open_write(write)
    if application_key is None or not isinstance(content, CreateSecret):
        return
    if not is_wrapped_to_owner(application_key, content.owner_key, record_key):
        raise Refused(
            f"record {content.record}: the server gave the device that made it another owner's key, "
            "and can read it",
            code=Code.SEAL_BROKEN,
            hint="change what is in it; do not use this server; tell an administrator",
        )


def files_of(versions: Iterable[RecordVersion]) -> dict[str, AddFile]:
    """Of each file what the device signed that attached it, from verified revisions of a record."""
    written = (open_write(version.write) for version in versions if version.write is not None)
    return {content.file: content for content in written if isinstance(content, AddFile)}


def ancestors_of(folder: str, domain: str, parents: Mapping[str, str]) -> frozenset[str]:
    """A folder's UID and those above it up to its domain, by what was verified before."""
    found = {domain}
    current = folder
    while current and current not in found:
        found.add(current)
        current = parents.get(current, "")
    return frozenset(found)


def records_with_gaps(
    records: Sequence[RecordVersion], pinned_of: Callable[[str], RecordSeal | None]
) -> Iterator[RecordSeal]:
    """
    Pinned seals of records that a device wrote after revisions that are not known here.

    A device's request says nothing of where a record is: for such a one the revisions between
    are needed, since one of them may have moved it.
    """
    for version in records:
        if version.write is None:
            continue
        seal = read_record_seal(version.seal)
        pinned = pinned_of(seal.record)
        if pinned is None or seal.revision <= pinned.revision + 1:
            continue
        if (pinned.folder, pinned.inner_folder) != (seal.folder, seal.inner_folder) or seal.deleted:
            yield pinned


def fill_gap(
    answer: SyncAnswer, pinned: RecordSeal, history: Sequence[RecordVersion]
) -> SyncAnswer:
    """The answer with the revisions after the pinned one in front of those it has."""
    before = []
    for version in history:
        seal = read_record_seal(version.seal)
        is_new = seal.record == pinned.record and seal.revision > pinned.revision
        if is_new and version not in answer.records:
            before.append(version)
    return msgspec.structs.replace(answer, records=(*before, *answer.records))
