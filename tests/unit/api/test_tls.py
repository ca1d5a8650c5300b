from __future__ import annotations

import ssl

import pytest
import trustme

from commander.api.tls import (
    check_fingerprint,
    shared_context,
    unverified_context,
    verified_context,
)
from commander.crypto.box import BoxPrivateKey
from commander.crypto.kdf import sha256
from commander.crypto.signing import SigningKey
from commander.errors import InvalidInput, Tampered

ADDRESS = "vault.example:8443"
KEY = SigningKey(bytes(32))
BOX = BoxPrivateKey.generate()
CA = trustme.CA().cert_pem.bytes().decode()
OTHER_CA = trustme.CA().cert_pem.bytes().decode()


def fingerprint(ca: str) -> bytes:
    return sha256(ssl.PEM_cert_to_DER_cert(ca))


def test_contexts_verify_by_default() -> None:
    """The verified one checks names and certificates; rubbish is no CA."""
    context = verified_context(CA)

    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert unverified_context().verify_mode is ssl.CERT_NONE
    assert verified_context("").verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(InvalidInput):
        verified_context("no certificate")
    with pytest.raises(InvalidInput):
        verified_context("x" * 300_000)


def test_connections_that_ask_alike_share_a_context() -> None:
    """Reading the authorities is done once; another authority or protocol is another context."""
    shared = shared_context(CA)

    assert shared_context(CA) is shared
    assert shared.check_hostname
    assert shared.verify_mode is ssl.CERT_REQUIRED
    assert shared_context(CA, ("other/1",)) is not shared
    assert shared_context(OTHER_CA) is not shared
    assert verified_context(CA) is not shared


def test_key_log_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """B025: SSLKEYLOGFILE gives no session keys away."""
    monkeypatch.setenv("SSLKEYLOGFILE", "/nonexistent/keys")

    assert verified_context(CA).keylog_filename is None


@pytest.mark.parametrize("ca", ["", "-----BEGIN CERTIFICATE-----", CA + CA])
def test_what_is_not_one_certificate_has_no_fingerprint(ca: str) -> None:
    """Nothing, a beginning, two of them."""
    with pytest.raises(Tampered):
        check_fingerprint(ca, fingerprint(CA))
