"""
From a one-time token to a gateway: keys made here, certified by the token's voucher key.

    join string -> verified server -> log, checked to the pinned root -> own keys -> `gateway`
    statement signed by the voucher key -> /gateway/enrol -> application key -> configuration

The server never holds the token, so it can't certify a key of its own; neither can it learn the
application key, which comes sealed under the token.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from commander.api.bootstrap import connector, learn_server, open_transport
from commander.api.client import Api
from commander.authority.log import apply, replay
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.authority.statements import Gateway, Statement, Voucher, sign_statement
from commander.clock import Clock
from commander.crypto.box import BoxPrivateKey, BoxPublicKey
from commander.crypto.signing import SigningKey
from commander.errors import (
    Conflict,
    Refused,
    SealBroken,
    Tampered,
    Unreachable,
)
from commander.files import (
    check_own_directory,
    make_private_directory,
    read_private,
    write_private,
)
from commander.ids import ApplicationUid, GatewayUid, new_uid
from commander.ksm import base64_text
from commander.ksm.config import MAX_CONFIG_BYTES, DeviceConfig, GatewayConfig, GatewayIdentity
from commander.ksm.keys import P256PrivateKey, P256PublicKey
from commander.ksm.token import OneTimeToken
from commander.secret import Secret
from commander.wire.calls import ENROL, ENROL_BEGIN, EnrolAnswer, EnrolRequest, ServerInfo
from commander.wire.join import Join, read_join
from commander.wire.known_server import KnownServer, normal_address
from commander.wire.proofs import sign_enrol_begin

TRIES = 5
CONFIG_ROOM = 16 * 1024  # a configuration takes about half of it


@dataclass(frozen=True)
class NewKeys:
    """What a gateway makes for itself; no private half leaves this process but into its file."""

    gateway: GatewayUid
    signing: SigningKey = field(default_factory=SigningKey.generate, repr=False)
    box: BoxPrivateKey = field(default_factory=BoxPrivateKey.generate, repr=False)
    ksm: P256PrivateKey = field(default_factory=P256PrivateKey.generate, repr=False)

    @classmethod
    def generate(cls) -> NewKeys:
        """Make all of them."""
        return cls(GatewayUid(new_uid()))


def find_voucher(state: State, token: OneTimeToken) -> Voucher:
    """
    The log's voucher for a token. Raises Refused (token-unknown, voucher-used).

    That the key stands in a log that begins with the pinned root is what makes the server's
    word unnecessary.
    """
    key = token.voucher_key.public.raw
    found = next((v for v in state.vouchers.values() if v.public_key == key), None)
    if found is None or found.purpose != "gateway":
        raise Refused(
            "the authority log has no voucher for this one-time token",
            code=Code.TOKEN_UNKNOWN,
            hint="ask for a new one: pam gateway new",
        )
    if found.voucher in state.used_vouchers:
        raise Refused(
            "the one-time token was used before",
            code=Code.TOKEN_USED,
            hint="ask for a new one: pam gateway new",
        )
    return found


def gateway_statement(
    state: State, token: OneTimeToken, keys: NewKeys, *, now: int
) -> tuple[Statement, Voucher]:
    """The certificate of the new gateway, tried against the log before anyone sees it. Raises Refused."""
    voucher = find_voucher(state, token)
    body = Gateway(
        gateway=keys.gateway,
        application=_application(voucher),
        voucher=voucher.voucher,
        client_id=base64_text.to_standard(token.client_id),
        sign_key=keys.signing.public.raw,
        box_key=keys.box.public.raw,
        ksm_key=keys.ksm.public.raw,
    )
    statement = sign_statement(
        body,
        seq=state.seq + 1,
        prev_hash=state.head,
        time=now,
        signer=voucher.voucher,
        key=token.voucher_key,
    )
    apply(state, statement)
    return statement, voucher


def _application(voucher: Voucher) -> ApplicationUid:
    return ApplicationUid(voucher.application)


def make_config(
    server: KnownServer,
    info: ServerInfo,
    join: Join,
    keys: NewKeys,
    voucher: Voucher,
    token: OneTimeToken,
    answer: EnrolAnswer,
) -> GatewayConfig:
    """Put the configuration together. Raises Tampered when the application key does not open."""
    try:
        app_key = token.open_app_key(answer.app_key)
    except SealBroken:
        raise Tampered(
            "the application key that the server sent does not open with the one-time token",
            hint="do not use this server; tell an administrator",
        ) from None
    owner = P256PublicKey(answer.owner_key) if answer.owner_key else None
    return GatewayConfig(
        DeviceConfig(
            hostname=server.address,
            client_id=token.client_id,
            server_key_id=info.ksm_key_id,
            server_public_key=P256PublicKey(info.ksm_key),
            private_key=keys.ksm,
            app_key=app_key,
            app_owner_public_key=owner,
        ),
        GatewayIdentity(
            gateway=keys.gateway,
            application=_application(voucher),
            signing_key=keys.signing,
            box_key=keys.box,
            server_box_key=BoxPublicKey(server.box_key),
            root_fingerprint=join.root,
            ca_pem=server.ca,
        ),
    )


async def enrol(text: Secret, *, environment: Mapping[str, str], clock: Clock) -> GatewayConfig:
    """
    Use a join string. Raises InvalidInput, Refused (token-..., voucher-...), Tampered, Unreachable.

    The string is wiped whatever happens; a token that was refused is not spent.
    """
    try:
        join = read_join(text.reveal_text(), "gateway")
    finally:
        text.wipe()
    token = OneTimeToken(join.secret)
    server, info = await learn_server(
        normal_address(join.server), connector(environment), fingerprint=join.ca
    )
    api = Api(open_transport(server, environment), server, clock=clock)
    try:
        keys = NewKeys.generate()
        for attempt in range(1, TRIES + 1):
            try:
                answer, voucher = await _enrol_once(api, join, token, keys, clock)
            except Conflict as error:
                # Another statement was faster: sign again behind it.
                if error.code != Code.LOG_MOVED or attempt == TRIES:
                    raise
            else:
                return make_config(server, info, join, keys, voucher, token, answer)
        raise AssertionError("the loop returns or raises")
    finally:
        await api.close()


async def _enrol_once(
    api: Api, join: Join, token: OneTimeToken, keys: NewKeys, clock: Clock
) -> tuple[EnrolAnswer, Voucher]:
    client_id = base64_text.to_standard(token.client_id)
    begin = sign_enrol_begin(token.voucher_key, client_id, int(clock.now()))
    log = await api.call(ENROL_BEGIN, begin)
    state = replay(log.statements, fingerprint=join.root)
    statement, voucher = gateway_statement(state, token, keys, now=int(clock.now()))
    request = EnrolRequest(client_id, statement)
    try:
        return await api.call(ENROL, request), voucher
    except Unreachable:
        # The answer may have been lost on the way; the same statement again is answered again.
        return await api.call(ENROL, request), voucher


def prepare_config(path: Path) -> None:
    """
    Find out that a configuration can be written, before a one-time token is spent on it.

    Makes missing directories, 0700. Raises Conflict when there is one already, InvalidInput
    when others could replace it, CommanderError when disk or rights refuse.
    """
    if path.parent.exists():
        check_own_directory(path.parent)
    else:
        make_private_directory(path.parent)
    if os.path.lexists(path):
        raise Conflict(f"{path} is there already", hint=f"remove {path} to enrol anew")
    trial = path.with_name(f".{path.name}.trial")
    write_private(trial, bytes(CONFIG_ROOM))
    trial.unlink()


def save_config(path: Path, config: GatewayConfig) -> None:
    """Write the configuration, 0600, all or nothing; an old one is never replaced."""
    prepare_config(path)
    write_private(path, config.to_json().encode())


def load_config(path: Path) -> GatewayConfig:
    """Read a configuration. Raises FileNotFoundError, or InvalidInput with the way to repair it."""
    return GatewayConfig.parse(
        read_private(path, limit=MAX_CONFIG_BYTES).decode("utf-8", "replace")
    )


def known_server(config: GatewayConfig) -> KnownServer:
    """What calls to the server need; the CA vouches for its other keys."""
    identity = config.identity
    return KnownServer(
        config.device.hostname, "", b"", identity.server_box_key.raw, identity.ca_pem
    )
