"""Who signs a request: certified, not revoked, in a living session, now, and once."""

from __future__ import annotations

from typing import Literal

from commander.authority.refusals import Code
from commander.backend.core import Caller, Core
from commander.backend.services import sessions
from commander.crypto.signing import VerifyKey
from commander.errors import InvalidInput, Refused, SealBroken
from commander.wire.requests import SignedRequest, verify_request

Proof = Literal["device", "gateway", "either"]


async def authenticate(
    core: Core, signed: SignedRequest, *, method: str, path: str, address: str, proof: Proof
) -> Caller:
    """
    Establish the caller of a signed request, or raise Refused.

    In this order: request-stale; device-unknown, device-revoked, user-revoked, session-unknown,
    session-expired; request-signature; request-replayed; too-many-requests.
    """
    core.check_fresh(signed.time)
    if signed.session:
        caller = await _device(core, signed, address)
    else:
        caller = _gateway(core, signed, address)
    if proof not in ("either", caller.kind):
        raise Refused(f"a {caller.kind} may not call this", code=Code.DEVICE_UNKNOWN)
    try:
        verify_request(signed, VerifyKey(caller.device_key), method=method, path=path)
    except (SealBroken, InvalidInput):
        raise Refused(
            "the request's signature does not verify", code=Code.REQUEST_SIGNATURE
        ) from None
    # Only now: strangers must not be able to fill the memory of nonces.
    if not core.use_nonce(signed.principal, signed.nonce):
        raise Refused("the request was sent before", code=Code.REQUEST_REPLAYED)
    core.guards.requests.check(signed.principal, core.clock.now())
    return caller


async def _device(core: Core, signed: SignedRequest, address: str) -> Caller:
    row = await sessions.find(core, signed.session, signed.principal)
    sessions.check_device(core.state, row)
    return Caller(address, "device", row.device, row.user, row.digest, row.device_key, signed.nonce)


def _gateway(core: Core, signed: SignedRequest, address: str) -> Caller:
    state, uid = core.state, signed.principal
    gateway = state.gateways.get(uid)
    if gateway is None and not state.gateways.known(uid):
        # A device without a session ends here as well: it has to log in.
        if state.devices.known(uid):
            raise Refused("no session was named", code=Code.SESSION_UNKNOWN, hint="log in")
        raise Refused("the caller is not certified", code=Code.DEVICE_UNKNOWN)
    if gateway is None or state.applications.get(gateway.application) is None:
        raise Refused(f"gateway {uid} was removed", code=Code.DEVICE_REVOKED)
    return Caller(address, "gateway", uid, gateway.application, b"", gateway.sign_key, signed.nonce)
