"""
Configurations: what a Secrets Manager device keeps, and what our gateway keeps.

A device configuration is a JSON object of seven texts (`appOwnerPublicKey` may be missing where
an application only reads). Some SDKs refuse any further key and any number, so exactly these are
written. A gateway configuration is the same with one object `commander`. Both are handed over as
JSON or as one line of standard base64 of it. Neither form has a version of its own; `commander`
has one, and the seven keys are a foreign format that never changed.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from commander.crypto import signing
from commander.crypto.box import BoxPrivateKey, BoxPublicKey
from commander.crypto.encoding import from_base64url, to_base64url
from commander.errors import InvalidInput
from commander.ids import ApplicationUid, GatewayUid, parse_uid
from commander.ksm import base64_text, strict_json
from commander.ksm.errors import BUILT_IN_KEY_IDS
from commander.ksm.keys import PKCS8_BYTES, POINT_BYTES, P256PrivateKey, P256PublicKey
from commander.ksm.request import MAX_KEY_ID
from commander.ksm.token import APP_KEY_BYTES, CLIENT_ID_BYTES

MAX_CONFIG_BYTES = 64 * 1024
GATEWAY_VERSION = 1
FINGERPRINT_BYTES = 32

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([1-9][0-9]{0,4}))?\Z")
_Short = Annotated[str, msgspec.Meta(max_length=512)]
_Long = Annotated[str, msgspec.Meta(max_length=16 * 1024)]


@dataclass(frozen=True)
class DeviceConfig:
    """All that a bound device needs; private parts do not show in its repr."""

    hostname: str
    client_id: bytes
    server_key_id: int
    server_public_key: P256PublicKey
    private_key: P256PrivateKey = field(repr=False)
    app_key: bytes = field(repr=False)
    app_owner_public_key: P256PublicKey | None = None

    def to_json(self) -> str:
        """
        Write the configuration that an SDK is given.

        Raises InvalidInput for a host name with "http" in it, which the Python SDK
        would take for a scheme, and for a key id that SDKs have a key of their own for.
        """
        if "http" in self.hostname.lower():
            raise InvalidInput(
                f"host name {self.hostname!r} contains 'http', which SDKs misread",
                hint="give the server another DNS name",
            )
        return json.dumps(_device_fields(self), indent=2)

    def to_base64(self) -> str:
        """Write the one-line form, as for KSM_CONFIG."""
        return base64_text.to_standard(self.to_json().encode())

    @classmethod
    def parse(cls, text: str) -> DeviceConfig:
        """Read JSON or its base64. Raises InvalidInput without quoting values."""
        wire = strict_json.decode_object(
            _json_of(text), _DeviceWire, what="configuration", limit=MAX_CONFIG_BYTES
        )
        return _device_of(wire)


@dataclass(frozen=True)
class GatewayIdentity:
    """The `commander` object: who the gateway is, and what it trusts from its first minute."""

    gateway: GatewayUid
    application: ApplicationUid
    signing_key: signing.SigningKey = field(repr=False)
    box_key: BoxPrivateKey = field(repr=False)
    server_box_key: BoxPublicKey = field(repr=False)
    root_fingerprint: bytes
    ca_pem: str = field(repr=False)


@dataclass(frozen=True)
class GatewayConfig:
    """A gateway's whole configuration: a device configuration and an identity."""

    device: DeviceConfig
    identity: GatewayIdentity

    def to_json(self) -> str:
        """Write the form kept in gateway-config.json (0600: it holds every key)."""
        return json.dumps(
            {**_device_fields(self.device), "commander": _identity_fields(self.identity)}, indent=2
        )

    def to_base64(self) -> str:
        """Write the one-line form, as for GATEWAY_CONFIG."""
        return base64_text.to_standard(self.to_json().encode())

    @classmethod
    def parse(cls, text: str) -> GatewayConfig:
        """Read JSON or its base64. Raises InvalidInput without quoting values."""
        wire = strict_json.decode_object(
            _json_of(text), _GatewayWire, what="gateway configuration", limit=MAX_CONFIG_BYTES
        )
        return cls(_device_of(wire), _identity_of(wire.commander))


