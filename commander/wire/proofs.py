"""
The proofs inside unsigned calls: what exactly is signed, in one place for client and server.

    server-info    every field but the signature, in order, by the server's own key
    login          e-mail, login, challenge, device, device keys, server, nonce, by the login key
    login-device   the same by the device key
    invitation     voucher, time, by the key of the invitation's secret
    enrol          client id, time, by the key of the gateway's one-time token
"""

from __future__ import annotations

from commander.crypto.encoding import Field
from commander.crypto.kdf import derive
from commander.crypto.signing import SigningKey, VerifyKey
from commander.ids import UID_BYTES, VoucherUid, encode_uid
from commander.wire.calls import EnrolBegin, InvitationRequest, LoginRequest, ServerInfo

_FIRST_BYTE_MASK = 0x7F


def sign_server_info(key: SigningKey, info: ServerInfo) -> bytes:
    """The signature for `info`, whose own `signature` is left out of it."""
    return key.sign("server-info", *_info_fields(info))


def verify_server_info(info: ServerInfo) -> None:
    """Check that `info` is signed by the key it names. Raises SealBroken or InvalidInput."""
    VerifyKey(info.sign_key).verify(info.signature, "server-info", *_info_fields(info))


def _info_fields(info: ServerInfo) -> tuple[Field, ...]:
    return (
        info.server, info.version, info.ca, info.sign_key, info.box_key, info.ksm_key_id,
        info.ksm_key, int(info.has_enterprise), info.time,
    )  # fmt: skip


def sign_login(
    request: LoginRequest, *, challenge: bytes, server: str, login: SigningKey, device: SigningKey
) -> LoginRequest:
    """Return the request with both signatures; `server` is the UID in the pinned ServerInfo."""
    fields = _login_fields(request, challenge, server)
    return LoginRequest(
        login=request.login,
        email=request.email,
        device=request.device,
        device_sign_key=request.device_sign_key,
        device_box_key=request.device_box_key,
        nonce=request.nonce,
        signature=login.sign("login", *fields),
        device_signature=device.sign("login-device", *fields),
    )


def verify_login(request: LoginRequest, *, challenge: bytes, server: str, login: VerifyKey) -> None:
    """Check both signatures. Raises SealBroken or InvalidInput."""
    login.verify(request.signature, "login", *_login_fields(request, challenge, server))
    verify_login_device(request, challenge=challenge, server=server)


def verify_login_device(request: LoginRequest, *, challenge: bytes, server: str) -> None:
    """Check only that the device it names signed it. Raises SealBroken or InvalidInput."""
    fields = _login_fields(request, challenge, server)
    VerifyKey(request.device_sign_key).verify(request.device_signature, "login-device", *fields)


def _login_fields(request: LoginRequest, challenge: bytes, server: str) -> tuple[Field, ...]:
    return (
        request.email, request.login, challenge, request.device, request.device_sign_key,
        request.device_box_key, server, request.nonce,
    )  # fmt: skip


def invitation_key(secret: bytes) -> SigningKey:
    """The voucher key of an invitation's secret."""
    return SigningKey(derive(secret, "invitation-voucher-key"))


def invitation_uid(secret: bytes) -> VoucherUid:
    """The voucher's UID, so that a join string need not carry it."""
    raw = bytearray(derive(secret, "invitation-voucher-uid", size=UID_BYTES))
    raw[0] &= _FIRST_BYTE_MASK
    return VoucherUid(encode_uid(bytes(raw)))


def sign_invitation(key: SigningKey, voucher: str, time: int) -> InvitationRequest:
    """Ask for the log with an invitation's key."""
    return InvitationRequest(voucher, time, key.sign("invitation", voucher, time))


def verify_invitation(request: InvitationRequest, key: VerifyKey) -> None:
    """Check an invitation's proof; the caller checks the time. Raises SealBroken."""
    key.verify(request.proof, "invitation", request.voucher, request.time)


def sign_enrol_begin(key: SigningKey, client_id: str, time: int) -> EnrolBegin:
    """Ask for the log with a gateway token's voucher key."""
    return EnrolBegin(client_id, time, key.sign("enrol", client_id, time))


def verify_enrol_begin(request: EnrolBegin, key: VerifyKey) -> None:
    """Check a gateway's proof; the caller checks the time. Raises SealBroken."""
    key.verify(request.proof, "enrol", request.client_id, request.time)
