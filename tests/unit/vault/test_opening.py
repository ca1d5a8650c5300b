from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.crypto import aead
from commander.crypto.encoding import encode
from commander.crypto.kdf import derive
from commander.errors import InvalidInput, Refused
from commander.ids import DeviceUid, FolderUid, RecordUid
from commander.vault.opening import (
    check_commitment,
    open_folder_name,
    open_payload,
    open_record_key,
    open_settings,
    seal_folder_name,
    seal_payload,
    seal_settings,
    tunnel_seed,
)
from commander.wire.pam import ConfigurationSettings, ResourceSettings
from commander.wire.records import RecordData
from commander.wire.seals import (
    FIRST_PREVIOUS,
    FolderSeal,
    FolderVersion,
    RecordSeal,
    RecordVersion,
    SettingsVersion,
    Signed,
    record_commitment,
)

KEY = bytes(range(32))
FOLDER_KEY = bytes(32)
RECORD = RecordUid("r" * 22)
FOLDER = FolderUid("f" * 22)
SIGNED = Signed(b"", b"")


def record_seal(key: bytes = KEY) -> RecordSeal:
    return RecordSeal(
        RECORD, FOLDER, "", 1, FIRST_PREVIOUS, b"", record_commitment(key, RECORD, 1),
        DeviceUid("d" * 22), 0, 0, False,
    )  # fmt: skip


def folder_seal() -> FolderSeal:
    return FolderSeal(FOLDER, FOLDER, 1, FIRST_PREVIOUS, b"", DeviceUid("d" * 22), 0, 0, False)


def version(record_key: bytes, payload: bytes = b"") -> RecordVersion:
    return RecordVersion(SIGNED, record_key, payload)


def test_record_is_sealed_and_opened() -> None:
    """Key under the folder key, payload under the key."""
    data = RecordData.create("login", "Orders")
    sealed = version(aead.seal(FOLDER_KEY, KEY), seal_payload(KEY, data))

    assert open_record_key(FOLDER_KEY, sealed, record_seal()) == KEY
    assert open_payload(KEY, sealed, record_seal()).content == data.content


def test_every_truncation_of_a_record_is_named() -> None:
    """Key and payload, at each byte."""
    data = RecordData.create("login", "Orders")
    key, payload = aead.seal(FOLDER_KEY, KEY), seal_payload(KEY, data)

    for cut in range(len(key)):
        with pytest.raises(Refused) as caught:
            open_record_key(FOLDER_KEY, version(key[:cut]), record_seal())
        assert caught.value.code == Code.RECORD_TAMPERED
    for cut in range(len(payload)):
        with pytest.raises(Refused) as caught:
            open_payload(KEY, version(key, payload[:cut]), record_seal())
        assert caught.value.code == Code.RECORD_TAMPERED


def test_payload_that_is_no_record_is_named() -> None:
    """It opens, but is not what a record is."""
    with pytest.raises(Refused) as caught:
        open_payload(KEY, version(b"", aead.seal(KEY, b"[]")), record_seal())

    assert caught.value.code == Code.RECORD_TAMPERED


@pytest.mark.parametrize("key", [bytes(32), KEY[:16]])
def test_key_that_was_not_committed_to_is_named(key: bytes) -> None:
    """AES-GCM alone does not bind a ciphertext to one key."""
    with pytest.raises(Refused) as caught:
        check_commitment(key, record_seal())

    assert caught.value.code == Code.RECORD_TAMPERED


@pytest.mark.parametrize("settings", [ResourceSettings(protocol="ssh"), ConfigurationSettings("g")])
def test_settings_are_bound_to_their_record(
    settings: ResourceSettings | ConfigurationSettings,
) -> None:
    """They open for their record, and for no other."""
    payload = seal_settings(KEY, RECORD, settings)

    assert open_settings(KEY, RECORD, SettingsVersion(SIGNED, payload)) == settings
    with pytest.raises(Refused) as caught:
        open_settings(KEY, "s" * 22, SettingsVersion(SIGNED, payload))
    assert caught.value.code == Code.SETTINGS_TAMPERED
    for cut in range(0, len(payload), 5):
        with pytest.raises(Refused):
            open_settings(KEY, RECORD, SettingsVersion(SIGNED, payload[:cut]))


def test_folder_name_is_padded_and_bound_to_its_folder() -> None:
    """Its length tells little; it opens as its own folder's only."""
    short = seal_folder_name(FOLDER_KEY, FOLDER, "a", "")
    long = seal_folder_name(FOLDER_KEY, FOLDER, "a" * 60, "")

    assert len(short) == len(long)
    assert open_folder_name(FOLDER_KEY, FolderVersion(SIGNED, short), folder_seal()) == ("a", "")
    other = seal_folder_name(FOLDER_KEY, "g" * 22, "a", "")
    with pytest.raises(Refused) as caught:
        open_folder_name(FOLDER_KEY, FolderVersion(SIGNED, other), folder_seal())
    assert caught.value.code == Code.SEAL_BROKEN


@pytest.mark.parametrize("raw", [b"[]", b"{}", b'{"name":1,"parent":""}', b"\xff", b'"x"'])
def test_odd_folder_names_are_named(raw: bytes) -> None:
    """Whatever a member sealed, only the documented error comes out."""
    key = derive(FOLDER_KEY, "folder-name")
    payload = aead.seal(key, raw, encode("folder", FOLDER))

    with pytest.raises(Refused) as caught:
        open_folder_name(FOLDER_KEY, FolderVersion(SIGNED, payload), folder_seal())

    assert caught.value.code == Code.SEAL_BROKEN


@pytest.mark.parametrize("name", ["", "x" * 129])
def test_folder_name_is_bounded(name: str) -> None:
    """1 to 128 characters."""
    with pytest.raises(InvalidInput):
        seal_folder_name(FOLDER_KEY, FOLDER, name, "")


def test_tunnel_seed_is_not_the_key() -> None:
    """It is derived, and another one for each key."""
    assert tunnel_seed(KEY) not in (KEY, tunnel_seed(FOLDER_KEY))
