"""What a failure on the way to a server means, and what to do about it. Pure."""

from __future__ import annotations

import errno
import socket
import ssl

from commander.errors import Unreachable

_EXPIRED, _NOT_YET = 10, 9
_SELF_SIGNED = frozenset({18, 19})
_UNKNOWN_ISSUER = frozenset({2, 20, 21})
_OTHER_NAME = frozenset({62, 64})


def name_failure(host: str, error: OSError) -> Unreachable:
    """Why a name has no address."""
    number = error.errno if isinstance(error, socket.gaierror) else None
    if number in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
        return Unreachable(
            f"nobody knows the name {host}",
            hint="check its spelling (--server HOST:PORT); inside a company a VPN may be needed",
            code="name-unknown",
        )
    return Unreachable(
        f"the resolver does not answer for {host} ({error.strerror or error})",
        hint="look at the network and at /etc/resolv.conf",
        code="resolver-failed",
    )


def connect_failure(where: str, error: OSError) -> Unreachable:
    """Why a TCP connection was not made."""
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(
            f"nothing listens on {where}",
            hint="start the server (commander-server start), or correct the port",
            code="refused",
        )
    if isinstance(error, TimeoutError):
        return Unreachable(
            f"{where} does not answer",
            hint="a firewall on the way may drop it; is the machine up, and the VPN?",
            code="no-answer",
        )
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL):
        return Unreachable(
            f"there is no way to {where} ({error.strerror})",
            hint="look at this machine's network, and the VPN",
            code="no-route",
        )
    return Unreachable(
        f"no connection to {where}: {error.strerror or type(error).__name__}",
        hint="look at the network",
    )


def tls_failure(error: OSError, *, now: str) -> Unreachable:
    """Why TLS failed; `now` is this machine's time, which may be what is wrong."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(error, now)
    if isinstance(error, ssl.SSLError):
        return Unreachable(
            f"TLS fails ({getattr(error, 'reason', '') or 'no reason given'})",
            hint="is it the port of a commander server? A proxy may interfere as well",
            code="tls-failed",
        )
    if isinstance(error, ConnectionAbortedError | TimeoutError):
        return Unreachable(
            "a connection is accepted, and then nobody answers the TLS handshake",
            hint="is it the port of a commander server? Look at the server, and at what is in front of it",
            code="tls-no-answer",
        )
    return Unreachable(
        "the connection was cut during the TLS handshake",
        hint="a firewall that inspects TLS does that; ask those who run the network",
        code="tls-cut",
    )


def _untrusted(error: ssl.SSLCertVerificationError, now: str) -> Unreachable:
    number, text = error.verify_code, error.verify_message.rstrip(".")
    if number in (_EXPIRED, _NOT_YET):
        what = "has expired" if number == _EXPIRED else "is not valid yet"
        return Unreachable(
            f"the certificate {what}, or this machine's clock is wrong ({now} here)",
            hint="compare the time with date -u; then have the server's certificate renewed",
            code="certificate-expired" if number == _EXPIRED else "certificate-not-yet-valid",
        )
    if number in _OTHER_NAME:
        return Unreachable(
            f"the certificate is for another name ({text})",
            hint="use the name in it (--server), or commander-server start --public-name NAME",
            code="certificate-other-name",
        )
    if number in _SELF_SIGNED or number in _UNKNOWN_ISSUER:
        return Unreachable(
            f"the certificate is of an authority that is not trusted ({text})",
            hint="a captive portal or an inspecting proxy may be between; else use a join string "
            "or --ca-file",
            code="certificate-untrusted",
        )
    return Unreachable(
        f"the certificate is not accepted ({text})",
        hint="look at the server's certificate",
        code="certificate-refused",
    )


def page_failure(status: int, body: bytes) -> Unreachable:
    """What answered instead of a commander server."""
    if body.lstrip()[:1] == b"<" or status in (301, 302, 303, 307, 308, 511):
        return Unreachable(
            f"a web page answers (HTTP {status}): a captive portal, or another server",
            hint="open any page in a browser and log in to the network; or correct --server",
            code="captive-portal",
        )
    return Unreachable(
        f"what answers is no commander server (HTTP {status})",
        hint="correct the address: --server HOST:PORT",
        code="other-server",
    )


def proxy_failure(proxy: str, target: str, status: int) -> Unreachable:
    """Why a proxy did not connect; `proxy` without its password."""
    if status == 407:
        return Unreachable(
            f"the proxy {proxy} asks for a user and a password",
            hint="HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
            code="proxy-password",
        )
    return Unreachable(
        f"the proxy {proxy} does not connect to {target} (HTTP {status})",
        hint=f"ask those who run it to allow {target}; or go past it: NO_PROXY={target.rpartition(':')[0]}",
        code="proxy-refused",
    )
