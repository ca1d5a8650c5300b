from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Kind
from commander.codec import decode, encode
from commander.errors import InvalidInput, Refused
from commander.ids import ApplicationUid, new_uid
from commander.ksm.keys import P256PrivateKey
from commander.ksm.writes import CreateFolder, UpdateSecret
from commander.wire.device_writes import (
    DeviceWrite,
    author_of,
    check_folder_content,
    check_record_content,
    open_write,
)
from tests.support.device_writes import SdkDevice, b64
from tests.support.enterprise import Enterprise
from tests.support.vectors import flips, load

RECORD, FOLDER, INNER = new_uid(), new_uid(), new_uid()


def refusal(work: Callable[[], object]) -> Code:
    with pytest.raises(Refused) as caught:
        work()
    return Code(caught.value.code)


def device() -> SdkDevice:
    return SdkDevice(ApplicationUid(new_uid()))


def update(revision: int = 3, data: bytes = bytes(40)) -> dict[str, object]:
    return {"recordUid": RECORD, "data": b64(data), "revision": revision}


def test_what_a_device_signed_is_read() -> None:
    """Signature, transmission key, content."""
    author = device()

    found = open_write(author.sign(**update()))

    assert found == UpdateSecret(author.token.client_id, RECORD, 3, False, (), bytes(40))


def test_recorded_write_is_read() -> None:
    """What was stored in the past verifies today."""
    for own in load("own/device_writes"):
        write = decode(DeviceWrite, bytes.fromhex(own["write"]))

        found = open_write(write)

        assert isinstance(found, CreateFolder)
        assert (found.folder, found.domain) == (own["folder"], own["domain"])
        assert write.digest().hex() == own["digest"]


@pytest.mark.parametrize(
    "part", ["device_key", "wrapped_key", "body", "signature", "transmission_key"]
)
def test_changed_write_is_refused(part: str) -> None:
    """Any byte of any part, and other lengths."""
    write = device().sign(**update())
    value = getattr(write, part)
    step = 1 if len(value) < 200 else 7
    changed = [*[*flips(value)][::step], value[:-1], value + b"\0", b""]

    for bad in changed:
        with pytest.raises(Refused) as caught:
            open_write(msgspec.structs.replace(write, **{part: bad}))
        assert caught.value.code == Code.SEAL_BROKEN


def test_write_under_another_clients_name_is_refused() -> None:
    """The client id is within what was signed."""
    one, other = device(), device()
    write = msgspec.structs.replace(one.sign(**update()), client_id=other.client_id)

    assert refusal(lambda: open_write(write)) == Code.SEAL_BROKEN


def test_signed_nonsense_and_over_long_bodies_are_refused() -> None:
    """A device may sign what it wants; only writes are taken."""
    author = device()
    write = author.sign_raw(b"[]")
    long = msgspec.structs.replace(author.sign(**update()), body=bytes(1024 * 1024 + 1))

    assert refusal(lambda: open_write(write)) == Code.SEAL_BROKEN
    assert refusal(lambda: open_write(long)) == Code.SEAL_BROKEN


def test_every_truncation_of_the_stored_form_is_refused() -> None:
    """At each byte."""
    raw = encode(device().sign(**update()))

    for cut in range(len(raw)):
        with pytest.raises(InvalidInput):
            decode(DeviceWrite, raw[:cut])


# --- who wrote -----------------------------------------------------------------------------------


def announced(acme: Enterprise, *, confirmed: bool) -> SdkDevice:
    author = SdkDevice(acme.add_application(acme.admin))
    acme.by_admin(author.statement(confirmed=False))
    if confirmed:
        acme.by_admin(author.statement())
    return author


@pytest.mark.parametrize("confirmed", [True, False])
def test_author_is_who_the_log_names(confirmed: bool) -> None:
    """Confirmed by its key, or announced and at its first use."""
    acme = Enterprise()
    author = announced(acme, confirmed=confirmed)

    found = author_of(acme.state, author.sign(**update()), log_seq=acme.state.seq)

    assert (str(found.client), found.application) == (author.uid, author.application)
    assert (found.device_key, found.is_confirmed) == (author.key.public.raw, confirmed)


