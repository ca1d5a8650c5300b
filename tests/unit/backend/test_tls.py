from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509

from commander.backend import tls
from commander.errors import CommanderError, InvalidInput

NOW = 1_800_000_000.0
DAY = 86_400.0


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def names_of(directory: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate((directory / "tls.pem").read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in found.value}


def test_authority_is_made_once_and_kept(directory: Path) -> None:
    """Its fingerprint stands in join strings, so it must not change."""
    first = tls.load_authority(directory, now=NOW)
    second = tls.load_authority(directory, now=NOW + 1000 * DAY)

    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 32
    for name in ("ca.pem", "ca.key"):
        assert (directory / name).stat().st_mode & 0o777 == 0o600


def test_certificate_names_this_machine_and_its_public_names(directory: Path) -> None:
    """And is signed by the CA, for servers only."""
    authority = tls.load_authority(directory, now=NOW)

    assert tls.ensure_certificate(directory, authority, ["db.example", "10.1.2.3"], now=NOW)

    assert names_of(directory) == {"localhost", "127.0.0.1", "::1", "db.example", "10.1.2.3"}
    certificate = x509.load_pem_x509_certificate((directory / "tls.pem").read_bytes())
    certificate.verify_directly_issued_by(authority.certificate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca
    assert (directory / "tls.key").stat().st_mode & 0o777 == 0o600


def test_certificate_is_made_anew_near_its_end_for_new_names_and_after_a_new_ca(
    directory: Path,
) -> None:
    """And only then: clients need not see it change for nothing."""
    authority = tls.load_authority(directory, now=NOW)
    tls.ensure_certificate(directory, authority, ["a.example"], now=NOW)

    assert not tls.ensure_certificate(directory, authority, ["a.example"], now=NOW + 300 * DAY)
    assert not tls.ensure_certificate(directory, authority, [], now=NOW)
    assert tls.ensure_certificate(directory, authority, ["b.example"], now=NOW)
    assert tls.ensure_certificate(directory, authority, ["b.example"], now=NOW + 368 * DAY)
    (directory / "ca.pem").unlink()
    other = tls.load_authority(directory, now=NOW + 368 * DAY)
    assert tls.ensure_certificate(directory, other, ["b.example"], now=NOW + 368 * DAY)


def test_server_speaks_tls_1_2_or_later_and_never_compresses(directory: Path) -> None:
    """There is no switch for less."""
    authority = tls.load_authority(directory, now=NOW)
    tls.ensure_certificate(directory, authority, [], now=NOW)

    context = tls.server_context(directory / "tls.pem", directory / "tls.key")

    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_COMPRESSION


def test_damaged_files_are_named(directory: Path) -> None:
    """The message says which file, and what to do."""
    tls.load_authority(directory, now=NOW)
    for name in ("ca.pem", "ca.key"):
        good = (directory / name).read_bytes()
        (directory / name).write_bytes(b"nonsense")
        with pytest.raises(CommanderError, match=name):
            tls.load_authority(directory, now=NOW)
        (directory / name).write_bytes(good)
    with pytest.raises(CommanderError, match="cannot be used"):
        tls.server_context(directory / "ca.pem", directory / "none")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("db.example", ("db.example", 0)),
        ("db.example:8443", ("db.example", 8443)),
        ("10.0.0.1:65535", ("10.0.0.1", 65535)),
        ("::1", ("::1", 0)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
        ("[::1]", ("::1", 0)),
    ],
)
def test_addresses_are_read(text: str, found: tuple[str, int]) -> None:
    """Names and numbers of both kinds, with and without a port."""
    assert tls.read_address(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "a:",
        "a:0",
        "a:65536",
        "a:x",
        "a b",
        "a/b",
        "[::1",
        "http://a",
        "a:1:2",
        "ä:1",
        "*",
    ],
)
def test_other_texts_are_no_addresses(text: str) -> None:
    """So that nothing strange gets into a certificate or a join string."""
    with pytest.raises(InvalidInput):
        tls.read_address(text)


def test_port_zero_and_a_default_port_where_they_make_sense() -> None:
    """Listening may take any free port; a name may leave its port out."""
    assert tls.read_address("127.0.0.1:0", default_port=8443, least_port=0) == ("127.0.0.1", 0)
    assert tls.read_address("127.0.0.1", default_port=8443) == ("127.0.0.1", 8443)
