"""
What a Secrets Manager device, an uploader or an evil server may send: writes, kept requests, folder
names, tickets, multipart bodies.

Each input goes to all of them; documented are InvalidInput, SealBroken and Refused.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

from commander.backend.http.multipart import FilePart
from commander.backend.services.devices.tickets import Direction, Ticket, read_ticket, write_ticket
from commander.codec import decode, encode
from commander.errors import InvalidInput, Refused, SealBroken
from commander.ids import ApplicationUid
from commander.ksm import folder_names
from commander.ksm.owner import is_wrapped_to_owner
from commander.ksm.token import OneTimeToken
from commander.ksm.writes import read_write
from commander.wire.device_writes import DeviceWrite, open_write
from tests.support.device_writes import SdkDevice, b64

NAME = "device_api"

_KEY = bytes(range(32))
_UID = "A" * 22
_DEVICE = SdkDevice(ApplicationUid(_UID), token=OneTimeToken(_KEY))
_WRITES: list[dict[str, object]] = [
    {"recordUid": _UID, "data": b64(bytes(40)), "revision": 1, "links2Remove": [_UID]},
    {"recordUid": _UID},
    {"recordUids": [_UID]},
    {"folderUids": [_UID], "forceDeletion": True},
    {"folderUid": _UID, "data": b64(bytes(48))},
    {
        "folderUid": _UID, "sharedFolderUid": _UID, "sharedFolderKey": b64(bytes(64)),
        "data": b64(bytes(48)), "parentUid": _UID,
    },
    {
        "recordUid": _UID, "folderUid": _UID, "recordKey": b64(bytes(125)),
        "folderKey": b64(bytes(60)), "data": b64(bytes(40)), "subFolderUid": _UID,
    },
    {
        "fileRecordUid": _UID, "fileRecordKey": b64(bytes(125)), "fileRecordData": b64(bytes(40)),
        "ownerRecordUid": _UID, "ownerRecordData": b64(bytes(40)), "ownerRecordRevision": 1,
        "linkKey": b64(bytes(60)), "fileSize": 100,
    },
]  # fmt: skip
_CLIENT = b64(_DEVICE.token.client_id)
_TICKET = write_ticket(_KEY, Ticket(Direction.DOWNLOAD, _UID, _CLIENT, 2**40))
_BODY = (
    b'\r\n--b\r\nContent-Disposition: form-data; name="version"\r\n\r\n1'
    b'\r\n--b\r\nContent-Disposition: form-data; name="file"\r\nContent-Type: a/b\r\n\r\nxyz'
    b"\r\n--b--\r\n"
)


def seeds() -> list[bytes]:
    """One good input for each parser."""
    payloads = [json.dumps({"clientId": _CLIENT, **content}).encode() for content in _WRITES]
    return [
        *payloads,
        encode(_DEVICE.sign(**_WRITES[0])),
        folder_names.seal_name(_KEY, "Name"),
        folder_names.seal_key(_KEY, _KEY),
        _TICKET.encode(),
        _BODY,
        b"multipart/form-data; boundary=b",
    ]


def fuzz(data: bytes) -> None:
    """Feed all parsers; anything but a documented error comes through."""
    text = data.decode("latin-1")
    attempts: list[Callable[[], object]] = [
        lambda: read_write(data),
        lambda: open_write(decode(DeviceWrite, data)),
        lambda: open_write(_DEVICE.sign_raw(data)),
        lambda: folder_names.open_name(_KEY, data),
        lambda: folder_names.open_key(_KEY, data),
        lambda: read_ticket(_KEY, text, Direction.DOWNLOAD, now=0),
        lambda: is_wrapped_to_owner(_KEY, data, _KEY),
        lambda: FilePart(text),
        lambda: _upload(data, len(data)),
        lambda: _upload(data, 3),
    ]
    for attempt in attempts:
        with contextlib.suppress(InvalidInput, SealBroken, Refused):
            attempt()


def _upload(data: bytes, step: int) -> None:
    part, found = FilePart("multipart/form-data; boundary=b"), b""
    for start in range(0, len(data), max(step, 1)):
        found += part.receive(data[start : start + step])
    part.finish()
    assert found in data