def test_write_before_the_confirmation_counts_as_confirmed_after() -> None:
    """The key is the same."""
    acme = Enterprise()
    author = announced(acme, confirmed=False)
    before = acme.state.seq
    acme.by_admin(author.statement())

    assert author_of(acme.state, author.sign(**update()), log_seq=before).is_confirmed


def test_gateway_is_known_by_its_certificate() -> None:
    """A gateway is a device of its application too."""
    acme = Enterprise()
    author = SdkDevice(acme.add_application(acme.admin))
    gateway = msgspec.structs.replace(
        Enterprise.gateway(author.application, ""),
        client_id=author.client_id,
        ksm_key=author.key.public.raw,
    )
    acme.by_admin(Enterprise.gateway(author.application, ""))
    acme.by_admin(gateway)

    assert author_of(acme.state, author.sign(**update())).is_confirmed


def test_invented_device_is_refused() -> None:
    """A server can't make a device that no owner announced."""
    acme = Enterprise()
    author = SdkDevice(acme.add_application(acme.admin))

    assert refusal(lambda: author_of(acme.state, author.sign(**update()))) == Code.SEAL_AUTHOR


@pytest.mark.parametrize("confirmed", [True, False])
def test_substituted_key_is_refused(confirmed: bool) -> None:
    """Against the log's key, or the one pinned at the first use."""
    acme = Enterprise()
    author = announced(acme, confirmed=confirmed)
    pinned: dict[str, bytes] = {author.uid: author.key.public.raw}
    author.key = P256PrivateKey.generate()
    write = author.sign(**update())

    refused = refusal(lambda: author_of(acme.state, write, device_keys=pinned))

    assert refused == Code.SEAL_AUTHOR


def test_device_of_another_application_is_refused() -> None:
    """Its rights would be another's."""
    acme = Enterprise()
    author = announced(acme, confirmed=True)
    author.application = acme.add_application(acme.admin)

    assert refusal(lambda: author_of(acme.state, author.sign(**update()))) == Code.SEAL_AUTHOR


def test_removed_device_wrote_only_before() -> None:
    """The log says when it ended."""
    acme = Enterprise()
    author = announced(acme, confirmed=True)
    before = acme.state.seq
    acme.revoke(Kind.CLIENT, author.uid)
    write = author.sign(**update())

    author_of(acme.state, write, log_seq=before)

    for position in (acme.state.seq, acme.state.seq + 1, -1):
        with pytest.raises(Refused):
            author_of(acme.state, write, log_seq=position)


# --- what was written ----------------------------------------------------------------------------


def fits_record(content: dict[str, object], **changes: object) -> bool:
    author = device()
    claims: dict[str, object] = {
        "record": RECORD, "folder": FOLDER, "inner_folder": INNER, "revision": 4,
        "record_key": bytes(60), "payload": bytes(40), "ancestors": None,
    }  # fmt: skip
    try:
        check_record_content(open_write(author.sign(**content)), **claims | changes)  # type: ignore[arg-type]  # each test gives what the check takes
    except Refused as error:
        return error.code != Code.SEAL_BROKEN
    return True


CREATE: dict[str, object] = {
    "recordUid": RECORD, "folderUid": FOLDER, "subFolderUid": INNER, "folderKey": b64(bytes(60)),
    "recordKey": b64(bytes(125)), "data": b64(bytes(40)),
}  # fmt: skip
ADD: dict[str, object] = {
    "ownerRecordUid": RECORD, "ownerRecordData": b64(bytes(40)), "fileRecordUid": "f" * 21 + "A",
    "fileRecordKey": b64(bytes(125)), "fileRecordData": b64(bytes(40)), "linkKey": b64(bytes(60)),
    "fileSize": 100,
}  # fmt: skip


