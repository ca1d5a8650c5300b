from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from hypothesis import given
from hypothesis import strategies as st

from commander.codec import decode
from commander.errors import InvalidInput, SealBroken
from commander.ksm import folder_names
from commander.ksm.folder_names import open_key, open_name, seal_key, seal_name, sub_folder_key
from commander.ksm.writes import CreateFolder
from commander.wire.device_writes import DeviceWrite, open_write
from tests.support.vectors import load

ROOT = bytes(range(32))
KEY = bytes(reversed(range(32)))


def encrypted(plaintext: bytes, key: bytes = ROOT) -> bytes:
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(bytes(16))).encryptor()
    return bytes(16) + encryptor.update(padder.update(plaintext) + padder.finalize())


@given(name=st.text(min_size=1, max_size=128))
def test_name_round_trip(name: str) -> None:
    """Every name that a folder may have."""
    assert open_name(ROOT, seal_name(ROOT, name)) == name


def test_name_as_sdks_write_it_is_read() -> None:
    """Without padding spaces, with keys we do not know."""
    raw = json.dumps({"name": "Infra", "color": "red"}).encode()

    assert open_name(ROOT, encrypted(raw)) == "Infra"


def test_recorded_folder_is_read() -> None:
    """Key and name as they were stored."""
    for own in load("own/device_writes"):
        made = open_write(decode(DeviceWrite, bytes.fromhex(own["write"])))
        assert isinstance(made, CreateFolder)

        key = open_key(bytes.fromhex(own["root_key"]), made.key)

        assert open_name(key, made.data) == own["name"]


def test_length_tells_little() -> None:
    """Names of a few characters look alike."""
    assert len(seal_name(ROOT, "a")) == len(seal_name(ROOT, "a" * 40))


@pytest.mark.parametrize("name", ["", "x" * 129])
def test_name_out_of_bounds_is_not_written(name: str) -> None:
    """A folder name has 1 to 128 characters."""
    with pytest.raises(InvalidInput):
        seal_name(ROOT, name)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{}", b"[]", b"null", b'{"name":1}', b'{"name":""}', b'{"name":"a","name":"b"}',
        b"\xff", b'{"name":"' + b"x" * 129 + b'"}', b" " * 5000,
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused(raw: bytes) -> None:
    """With one and the same error."""
    with pytest.raises(SealBroken):
        open_name(ROOT, encrypted(raw))


def test_every_truncation_is_refused() -> None:
    """Of names and keys."""
    name, key = seal_name(ROOT, "Infra"), seal_key(ROOT, KEY)

    for cut in range(len(name)):
        with pytest.raises(SealBroken):
            open_name(ROOT, name[:cut])
    for cut in range(len(key)):
        with pytest.raises(SealBroken):
            open_key(ROOT, key[:cut])


def test_key_round_trip_under_its_root_only() -> None:
    """A sub-folder's key opens with the shared folder's key."""
    sealed = seal_key(ROOT, KEY)

    assert open_key(ROOT, sealed) == KEY
    assert len(sealed) == folder_names.SEALED_KEY_BYTES


def test_key_of_another_length_is_refused() -> None:
    """Right framing, wrong content."""
    with pytest.raises(SealBroken):
        open_key(ROOT, encrypted(bytes(33)))


def test_keys_of_folders_differ() -> None:
    """Each folder has its own, from the root's key alone."""
    assert sub_folder_key(ROOT, "a") == sub_folder_key(ROOT, "a") != sub_folder_key(ROOT, "b")
