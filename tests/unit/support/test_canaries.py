from __future__ import annotations

import base64
import json
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.canaries import Canaries, Scanner, encodings

SECRET = b'Pw/c0ffee+"1"&\xc3\xa9=%zz'


@pytest.fixture
def scanner() -> Scanner:
    return Scanner({"password": SECRET})


WRITTEN = {
    "raw": SECRET,
    "reversed": SECRET[::-1],
    "hex": SECRET.hex().encode(),
    "HEX": SECRET.hex().upper().encode(),
    "spaced hex": SECRET.hex(" ").encode(),
    "url": urllib.parse.quote(SECRET, safe="").encode(),
    "form": urllib.parse.urlencode({"p": SECRET}).encode(),
    "json": json.dumps({"p": SECRET.decode()}).encode(),
    "repr": repr({"p": SECRET}).encode(),
    "list": str(list(SECRET)).encode(),
    "utf-16-le": SECRET.decode().encode("utf-16-le"),
    "utf-16-be": SECRET.decode().encode("utf-16-be"),
}


@pytest.mark.parametrize("encoding", WRITTEN)
def test_value_is_found_however_it_was_written(scanner: Scanner, encoding: str) -> None:
    """Whatever standard encoder wrote the value, between other data, it is found."""
    data = b"noise \x00\xff" + WRITTEN[encoding] + b" noise"

    assert scanner.scan_bytes(data), encoding


@given(before=st.binary(max_size=20), after=st.binary(max_size=20), value=st.binary(min_size=8))
def test_base64_is_found_at_every_alignment(before: bytes, after: bytes, value: bytes) -> None:
    """Base64, base64url and base32 of a longer text show the value wherever in it the value stands."""
    scanner = Scanner({"value": value})
    whole = before + value + after

    for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.b32encode):
        assert scanner.scan_bytes(encode(whole)), encode.__name__


@given(data=st.binary(max_size=200))
def test_other_data_has_no_finding(data: bytes) -> None:
    """Data without the value gives no finding."""
    scanner = Scanner({"password": SECRET})

    if SECRET.lower() not in data.lower():
        assert scanner.scan_bytes(data) == []


def test_all_planted_values_hold_the_mark() -> None:
    """Each kind of value is found through the one mark."""
    canaries = Canaries()
    scanner = canaries.scanner()

    for value in (
        canaries.title(), canaries.host(), canaries.word(), canaries.password(), canaries.sql(),
    ):  # fmt: skip
        assert scanner.scan_bytes(value.encode()), value


def test_two_runs_have_different_marks() -> None:
    """What an earlier run left is not taken for this run's."""
    assert Canaries().scanner().scan_bytes(Canaries().title().encode()) == []


def test_short_values_are_refused() -> None:
    """A value that could occur by accident is no canary."""
    with pytest.raises(AssertionError, match="8 bytes"):
        Scanner({"pin": b"1234567"})


def test_tree_search_reports_file_and_offset(tmp_path: Path, scanner: Scanner) -> None:
    """A finding names the file and the place in it."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "server.db").write_bytes(bytes(1000) + SECRET)
    (tmp_path / "clean.log").write_text("nothing here")

    (finding,) = [found for found in scanner.scan_tree(tmp_path) if found.encoding == "raw"]

    assert finding.where == str(tmp_path / "deep" / "server.db")
    assert finding.offset == 1000


def test_tree_search_reads_names(tmp_path: Path) -> None:
    """A file or folder that carries the value in its name is a finding."""
    canaries = Canaries()
    (tmp_path / canaries.host()).mkdir()
    (tmp_path / f"{canaries.word()}.sock").touch()

    assert len(canaries.scanner().scan_tree(tmp_path)) == 2


def test_wrapped_base64_is_found(tmp_path: Path) -> None:
    """Line breaks inside the encoded text, as in PEM files, do not hide it."""
    path = tmp_path / "wrapped.pem"
    path.write_bytes(base64.encodebytes(b"x" * 50 + SECRET + b"y" * 50))

    assert Scanner({"password": SECRET}).scan_file(path)


def test_encodings_have_distinct_bytes() -> None:
    """An encoding that changes nothing is searched once."""
    forms = encodings(b"abcdefgh12345678")

    assert len(set(forms.values())) == len(forms)
    assert "json" not in forms
