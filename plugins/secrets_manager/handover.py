"""What a new client is handed, once: a one-time token or a whole configuration. Pure."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from commander.crypto.encoding import to_base64url
from commander.ksm.config import DeviceConfig
from commander.ksm.keys import P256PrivateKey, P256PublicKey
from commander.ksm.owner import owner_key
from commander.ksm.token import OneTimeToken
from commander.vault.applications import BoundClient, text_client_id
from commander.wire.calls import ServerInfo
from commander.wire.known_server import KnownServer, split_address

CONFIG_FORMS = ("json", "b64", "k8s")
_HTTPS_PORT = 443


@dataclass(frozen=True)
class MadeClient:
    """A client whose keys were made here, and the configuration that holds them."""

    client: BoundClient
    config: DeviceConfig = field(repr=False)


def make_client(name: str, server: KnownServer, info: ServerInfo, app_key: bytes) -> MadeClient:
    """Make the keys of a client. The server learns the public half only."""
    # A client id is what a token would give; nobody keeps this token.
    token = OneTimeToken.generate()
    key = P256PrivateKey.generate()
    config = DeviceConfig(
        hostname=server.address,
        client_id=token.client_id,
        server_key_id=info.ksm_key_id,
        server_public_key=P256PublicKey(info.ksm_key),
        private_key=key,
        app_key=app_key,
        app_owner_public_key=owner_key(app_key).public,
    )
    return MadeClient(BoundClient(name, text_client_id(token), key.public.raw), config)


def config_text(made: Sequence[MadeClient], form: str) -> str:
    """The configurations in a form of CONFIG_FORMS, as a file or a variable takes them."""
    if form == "b64":
        return "\n".join(item.config.to_base64() for item in made)
    if form == "json":
        return "\n".join(item.config.to_json() for item in made)
    manifests = [manifest(item.config, number) for number, item in enumerate(made, start=1)]
    return "---\n".join(manifests)


def manifest(config: DeviceConfig, number: int = 1) -> str:
    """A Kubernetes secret, whose mounted file is the configuration."""
    name = "ksm-config" if number == 1 else f"ksm-config-{number}"
    data = base64.b64encode(config.to_json().encode()).decode()
    return (
        "apiVersion: v1\n"
        "kind: Secret\n"
        "metadata:\n"
        f"  name: {name}\n"
        "  namespace: default\n"
        "type: Opaque\n"
        "data:\n"
        f"  config: {data}\n"
    )


def token_text(token: OneTimeToken, server: KnownServer) -> str:
    """
    The token as a person passes it on.

    SDKs split at colons, so the host stands before it only where no port has to.
    """
    host, port = split_address(server.address)
    return f"{host}:{token.text}" if port == _HTTPS_PORT else token.text


def server_lines(server: KnownServer, info: ServerInfo) -> dict[str, str]:
    """What an SDK needs beside a token."""
    return {
        "hostname": server.address,
        "server_public_key_id": str(info.ksm_key_id),
        "server_public_key": to_base64url(info.ksm_key),
    }
