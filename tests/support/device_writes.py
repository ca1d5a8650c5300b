"""Requests as Secrets Manager devices sign them, and what the server makes of them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from commander.authority.statements import Client, client_uid
from commander.crypto import aead
from commander.ids import ApplicationUid, DeviceUid
from commander.ksm import ecies
from commander.ksm.keys import P256PrivateKey
from commander.ksm.request import build_request
from commander.ksm.token import OneTimeToken
from commander.wire.device_writes import DeviceWrite

SERVER_KEY = P256PrivateKey.generate()


def b64(raw: bytes) -> str:
    """Standard base64, as keys travel."""
    return base64.b64encode(raw).decode()


@dataclass
class SdkDevice:
    """A device of an application, as an SDK would be it."""

    application: ApplicationUid
    token: OneTimeToken = field(default_factory=OneTimeToken.generate)
    key: P256PrivateKey = field(default_factory=P256PrivateKey.generate)
    owner: P256PrivateKey = field(default_factory=P256PrivateKey.generate)

    @property
    def client_id(self) -> str:
        """The client id as text."""
        return b64(self.token.client_id)

    @property
    def uid(self) -> DeviceUid:
        """The author that seals name."""
        return DeviceUid(client_uid(self.client_id))

    def statement(self, *, confirmed: bool = True) -> Client:
        """What the log says of it."""
        key = self.key.public.raw if confirmed else b""
        return Client(client_uid(self.client_id), self.application, self.client_id, key)

    def sign(self, **payload: Any) -> DeviceWrite:
        """A signed request as the server keeps it."""
        content = {"clientVersion": "mp17.3.0", "clientId": self.client_id, **payload}
        return self.sign_raw(json.dumps(content, indent=4).encode())

    def sign_raw(self, payload: bytes) -> DeviceWrite:
        """A signed request with any payload."""
        sent = build_request(SERVER_KEY.public, 4001, self.key, payload)
        return DeviceWrite(
            application=self.application,
            client_id=self.client_id,
            device_key=self.key.public.raw,
            wrapped_key=base64.b64decode(sent.headers["TransmissionKey"]),
            body=sent.body,
            signature=base64.b64decode(sent.headers["Authorization"].removeprefix("Signature ")),
            transmission_key=sent.transmission_key,
        )

    def create_secret(
        self,
        record: str,
        folder: str,
        *,
        folder_key: bytes,
        record_key: bytes,
        data: bytes,
        inner: str = "",
    ) -> dict[str, Any]:
        """The payload of `create_secret`, and nothing else."""
        return {
            "recordUid": record,
            "recordKey": b64(ecies.seal(self.owner.public, record_key)),
            "folderUid": folder,
            "folderKey": b64(aead.seal(folder_key, record_key)),
            "data": b64(data),
            "subFolderUid": inner or None,
        }