def test_update_fits_its_revision_and_no_other() -> None:
    """An old request shown again, late or early, is found out."""
    assert fits_record(update(3))
    for changes in ({"revision": 3}, {"revision": 5}, {"record": INNER}, {"payload": bytes(41)}):
        assert not fits_record(update(3), **changes)
    assert not fits_record(update(3), payload=b"")


def test_attachment_fits_like_an_update() -> None:
    """Some devices do not tell which revision they saw."""
    assert fits_record(ADD | {"ownerRecordRevision": 3})
    assert fits_record(ADD)
    assert not fits_record(ADD | {"ownerRecordRevision": 2})
    assert not fits_record(ADD, payload=bytes(41))


def test_creation_fits_the_first_revision_in_its_place() -> None:
    """Record, folders, key and data."""
    assert fits_record(CREATE, revision=1)
    for changes in (
        {"revision": 2}, {"record": INNER}, {"folder": INNER}, {"inner_folder": ""},
        {"record_key": bytes(59) + b"x"}, {"payload": bytes(41)}, {"payload": b""},
    ):  # fmt: skip
        assert not fits_record(CREATE, **{"revision": 1} | changes)


def test_deletion_fits_what_it_names() -> None:
    """By itself, or by a folder it was in."""
    delete: dict[str, object] = {"recordUids": [INNER, RECORD]}
    drop: dict[str, object] = {"folderUids": [INNER], "forceDeletion": True}

    assert fits_record(delete, payload=b"")
    assert not fits_record(delete)
    assert not fits_record({"recordUids": [INNER]}, payload=b"")
    assert fits_record(drop, payload=b"")
    assert fits_record(drop, payload=b"", ancestors={INNER, FOLDER})
    assert not fits_record(drop, payload=b"", ancestors={FOLDER})
    assert not fits_record(drop | {"forceDeletion": False}, payload=b"")


def test_other_requests_are_no_revision_of_a_record() -> None:
    """The end of a transaction holds no data; a folder is no record."""
    assert not fits_record({"recordUid": RECORD})
    assert not fits_record({"folderUid": RECORD, "data": b64(bytes(40))})


def fits_folder(content: dict[str, object], **changes: object) -> bool:
    claims: dict[str, object] = {
        "folder": INNER, "domain": FOLDER, "revision": 1, "payload": bytes(48), "ancestors": None,
    }  # fmt: skip
    try:
        check_folder_content(open_write(device().sign(**content)), **claims | changes)  # type: ignore[arg-type]  # each test gives what the check takes
    except Refused as error:
        return error.code != Code.SEAL_BROKEN
    return True


def test_folder_revisions_fit_what_was_signed() -> None:
    """Creation, name, deletion."""
    made: dict[str, object] = {
        "folderUid": INNER, "sharedFolderUid": FOLDER, "sharedFolderKey": b64(bytes(64)),
        "data": b64(bytes(48)),
    }  # fmt: skip
    rename: dict[str, object] = {"folderUid": INNER, "data": b64(bytes(48))}
    drop: dict[str, object] = {"folderUids": [INNER]}

    assert fits_folder(made)
    assert not fits_folder(made, revision=2)
    assert not fits_folder(made, domain=RECORD)
    assert fits_folder(rename, revision=9)
    assert not fits_folder(rename, folder=RECORD)
    assert not fits_folder(rename, payload=b"")
    assert fits_folder(drop, payload=b"")
    assert not fits_folder(drop)
    assert not fits_folder(drop, folder=FOLDER, payload=b"")
    assert not fits_folder({"recordUids": [INNER]}, payload=b"")


def test_folder_within_a_deleted_one_goes_with_force_only() -> None:
    """As far as the reader knows what it was in."""
    drop: dict[str, object] = {"folderUids": [RECORD], "forceDeletion": True}

    assert fits_folder(drop, payload=b"", ancestors={RECORD})
    assert not fits_folder(drop, payload=b"", ancestors={FOLDER})
    assert not fits_folder(drop | {"forceDeletion": False}, payload=b"", ancestors={RECORD})
