"""TLS contexts: verification is always on, with one named exception that trusts nothing it reads."""

from __future__ import annotations

import hmac
import ssl
from functools import lru_cache

from commander.crypto.kdf import sha256
from commander.errors import InvalidInput, Tampered

MAX_PEM = 256 * 1024
MAX_SHARED = 16
HTTP = ("http/1.1",)


def verified_context(ca: str) -> ssl.SSLContext:
    """
    A client context that checks certificate and name against `ca` (PEM), or the machine's
    authorities when it is empty. Raises InvalidInput for something that is no certificate.

    SSLKEYLOGFILE is ignored: a variable must not give the session keys away.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(HTTP))
    if not ca:
        context.load_default_certs()
        return context
    if len(ca) > MAX_PEM:
        raise InvalidInput("the CA file is too large")
    try:
        context.load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError):
        raise InvalidInput(
            "the CA file holds no certificate", hint="it must be PEM: -----BEGIN CERTIFICATE-----"
        ) from None
    return context


@lru_cache(maxsize=MAX_SHARED)
def shared_context(ca: str, protocols: tuple[str, ...] = HTTP) -> ssl.SSLContext:
    """
    A `verified_context` that offers `protocols`, one object for all who ask alike: change nothing in it.

    Reading the machine's authorities takes 20 ms in which an event loop stands still, so a thousand
    tunnels that come back by a relay must not each do it.
    """
    context = verified_context(ca)
    context.set_alpn_protocols(list(protocols))
    return context


def turn_context(ca: str) -> ssl.SSLContext:
    """
    A client context for TURN relays, which may have a certificate of the server's own authority
    or of one that the machine trusts. Raises InvalidInput as `verified_context` does.
    """
    context = verified_context(ca)
    context.load_default_certs()
    context.set_alpn_protocols(["stun.turn"])
    return context


def unverified_context() -> ssl.SSLContext:
    """
    A context that accepts any certificate, for `bootstrap` alone.

    What is read over it is worthless until `check_fingerprint` has accepted the CA in it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def only_certificate(pem: str) -> bytes:
    """
    The DER of the one certificate in a PEM text. Raises InvalidInput for none, several, or more.

    Python's own reader stops at the first one: what follows would be trusted without having been
    compared with anything.
    """
    try:
        der = ssl.PEM_cert_to_DER_cert(pem[:MAX_PEM])
    except ValueError:
        der = b""
    if not der or ssl.DER_cert_to_PEM_cert(der).split() != pem.split():
        raise InvalidInput("this is not one certificate in PEM form")
    return der


def check_fingerprint(ca: str, fingerprint: bytes) -> None:
    """Raise Tampered unless the SHA-256 of the one certificate in `ca` (its DER) is the pinned one."""
    try:
        is_pinned = hmac.compare_digest(sha256(only_certificate(ca)), fingerprint)
    except InvalidInput:
        is_pinned = False
    if not is_pinned:
        raise Tampered(
            "the server's certificate authority is not the one in the join string",
            hint="somebody may be between you and the server; ask for a new join string",
        )
