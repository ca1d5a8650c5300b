"""Each failure on the way to a server has a code, a reason, and something to do."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

from commander.diagnosis.failures import (
    connect_failure,
    name_failure,
    page_failure,
    proxy_failure,
    tls_failure,
)
from commander.errors import Unreachable


def untrusted(number: int, text: str = "why") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_code, error.verify_message = number, text
    return error


CASES = [
    (name_failure("db", socket.gaierror(socket.EAI_NONAME, "unknown")), "name-unknown"),
    (name_failure("db", socket.gaierror(socket.EAI_AGAIN, "again")), "resolver-failed"),
    (name_failure("db", OSError("odd")), "resolver-failed"),
    (connect_failure("a:1", ConnectionRefusedError()), "refused"),
    (connect_failure("a:1", TimeoutError()), "no-answer"),
    (connect_failure("a:1", OSError(errno.ENETUNREACH, "unreachable")), "no-route"),
    (connect_failure("a:1", ConnectionResetError(errno.ECONNRESET, "reset")), "unreachable"),
    (tls_failure(untrusted(10), now="T"), "certificate-expired"),
    (tls_failure(untrusted(9), now="T"), "certificate-not-yet-valid"),
    (tls_failure(untrusted(62), now="T"), "certificate-other-name"),
    (tls_failure(untrusted(18), now="T"), "certificate-untrusted"),
    (tls_failure(untrusted(20), now="T"), "certificate-untrusted"),
    (tls_failure(untrusted(23), now="T"), "certificate-refused"),
    (tls_failure(ssl.SSLError(1, "wrong"), now="T"), "tls-failed"),
    (tls_failure(ConnectionResetError(), now="T"), "tls-cut"),
    (tls_failure(ConnectionAbortedError("slow"), now="T"), "tls-no-answer"),
    (page_failure(200, b"  <html>"), "captive-portal"),
    (page_failure(302, b""), "captive-portal"),
    (page_failure(404, b"not found"), "other-server"),
    (proxy_failure("p:1", "s:2", 407), "proxy-password"),
    (proxy_failure("p:1", "s:2", 403), "proxy-refused"),
]


@pytest.mark.parametrize(("error", "code"), CASES, ids=lambda value: str(value)[:30])
def test_a_failure_is_named_and_says_what_to_do(error: Unreachable, code: str) -> None:
    """All are of the class unreachable, with a code that scripts can tell apart."""
    assert (error.code, error.exit_code) == (code, 6)
    assert error.message
    assert error.hint


def test_a_certificate_out_of_time_shows_this_machines_time() -> None:
    """Certificate or clock: one glance at the time tells which."""
    assert "2031-01-01T00:00:00Z here" in str(
        tls_failure(untrusted(10), now="2031-01-01T00:00:00Z")
    )
