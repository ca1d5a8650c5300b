"""
The first contact: from an address and a fingerprint (or a trusted CA) to a pinned server.

With a fingerprint the server's description is fetched over a connection nobody verified, its CA
compared, and everything fetched again over a verified one. No other code skips verification.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping

import msgspec

from commander.api.http import HttpTransport
from commander.api.proxy import choose_proxy
from commander.api.tls import check_fingerprint, unverified_context, verified_context
from commander.api.transport import Transport
from commander.crypto.box import BoxPublicKey
from commander.errors import InvalidInput, SealBroken, Tampered, Unreachable
from commander.ids import is_uid
from commander.wire.calls import INFO_PATH, ServerInfo
from commander.wire.known_server import KnownServer
from commander.wire.proofs import verify_server_info

INFO_LIMIT = 64 * 1024
DEADLINE_S = 15.0
Connect = Callable[[str, ssl.SSLContext], Transport]


def connector(environment: Mapping[str, str]) -> Connect:
    """How connections to any address are made, with the proxy the environment names."""

    def connect(address: str, context: ssl.SSLContext) -> Transport:
        return HttpTransport(address, context, proxy=choose_proxy(environment, address))

    return connect


def open_transport(server: KnownServer, environment: Mapping[str, str]) -> Transport:
    """A verified transport to a pinned server."""
    return connector(environment)(server.address, verified_context(server.ca))


async def learn_server(
    address: str, connect: Connect, *, fingerprint: bytes = b"", ca: str = ""
) -> tuple[KnownServer, ServerInfo]:
    """
    Verify a server and return what to pin.

    `fingerprint` is a join string's; without it `ca` (PEM) or the machine's authorities must
    vouch for the server. Raises Tampered when CA or signature are not what they should be,
    Unreachable, InvalidInput.
    """
    if fingerprint:
        seen = await _fetch(connect(address, unverified_context()), address)
        check_fingerprint(seen.ca, fingerprint)
        ca = seen.ca
    info = await _fetch(connect(address, verified_context(ca)), address)
    _check(info, address)
    return KnownServer(address, info.server, info.sign_key, info.box_key, ca), info


async def _fetch(transport: Transport, address: str) -> ServerInfo:
    try:
        found = await transport.get(INFO_PATH, timeout_s=DEADLINE_S)
    finally:
        await transport.close()
    if found.status != 200:
        raise Unreachable(
            f"{address} answered with HTTP status {found.status}",
            hint="is it the address of a commander server?",
        )
    if len(found.body) > INFO_LIMIT:
        raise InvalidInput(f"the description of server {address} is too large")
    try:
        return msgspec.json.decode(found.body, type=ServerInfo)
    except (msgspec.MsgspecError, ValueError):
        raise InvalidInput(
            f"{address} does not describe itself as a commander server",
            hint="is the address right, and are both programs of compatible versions?",
        ) from None


def _check(info: ServerInfo, address: str) -> None:
    try:
        verify_server_info(info)
        BoxPublicKey(info.box_key)
        if not is_uid(info.server):
            raise SealBroken
    except (SealBroken, InvalidInput, OverflowError):
        raise Tampered(
            f"the description of server {address} is not signed by its own key",
            hint="do not use this server; tell an administrator",
        ) from None