class _DeviceWire(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    hostname: _Short
    client_id: _Short
    private_key: _Short
    app_key: _Short
    server_public_key_id: _Short
    server_public_key: _Short
    app_owner_public_key: _Short | msgspec.UnsetType = msgspec.UNSET


class _IdentityWire(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    version: int
    gateway: _Short
    application: _Short
    signing_key: _Short
    box_key: _Short
    server_box_key: _Long
    root_fingerprint: _Short
    ca: _Long


class _GatewayWire(
    _DeviceWire, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True
):
    commander: _IdentityWire


def _json_of(text: str) -> bytes:
    if len(text) > 2 * MAX_CONFIG_BYTES:
        raise InvalidInput(f"configuration is longer than {MAX_CONFIG_BYTES} bytes")
    try:
        if text.lstrip().startswith("{"):
            return text.encode()
        return base64.b64decode(text.strip(), validate=True)
    except (UnicodeEncodeError, ValueError, binascii.Error):
        raise InvalidInput("configuration is neither JSON nor base64 of it") from None


def _device_fields(config: DeviceConfig) -> dict[str, object]:
    fields: dict[str, object] = {
        "hostname": _check_host(config.hostname),
        "clientId": base64_text.to_standard(config.client_id),
        "privateKey": base64_text.to_standard(config.private_key.pkcs8()),
        "appKey": base64_text.to_standard(config.app_key),
        "serverPublicKeyId": str(_check_key_id(config.server_key_id)),
        # Two SDKs insist on this alphabet here, and one on no padding.
        "serverPublicKey": to_base64url(config.server_public_key.raw),
    }
    if config.app_owner_public_key is not None:
        fields["appOwnerPublicKey"] = base64_text.to_standard(config.app_owner_public_key.raw)
    return fields


def _device_of(wire: _DeviceWire) -> DeviceConfig:
    key_id = wire.server_public_key_id
    if not key_id.isascii() or not key_id.isdigit() or len(key_id) > 10:
        raise InvalidInput("serverPublicKeyId is not a key number")
    owner = wire.app_owner_public_key
    return DeviceConfig(
        hostname=_check_host(wire.hostname),
        client_id=_exactly(wire.client_id, "clientId", CLIENT_ID_BYTES),
        server_key_id=_check_key_id(int(key_id)),
        server_public_key=P256PublicKey(
            _exactly(wire.server_public_key, "serverPublicKey", POINT_BYTES)
        ),
        private_key=P256PrivateKey(_exactly(wire.private_key, "privateKey", PKCS8_BYTES)),
        app_key=_exactly(wire.app_key, "appKey", APP_KEY_BYTES),
        app_owner_public_key=None
        if owner is msgspec.UNSET
        else P256PublicKey(_exactly(owner, "appOwnerPublicKey", POINT_BYTES)),
    )


def _identity_fields(identity: GatewayIdentity) -> dict[str, object]:
    return {
        "version": GATEWAY_VERSION,
        "gateway": identity.gateway,
        "application": identity.application,
        "signingKey": to_base64url(identity.signing_key.raw()),
        "boxKey": to_base64url(identity.box_key.raw()),
        "serverBoxKey": to_base64url(identity.server_box_key.raw),
        "rootFingerprint": to_base64url(identity.root_fingerprint),
        "ca": identity.ca_pem,
    }


def _identity_of(wire: _IdentityWire) -> GatewayIdentity:
    if wire.version != GATEWAY_VERSION:
        raise InvalidInput(
            f"gateway configuration has version {wire.version}, not {GATEWAY_VERSION}",
            hint="update the gateway",
        )
    root = from_base64url(wire.root_fingerprint)
    if len(root) != FINGERPRINT_BYTES:
        raise InvalidInput(f"rootFingerprint has {len(root)} bytes, not {FINGERPRINT_BYTES}")
    return GatewayIdentity(
        gateway=GatewayUid(parse_uid(wire.gateway)),
        application=ApplicationUid(parse_uid(wire.application)),
        signing_key=signing.SigningKey(from_base64url(wire.signing_key)),
        box_key=BoxPrivateKey(from_base64url(wire.box_key)),
        server_box_key=BoxPublicKey(from_base64url(wire.server_box_key)),
        root_fingerprint=root,
        ca_pem=wire.ca,
    )


def _check_host(hostname: str) -> str:
    found = _HOST.match(hostname)
    if not found or int(found[1] or 1) > 65535:
        raise InvalidInput(f"{hostname[:60]!r} is not a host name with an optional port")
    return hostname


def _check_key_id(number: int) -> int:
    if number in BUILT_IN_KEY_IDS or not 0 < number <= MAX_KEY_ID:
        raise InvalidInput(f"{number} is not a key id of our servers (21 to {MAX_KEY_ID})")
    return number


def _exactly(text: str, what: str, size: int) -> bytes:
    return base64_text.from_any(text, what=what, least=size, most=size)
