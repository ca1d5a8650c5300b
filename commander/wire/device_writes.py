"""
Writes of Secrets Manager devices: the signed request itself is the seal.

A device signs `transmission key wrapped | body`. The server keeps both, the signature and the
32-byte transmission key, which opens nothing but this one body, and hands them out; so everyone
who reads sees what the device signed: which record, after which revision, what data. The path of
the request is not signed, so only the content says what was asked (`ksm.writes`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from commander.authority.refusals import Code
from commander.authority.state import State
from commander.authority.statements import client_uid
from commander.codec import Message, encode
from commander.crypto import aead
from commander.crypto.kdf import sha256
from commander.errors import InvalidInput, Refused, SealBroken
from commander.ids import ApplicationUid, ClientUid
from commander.ksm import base64_text
from commander.ksm.keys import P256PublicKey
from commander.ksm.request import MAX_REQUEST_BYTES, verify_signature
from commander.ksm.writes import (
    AddFile,
    CreateFolder,
    CreateSecret,
    DeleteFolders,
    DeleteSecrets,
    UpdateFolder,
    UpdateSecret,
    Write,
    read_write,
)

NO_KEYS: Mapping[str, bytes] = MappingProxyType({})


class DeviceWrite(Message, frozen=True):
    """One signed request of a device, with the key that opens its body."""

    application: ApplicationUid
    client_id: str
    device_key: bytes
    wrapped_key: bytes
    body: bytes
    signature: bytes
    transmission_key: bytes

    def digest(self) -> bytes:
        """What stands in a seal in place of an author's signature."""
        return sha256(encode(self))


@dataclass(frozen=True)
class DeviceAuthor:
    """
    The device that wrote something.

    `is_confirmed`: the log names its key. Else it is the key of whoever used the one-time token
    first, as the server says; pin it, and give it to the next verification.
    """

    client: ClientUid
    application: ApplicationUid
    device_key: bytes
    is_confirmed: bool


def open_write(write: DeviceWrite) -> Write:
    """
    Verify the signature under the key the write names, and read what was signed.

    Whether the key is the device's is `author_of`'s question. Raises Refused(seal-broken).
    """
    if len(write.body) > MAX_REQUEST_BYTES:
        raise _broken()
    try:
        verify_signature(
            P256PublicKey(write.device_key), write.signature, write.wrapped_key, write.body
        )
        content = read_write(aead.open_sealed(write.transmission_key, write.body))
    except (SealBroken, InvalidInput):
        raise _broken() from None
    if base64_text.to_standard(content.client_id) != write.client_id:
        raise _broken()
    return content


def author_of(
    state: State,
    write: DeviceWrite,
    *,
    log_seq: int | None = None,
    device_keys: Mapping[str, bytes] = NO_KEYS,
) -> DeviceAuthor:
    """
    The device behind a write, as the log knows it at a position (None: ever).

    `device_keys` are keys pinned at the first use of clients that nobody has confirmed.
    Raises Refused(seal-author) for a client never announced, removed by then, of another
    application, or with another key.
    """
    client = client_uid(write.client_id)
    if log_seq is not None and not 0 <= log_seq <= state.seq:
        raise Refused("a device's write names an unknown log position", code=Code.SEAL_AUTHOR)
    found = _stated(state, client, write.client_id, log_seq)
    if found is None or found[0] != write.application:
        raise Refused(f"client {client} was no device of its application", code=Code.SEAL_AUTHOR)
    known = found[1] or device_keys.get(client, write.device_key)
    if known != write.device_key:
        raise Refused(
            f"client {client} signed with another key than its own", code=Code.SEAL_AUTHOR
        )
    return DeviceAuthor(client, write.application, write.device_key, found[1] != b"")


def _stated(
    state: State, client: ClientUid, client_id: str, at: int | None
) -> tuple[str, bytes] | None:
    """Application and confirmed key (empty: unconfirmed) of a client or gateway."""
    latest = state.clients.latest(client)
    holds = latest if at is None else state.clients.get(client, at)
    if holds is not None and latest is not None:
        # Who was confirmed later had the same key before.
        return holds.application, latest.ksm_key
    for gateway in state.gateways.values(at):
        if gateway.client_id == client_id:
            return gateway.application, gateway.ksm_key
    return None


def check_record_content(
    content: Write,
    *,
    record: str,
    folder: str,
    inner_folder: str,
    revision: int,
    record_key: bytes,
    payload: bytes,
    ancestors: Collection[str] | None,
) -> None:
    """
    Return when a signed request says what a record's revision claims. Raises Refused.

    An empty payload is a deletion. `ancestors` are the folders the record was in, from its own
    up, as far as the reader knows (None: not known).
    """
    match content:
        case CreateSecret():
            fits = (
                revision == 1
                and (content.record, content.folder, content.inner_folder, content.folder_key)
                == (record, folder, inner_folder, record_key)
                and content.data == payload
            )
        case UpdateSecret() | AddFile():
            fits = content.record == record and content.data == payload
            # The device saw the revision before, so an old request fits no other place.
            fits = fits and content.revision in (revision - 1, None)
        case DeleteSecrets():
            fits = payload == b"" and record in content.records
        case DeleteFolders():
            fits = payload == b"" and content.is_forced and _is_within(ancestors, content.folders)
        case _:
            fits = False
    if not fits:
        raise _other(f"record {record}")


def check_folder_content(
    content: Write,
    *,
    folder: str,
    domain: str,
    revision: int,
    payload: bytes,
    ancestors: Collection[str] | None,
) -> None:
    """As `check_record_content`, for a folder's name; an empty payload is a deletion."""
    match content:
        case CreateFolder():
            fits = revision == 1 and (content.folder, content.domain, content.data) == (
                folder, domain, payload,
            )  # fmt: skip
        case UpdateFolder():
            fits = (content.folder, content.data) == (folder, payload)
        case DeleteFolders():
            inside = content.is_forced and _is_within(ancestors, content.folders)
            fits = payload == b"" and folder != domain and (folder in content.folders or inside)
        case _:
            fits = False
    if not fits:
        raise _other(f"folder {folder}")


def _is_within(ancestors: Collection[str] | None, folders: Collection[str]) -> bool:
    return ancestors is None or not set(folders).isdisjoint(ancestors)


def _other(what: str) -> Refused:
    return Refused(f"the device did not sign this revision of {what}", code=Code.SEAL_BROKEN)


def _broken() -> Refused:
    return Refused("a device's signed request does not verify", code=Code.SEAL_BROKEN)
