"""
Writes known answers for every format of ours into tests/vectors/own/NAME.json.

    python -m tests.vectors.make_own NAME [NAME...]

A file is written once, when its format is born, and never again: from then on it proves that
later versions still read what was stored. Nonces and ephemeral keys are random, so a second
run would give other bytes; an existing file is therefore refused. A new version of a format
gets a new file beside the old one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

from commander.audit import chain, events
from commander.codec import encode
from commander.crypto import aead, encoding, kdf, signing
from commander.crypto.box import BoxPrivateKey
from commander.ids import ApplicationUid, GatewayUid, new_uid
from commander.ksm import config, ecies, folder_names, payloads, request, token
from commander.ksm.keys import P256PrivateKey
from tests.support.device_writes import SdkDevice, b64

OWN = Path(__file__).parent / "own"
KEY = bytes(range(32))
TEXT = "Grüße, 世界".encode()
Answers = list[dict[str, object]]


def encodings() -> Answers:
    """The canonical encoder: purpose and fields to bytes."""
    cases: list[tuple[str, list[encoding.Field]]] = [
        ("empty", []),
        ("one-empty-field", [b""]),
        ("bytes", [b"\x00\x01\xff"]),
        ("text", ["Grüße, 世界"]),
        ("number", [0, 1, 2**63]),
        ("mixed", ["a", b"b", 3]),
    ]
    return [
        {
            "purpose": purpose,
            "fields": [{"hex": f.hex()} if isinstance(f, bytes) else f for f in fields],
            "encoded": encoding.encode(purpose, *fields).hex(),
        }
        for purpose, fields in cases
    ]


def sealed() -> Answers:
    """AES-256-GCM framing with and without associated data."""
    return [
        {
            "key": KEY.hex(),
            "plaintext": plaintext.hex(),
            "associated": None if associated is None else associated.hex(),
            "sealed": aead.seal(KEY, plaintext, associated).hex(),
        }
        for plaintext in (b"", TEXT)
        for associated in (None, b"", b"context")
    ]


def boxes() -> Answers:
    """HPKE boxes, with the private key that opens them."""
    private = BoxPrivateKey.generate()
    return [
        {
            "private": private.raw().hex(),
            "public": private.public.raw.hex(),
            "purpose": "vector",
            "context": ["context", 7],
            "plaintext": plaintext.hex(),
            "sealed": private.public.seal(plaintext, "vector", "context", 7).hex(),
        }
        for plaintext in (b"", TEXT)
    ]


def derived() -> Answers:
    """Derived keys, MACs and a stretched password."""
    profile = kdf.PASSWORD_PROFILES[1]
    return [
        {"what": "derive", "size": 32, "answer": kdf.derive(KEY, "vector", "context", 7).hex()},
        {
            "what": "derive-salted",
            "size": 80,
            "answer": kdf.derive(KEY, "vector", "context", 7, salt=b"salt", size=80).hex(),
        },
        {"what": "mac", "answer": kdf.mac(KEY, "vector", "context", 7).hex()},
        {
            "what": "password-profile-1",
            "answer": kdf.stretch_password(TEXT, b"0123456789abcdef", profile).hex(),
        },
    ]


def signatures() -> Answers:
    """Ed25519 over the canonical encoding."""
    key = signing.SigningKey(KEY)
    return [
        {
            "private": KEY.hex(),
            "public": key.public.raw.hex(),
            "purpose": "vector",
            "fields": ["context", 7],
            "signature": key.sign("vector", "context", 7).hex(),
        }
    ]


def secrets_manager() -> Answers:
    """One request with its answer, a token, a wrapped key and both configurations."""
    server, device = P256PrivateKey.generate(), P256PrivateKey.generate()
    one_time = token.OneTimeToken(KEY)
    asked = payloads.GetSecretRequest(one_time.client_id, device.public, ("a",), ("b",), True, True)
    sent = request.build_request(server.public, 4001, device, asked.to_payload())
    box = BoxPrivateKey.generate()
    kept = config.DeviceConfig(
        "pam.example:8443", one_time.client_id, 4001, server.public, device, KEY, server.public
    )
    identity = config.GatewayIdentity(
        GatewayUid(new_uid()), ApplicationUid(new_uid()), signing.SigningKey(KEY), box, box.public,
        bytes(32), "-----BEGIN CERTIFICATE-----\n",
    )  # fmt: skip
    return [
        {
            "server": server.pkcs8().hex(),
            "device": device.pkcs8().hex(),
            "token": one_time.text,
            "client_id": one_time.client_id.hex(),
            "voucher_public": one_time.voucher_key.public.raw.hex(),
            "sealed_app_key": one_time.seal_app_key(bytes(32)).hex(),
            "ecies": ecies.seal(server.public, TEXT).hex(),
            "plaintext": TEXT.hex(),
            "headers": sent.headers,
            "body": sent.body.hex(),
            "payload": asked.to_payload().decode(),
            "answer": request.seal_response(sent.transmission_key, TEXT).hex(),
            "transmission_key": sent.transmission_key.hex(),
            "device_config": kept.to_base64(),
            "gateway_config": config.GatewayConfig(kept, identity).to_base64(),
        }
    ]


def audit() -> Answers:
    """One chain with an event of every kind."""
    writer = chain.ChainWriter("vector-producer", signing.SigningKey(KEY))
    answers: Answers = []
    for number, kind in enumerate(events.KINDS.values()):
        event = kind(**{name: _sample(hint, name) for name, hint in _hints(kind).items()})
        entry = writer.seal(event, time_ms=1_800_000_000_000 + number)
        writer.confirm(entry)
        answers.append({"kind": entry.kind, "entry": entry.to_bytes().hex()})
    answers.append(
        {"kind": "head", "public": signing.SigningKey(KEY).public.raw.hex(),
         "hash": writer.head.hash.hex()}
    )  # fmt: skip
    return answers


def device_writes() -> Answers:
    """A device's signed request as it is stored, with a folder key and name in SDK form."""
    device = SdkDevice(ApplicationUid(new_uid()))
    folder, domain = new_uid(), new_uid()
    write = device.sign(
        folderUid=folder,
        sharedFolderUid=domain,
        sharedFolderKey=b64(folder_names.seal_key(KEY, KEY[::-1])),
        data=b64(folder_names.seal_name(KEY[::-1], TEXT.decode())),
        parentUid=None,
    )
    return [
        {
            "write": encode(write).hex(),
            "digest": write.digest().hex(),
            "folder": folder,
            "domain": domain,
            "root_key": KEY.hex(),
            "name": TEXT.decode(),
        }
    ]


def _hints(kind: type[events.Event]) -> dict[str, type]:
    return get_type_hints(kind)


def _sample(hint: type, name: str) -> object:
    return {str: f"<{name}>", int: len(name), bytes: name.encode()}[hint]


FILES: dict[str, Callable[[], Answers]] = {
    "encoding": encodings,
    "aead": sealed,
    "box": boxes,
    "kdf": derived,
    "signing": signatures,
    "ksm": secrets_manager,
    "audit": audit,
    "device_writes": device_writes,
}


def main(names: list[str]) -> int:
    """Write the named files; 1 when one is there already."""
    for name in names:
        path = OWN / f"{name}.json"
        if path.exists():
            sys.stderr.write(f"{path} is there already and must never change\n")
            return 1
        path.write_text(json.dumps(FILES[name](), indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
