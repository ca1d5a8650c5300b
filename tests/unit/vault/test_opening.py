from __future__ import annotations

import msgspec
import pytest

from commander.authority.refusals import Code
from commander.crypto import aead
from commander.crypto.encoding import encode
from commander.crypto.kdf import derive
from commander.errors import InvalidInput, Refused
from commander.ids import ApplicationUid, DeviceUid, FolderUid, RecordUid, new_uid
from commander.ksm import folder_names
from commander.ksm.writes import CreateFolder
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
from commander.wire.device_writes import DeviceWrite, open_write
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
from tests.support.device_writes import SdkDevice, b64

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


# --- what Secrets Manager devices wrote ----------------------------------------------------------


def sub_seal() -> FolderSeal:
    return FolderSeal(
        FolderUid("s" * 21 + "A"), FOLDER_A, 1, FIRST_PREVIOUS, b"", DeviceUid("d" * 22), 0, 0, False
    )  # fmt: skip


FOLDER_A = FolderUid("f" * 21 + "A")


def test_device_written_record_opens_without_a_commitment() -> None:
    """The payload has to open; there is nothing else to check."""
    device = SdkDevice(ApplicationUid(new_uid()))
    write = device.sign(recordUid="r" * 21 + "A", data="AAAA" * 10, revision=1)
    good = RecordVersion(SIGNED, aead.seal(FOLDER_KEY, KEY), b"", write)
    short = RecordVersion(SIGNED, aead.seal(FOLDER_KEY, KEY[:-1]), b"", write)

    assert open_record_key(FOLDER_KEY, good, record_seal(bytes(32))) == KEY
    with pytest.raises(Refused):
        open_record_key(FOLDER_KEY, short, record_seal())


def device_folder(parent: str | None) -> tuple[SdkDevice, DeviceWrite]:
    device = SdkDevice(ApplicationUid(new_uid()))
    made = device.sign(
        folderUid=sub_seal().folder, sharedFolderUid=FOLDER_A, parentUid=parent,
        sharedFolderKey=b64(folder_names.seal_key(FOLDER_KEY, KEY)),
        data=b64(folder_names.seal_name(KEY, "Made")),
    )  # fmt: skip
    return device, made


def test_folder_that_a_device_made_opens() -> None:
    """Name and place from its request; a later name from another, under the same key."""
    parent = "p" * 21 + "A"
    device, made = device_folder(parent)
    content = open_write(made)
    assert isinstance(content, CreateFolder)
    name = folder_names.seal_name(KEY, "Renamed")
    rename = device.sign(folderUid=sub_seal().folder, data=b64(name))
    placed = seal_folder_name(FOLDER_KEY, sub_seal().folder, "Ours", "elsewhere")

    first = FolderVersion(SIGNED, content.data, made)
    second = FolderVersion(SIGNED, name, rename, made)
    third = FolderVersion(SIGNED, name, rename, made, placed)

    assert open_folder_name(FOLDER_KEY, first, sub_seal()) == ("Made", parent)
    assert open_folder_name(FOLDER_KEY, second, sub_seal()) == ("Renamed", parent)
    assert open_folder_name(FOLDER_KEY, third, sub_seal()) == ("Renamed", "elsewhere")


def test_folder_of_ours_that_a_device_renamed_opens() -> None:
    """Its key follows from the domain's; its place is our own payload's."""
    device = SdkDevice(ApplicationUid(new_uid()))
    for seal, key in (
        (sub_seal(), folder_names.sub_folder_key(FOLDER_KEY, sub_seal().folder)),
        (msgspec.structs.replace(sub_seal(), folder=FOLDER_A), FOLDER_KEY),
    ):
        name = folder_names.seal_name(key, "Renamed")
        rename = device.sign(folderUid=seal.folder, data=b64(name))
        placed = seal_folder_name(FOLDER_KEY, seal.folder, "Ours", "")

        assert open_folder_name(
            FOLDER_KEY, FolderVersion(SIGNED, name, rename, None, placed), seal
        ) == ("Renamed", "")
        with pytest.raises(Refused):
            open_folder_name(FOLDER_KEY, FolderVersion(SIGNED, name, rename), seal)
        with pytest.raises(Refused):
            open_folder_name(KEY, FolderVersion(SIGNED, name, rename, None, placed), seal)
