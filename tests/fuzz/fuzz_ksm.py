"""
Every parser of the Secrets Manager format, in text, headers, sealed and opened form.

Each input goes to all of them, once as it is and once behind a valid seal, so that the JSON
inside is reached. Documented are InvalidInput and SealBroken (with UnknownServerKey).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from commander.crypto import aead
from commander.errors import CommanderError, InvalidInput, SealBroken
from commander.ksm import base64_text, ecies, errors, request, token
from commander.ksm.config import DeviceConfig, GatewayConfig
from commander.ksm.keys import P256PrivateKey, P256PublicKey
from commander.ksm.payloads import Folder, GetSecretRequest, GetSecretResponse, Record, RecordSeals

NAME = "ksm"

_KEY = bytes(range(32))
_SERVER = P256PrivateKey.generate()
_DEVICE = P256PrivateKey.generate()
_UID = "AAAAAAAAAAAAAAAAAAAAAA"
_CONFIG = DeviceConfig("pam.example", bytes(64), 4001, _SERVER.public, _DEVICE, _KEY)
_REQUEST = GetSecretRequest(bytes(64), _DEVICE.public, (_UID,), (_UID,), True, True)
_SENT = request.build_request(_SERVER.public, 4001, _DEVICE, _REQUEST.to_payload())


def seeds() -> list[bytes]:
    """One good input for each parser."""
    record = Record(
        _UID, b"key", b"data", 1, False, files=[], links=[], commander=RecordSeals(b"x", b"y", b"z")
    )
    answer = GetSecretResponse.make(
        folders=[Folder(_UID, b"key", True, [record])], records=[record], app_data=b"sealed"
    )
    return [
        _REQUEST.to_payload(),
        answer.to_payload(),
        _CONFIG.to_json().encode(),
        _CONFIG.to_base64().encode(),
        errors.ErrorAnswer(errors.ErrorCode.KEY, "message", key_id=7).body(),
        _DEVICE.pkcs8(),
        _DEVICE.public.raw,
        ecies.seal(_SERVER.public, b"text"),
        aead.seal(_KEY, b"text"),
        _SENT.body,
        _SENT.headers["TransmissionKey"].encode(),
        _SENT.headers["Authorization"].encode(),
        token.OneTimeToken(_KEY).text.encode(),
    ]


def fuzz(data: bytes) -> None:
    """Feed all parsers; anything but a documented error comes through."""
    text = data.decode("latin-1")
    attempts: list[Callable[[], object]] = [
        lambda: GetSecretRequest.parse(data),
        lambda: GetSecretResponse.parse(data),
        lambda: DeviceConfig.parse(text),
        lambda: GatewayConfig.parse(text),
        lambda: base64_text.from_any(text, what="text", most=200),
        lambda: token.OneTimeToken.parse(text),
        lambda: token.OneTimeToken(_KEY).open_app_key(data),
        lambda: P256PrivateKey(data),
        lambda: P256PublicKey(data),
        lambda: _DEVICE.public.verify(data, b"text"),
        lambda: ecies.open_sealed(_SERVER, data),
        lambda: request.open_response(_KEY, data),
        lambda: request.open_request(_SENT.headers, data, [_SERVER]),
        lambda: request.open_request({**_SENT.headers, "PublicKeyId": text}, data, [_SERVER]),
        lambda: request.open_request({**_SENT.headers, "TransmissionKey": text}, data, [_SERVER]),
        lambda: request.open_request({**_SENT.headers, "Authorization": text}, data, [_SERVER]),
        lambda: _serve(data),
    ]
    for attempt in attempts:
        with contextlib.suppress(InvalidInput, SealBroken):
            attempt()
    # Reading an error answer never fails: it gives the error to raise.
    assert isinstance(errors.parse_error(403, data), CommanderError)


def _serve(data: bytes) -> None:
    sent = request.build_request(_SERVER.public, 4001, _DEVICE, data)
    opened = request.open_request(sent.headers, sent.body, [_SERVER])
    opened.verify_signature(_DEVICE.public)
    assert opened.payload == data
    asked = GetSecretRequest.parse(opened.payload)
    assert GetSecretRequest.parse(asked.to_payload()) == asked
