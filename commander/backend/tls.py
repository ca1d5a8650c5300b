"""
The server's own certificate authority and certificate.

A server without certificates of its own makes a CA once and signs itself a certificate for
`localhost`, 127.0.0.1, ::1 and its public names. Clients know the CA by the fingerprint in a
join string. P-256, since that is what every TLS library speaks.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from commander.crypto.kdf import sha256
from commander.errors import CommanderError, InvalidInput
from commander.files import read_private, write_private
from commander.wire.relay import ALPN

CA_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=397)
RENEW_BEFORE = timedelta(days=30)
_BACKDATED = timedelta(hours=1)  # for clients whose clock is a little behind
_ADDRESS = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"|(?P<bare>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*))(?::(?P<port>[0-9]{1,5}))?\Z",
    re.ASCII,
)
_ALWAYS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Authority:
    """The server's CA."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate for clients."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of its DER form: what join strings carry."""
        return sha256(self.certificate.public_bytes(Encoding.DER))


def load_authority(directory: Path, *, now: float) -> Authority:
    """Read the CA of a data directory, or make one there. Raises CommanderError."""
    certificate_path, key_path = directory / "ca.pem", directory / "ca.key"
    if not certificate_path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _make_authority(key, _time(now))
        # The key first: a certificate without its key would be of no use to anyone.
        write_private(key_path, _key_pem(key))
        write_private(certificate_path, certificate.public_bytes(Encoding.PEM))
    return Authority(_read_certificate(certificate_path), _read_key(key_path))


def ensure_certificate(
    directory: Path, authority: Authority, names: Sequence[str], *, now: float
) -> bool:
    """
    See that tls.pem and tls.key are of this CA, for these names, and good for 30 more days.

    Returns whether new ones were made. Raises CommanderError.
    """
    wanted = [*_ALWAYS, *(name for name in names if name not in _ALWAYS)]
    path = directory / "tls.pem"
    if path.exists() and _is_good(_read_certificate(path), authority, wanted, _time(now)):
        return False
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _make_certificate(authority, key, wanted, _time(now))
    write_private(directory / "tls.key", _key_pem(key))
    write_private(path, certificate.public_bytes(Encoding.PEM))
    return True


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or later, no compression, no renegotiation. Raises CommanderError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([ALPN, "http/1.1"])
    load_chain(context, certificate, key)
    return context


def load_chain(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Let new connections use this certificate; also for a context in use."""
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise CommanderError(
            f"certificate {certificate} with key {key} cannot be used: {error}",
            hint="give a PEM chain and its unencrypted PEM key",
        ) from None


def read_address(text: str, *, default_port: int = 0, least_port: int = 1) -> tuple[str, int]:
    """Read `host`, `host:port` or `[v6]:port`. Raises InvalidInput."""
    match = _ADDRESS.match(text) if len(text) <= 300 else None
    host = (match["v6"] or match["bare"] or match["host"]) if match else ""
    digits = match["port"] if match else None
    port = int(digits) if digits else default_port
    is_v6 = bool(match and not match["host"])
    is_port = digits is None or least_port <= port < 65536
    if not is_port or not _is_host(host, is_v6=is_v6):
        raise InvalidInput(f"{text[:80]!r} is not a host name with an optional port")
    return host, port


def _is_host(host: str, *, is_v6: bool) -> bool:
    if not is_v6:
        return 0 < len(host) <= 253
    try:
        return ip_address(host).version == 6
    except ValueError:
        return False


def _time(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(read_private(path))
    except ValueError:
        raise CommanderError(f"{path} is not a certificate", hint="restore a backup") from None


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(read_private(path), None)
    except (OSError, ValueError, TypeError):
        raise CommanderError(f"{path} is not a private key", hint="restore a backup") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CommanderError(f"{path} is not a P-256 key", hint="restore a backup")
    return key


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _make_authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Commander server CA")])
    usage = _usage(signs_certificates=True)
    builder = _builder(name, name, key, now, CA_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    return builder.sign(key, SHA256())


def _make_certificate(
    authority: Authority, key: ec.EllipticCurvePrivateKey, names: Sequence[str], now: datetime
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Commander server")])
    issuer = authority.certificate.subject
    builder = _builder(subject, issuer, key, now, CERTIFICATE_LIFE)
    server_auth = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    builder = builder.add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(server_auth, critical=False)
    builder = builder.add_extension(authority_id, critical=False)
    builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(authority.key, SHA256())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _is_good(
    certificate: x509.Certificate, authority: Authority, names: Sequence[str], now: datetime
) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    has_names = set(found) >= {_general_name(name) for name in names}
    is_valid = certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc
    return has_names and is_valid and now + RENEW_BEFORE < certificate.not_valid_after_utc
