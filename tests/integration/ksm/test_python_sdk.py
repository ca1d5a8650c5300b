"""The official Python SDK, unmodified, against the real server over TLS: everything it can do."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core import SecretsManager  # type: ignore[import-untyped]
from keeper_secrets_manager_core.core import (  # type: ignore[import-untyped]
    KeeperFileUpload,
    KSMCache,
)
from keeper_secrets_manager_core.dto.dtos import (  # type: ignore[import-untyped]
    RecordCreate,
    RecordField,
)
from keeper_secrets_manager_core.dto.payload import (  # type: ignore[import-untyped]
    CreateOptions,
    QueryOptions,
    UpdateOptions,
)
from keeper_secrets_manager_core.exceptions import KeeperError  # type: ignore[import-untyped]
from keeper_secrets_manager_core.storage import (  # type: ignore[import-untyped]
    FileKeyValueStorage,
    InMemoryKeyValueStorage,
)

from commander.wire.records import RecordData
from tests.support.sdk_devices import RawDevice, SdkWorld

pytestmark = pytest.mark.integration


async def opened(world: SdkWorld) -> Any:
    """The SDK with a configuration as `client add --config-init b64` gives it."""
    text = (await world.config()).to_base64()
    return SecretsManager(config=InMemoryKeyValueStorage(text))


def secret(title: str, password: str = "first") -> Any:
    """A new record in the SDK's words."""
    record = RecordCreate("login", title)
    record.fields = [RecordField("login", "app"), RecordField("password", password)]
    return record


def in_thread(work: Any, *values: Any) -> Any:
    """SDK calls block; the server runs in this loop."""
    return asyncio.to_thread(work, *values)


def test_is_the_published_package() -> None:
    """Not older than the first that takes a server key, and every file as its wheel had it."""
    package = metadata.distribution("keeper-secrets-manager-core")
    assert [int(part) for part in package.version.split(".")] >= [17, 3, 0]

    for file in package.files or ():
        if file.hash is not None:
            digest = hashlib.new(file.hash.mode, file.read_binary()).digest()
            assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == file.hash.value


async def test_binds_with_a_token_and_opens_again_from_its_file(
    world: SdkWorld, tmp_path: Path
) -> None:
    """The file it wrote is enough for the next run; the token is used up."""
    token = (await world.token()).text
    file = tmp_path / "ksm.json"
    key_id = str(world.server.core.identity.ksm_key_id)

    def bind(path: Path) -> Any:
        manager = SecretsManager(
            token=token, hostname=world.hostname, config=FileKeyValueStorage(str(path)),
            server_public_key=world.server_key, server_public_key_id=key_id,
        )  # fmt: skip
        return manager.get_secrets()

    def again() -> Any:
        return SecretsManager(config=FileKeyValueStorage(str(file))).get_secrets()

    (record,) = await in_thread(bind, file)
    (second,) = await in_thread(again)
    assert record.title == second.title == "Orders DB"
    assert second.field("password", single=True) == "pass wörd"
    with pytest.raises(KeeperError):
        await in_thread(bind, tmp_path / "other.json")


async def test_reads_filters_and_uses_notation(world: SdkWorld) -> None:
    """By record, by folder, by title, by notation; unknown names give nothing."""
    manager = await opened(world)

    def read() -> None:
        everything = manager.get_secrets(full_response=True)
        assert everything.appData.title == "Orders"
        assert [f.uid for f in everything.folders] == [world.folder]
        assert [r.uid for r in manager.get_secrets([world.record])] == [world.record]
        assert manager.get_secrets(["A" * 22]) == []
        by_folder = manager.get_secrets_with_options(QueryOptions(None, [world.folder]))
        assert [r.uid for r in by_folder] == [world.record]
        assert manager.get_secrets_with_options(QueryOptions(None, ["A" * 22])) == []
        (linked,) = manager.get_secrets_with_options(QueryOptions([world.record], None, True))
        assert linked.get_links() == []
        assert manager.get_secret_by_title("Orders DB").uid == world.record
        assert manager.get_notation(f"keeper://{world.record}/field/password") == "pass wörd"
        assert manager.get_notation("keeper://Orders DB/field/login") == "orders"
        assert manager.get_notation(f"{world.record}/type") == "login"

    await in_thread(read)


async def test_updates_a_record_and_meets_a_faster_writer(world: SdkWorld) -> None:
    """Two writers: the slower one is told, reads again and loses nothing."""
    one, other = await opened(world), await opened(world)

    def update() -> None:
        (mine,), (theirs,) = one.get_secrets(), other.get_secrets()
        mine.field("password", "changed")
        one.save(mine)
        theirs.field("login", "late")
        with pytest.raises(KeeperError, match="out_of_sync"):
            other.save(theirs)
        (theirs,) = other.get_secrets([world.record])
        theirs.field("login", "late")
        other.save(theirs)
        (found,) = one.get_secrets()
        assert found.field("password", single=True) == "changed"
        assert found.field("login", single=True) == "late"
        assert found.is_editable

    await in_thread(update)
    assert await world.titles() >= {"Orders DB", "Databases"}
    record = world.vault.get_record(world.record)
    assert (record.revision, record.data.first("password")) == (3, "changed")


def set_login(text: str, data: RecordData) -> None:
    """A change by the vault."""
    data.set_first("login", text)


async def test_many_writers_lose_nothing(world: SdkWorld) -> None:
    """Three SDKs and the owner's vault change one record at once; every change is in the end."""
    managers = [await opened(world) for _ in range(3)]

    def add(manager: Any, mark: str) -> None:
        while True:
            (record,) = manager.get_secrets([world.record])
            record.add_custom_field(field_type="text", label=mark, value=mark)
            try:
                manager.save(record)
            except KeeperError as error:
                if "out_of_sync" not in str(error):
                    raise
            else:
                return

    def write(manager: Any, name: str) -> None:
        for number in range(4):
            add(manager, f"{name}{number}")

    async def write_by_vault() -> None:
        for number in range(4):
            await world.vault.sync()
            await world.vault.update_record(world.record, partial(set_login, f"v{number}"))

    await asyncio.gather(
        *(in_thread(write, one, name) for one, name in zip(managers, "abc", strict=True)),
        write_by_vault(),
    )

    assert await world.vault.sync() == []
    record = world.vault.get_record(world.record)
    marks = {field["label"] for field in record.data.content["custom"]}
    assert marks == {f"{name}{number}" for name in "abc" for number in range(4)}
    assert record.data.first("login") == "v3"
    history = await world.vault.history(world.record)
    assert [one.revision for one in history] == list(range(1, 18))


async def test_transactions_commit_and_roll_back(world: SdkWorld) -> None:
    """Nobody reads what is staged; its end decides; without one it changes nothing."""
    one, other = await opened(world), await opened(world)

    def password() -> str:
        (found,) = other.get_secrets([world.record])
        return str(found.field("password", single=True))

    def run() -> None:
        (record,) = one.get_secrets()
        record.field("password", "second")
        one.save(record, transaction_type="general")
        assert password() == "pass wörd"
        one.complete_transaction(world.record, rollback=True)
        assert password() == "pass wörd"
        one.save(record, transaction_type="rotation")
        one.complete_transaction(world.record)
        assert password() == "second"
        with pytest.raises(KeeperError, match="waits to be completed"):
            one.complete_transaction(world.record)
        (stale,) = one.get_secrets()
        one.save(stale, transaction_type="general")
        (newest,) = other.get_secrets([world.record])
        newest.field("password", "third")
        other.save(newest)
        with pytest.raises(KeeperError, match="out_of_sync"):
            one.complete_transaction(world.record)
        assert password() == "third"

    await in_thread(run)


async def test_creates_and_deletes_records(world: SdkWorld) -> None:
    """In a shared folder and in a sub-folder; a second deletion fails for that record alone."""
    manager = await opened(world)

    def run() -> None:
        uid = manager.create_secret(world.folder, secret("New"))
        inner = manager.create_folder(CreateOptions(world.folder, None), "Inner")
        second = manager.create_secret_with_options(
            CreateOptions(world.folder, inner), secret("Within")
        )
        found = {r.uid: r for r in manager.get_secrets()}
        assert found[uid].field("password", single=True) == "first"
        assert found[second].inner_folder_uid == inner
        outcome = manager.delete_secret([uid, "A" * 22])
        assert [item["responseCode"] for item in outcome] == ["ok", "record_uid_not_found"]
        assert uid not in {r.uid for r in manager.get_secrets()}
        assert manager.delete_secret(uid)[0]["responseCode"] != "ok"

    await in_thread(run)
    titles = await world.titles()
    assert titles >= {"Within", "Inner"}
    assert "New" not in titles


async def test_makes_renames_nests_and_deletes_folders(world: SdkWorld) -> None:
    """Parents come before children; a full folder goes by force only."""
    manager = await opened(world)

    def names() -> dict[str, str]:
        return {f.folder_uid: f.name for f in manager.get_folders()}

    def run() -> None:
        assert names() == {world.folder: "Databases"}
        outer = manager.create_folder(CreateOptions(world.folder, None), "Outer")
        inner = manager.create_folder(CreateOptions(world.folder, outer), "Inner")
        manager.update_folder(inner, "Innermost")
        manager.update_folder(world.folder, "All databases")
        assert names() == {world.folder: "All databases", outer: "Outer", inner: "Innermost"}
        kept = manager.create_secret_with_options(
            CreateOptions(world.folder, inner), secret("Within")
        )
        (refused,) = manager.delete_folder([outer])
        assert refused["responseCode"] == "bad_request"
        codes = manager.delete_folder([outer, inner, world.folder], force_deletion=True)
        assert [c["responseCode"] for c in codes] == ["ok", "ok", "access_denied"]
        assert names() == {world.folder: "All databases"}
        assert kept not in {r.uid for r in manager.get_secrets()}

    await in_thread(run)
    titles = await world.titles()
    assert "All databases" in titles
    assert titles.isdisjoint({"Databases", "Outer", "Inner", "Innermost", "Within"})


async def test_uploads_and_downloads_files(world: SdkWorld, tmp_path: Path) -> None:
    """What comes back is what went in; a removed file is gone, and its bytes with it."""
    manager = await opened(world)
    content = bytes(range(256)) * 3000
    file = KeeperFileUpload()
    file.Name, file.Title, file.Type, file.Data = "c.bin", "Certificate", "x/y", content

    def run() -> None:
        (record,) = manager.get_secrets([world.record])
        uid = manager.upload_file(record, file)
        (record,) = manager.get_secrets([world.record])
        (found,) = record.files
        assert found.f["fileUid"] == uid
        assert (found.name, found.size) == ("c.bin", len(content))
        assert found.get_file_data() == content
        record.download_file_by_title("Certificate", str(tmp_path / "out"))
        assert (tmp_path / "out").read_bytes() == content
        notation = manager.get_notation(f"keeper://{world.record}/file/c.bin")
        assert notation == content
        manager.save_with_options(record, UpdateOptions(None, [uid]))
        (record,) = manager.get_secrets([world.record])
        assert record.files == []

    await in_thread(run)
    assert list((tmp_path / "files").iterdir()) == []
    assert "Orders DB" in await world.titles()


async def test_reads_from_its_cache_when_the_server_is_down(
    world: SdkWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's own cache holds the last answer."""
    monkeypatch.setenv("KSM_CACHE_DIR", str(tmp_path))
    config = await world.config()
    online = InMemoryKeyValueStorage(config.to_base64())
    offline_text = config.to_json().replace(world.hostname, "127.0.0.1:1")
    offline = InMemoryKeyValueStorage(base64.b64encode(offline_text.encode()).decode())

    def run() -> None:
        cached = SecretsManager(config=online, custom_post_function=KSMCache.caching_post_function)
        assert len(cached.get_secrets()) == 1
        down = SecretsManager(config=offline, custom_post_function=KSMCache.caching_post_function)
        (record,) = down.get_secrets()
        assert record.title == "Orders DB"

    await in_thread(run)


class ClockForward(logging.Handler):
    """Lets the server's time pass when the SDK says that it waits."""

    def __init__(self, world: SdkWorld) -> None:
        super().__init__()
        self.world = world
        self.waits = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.waits += "throttled" in record.getMessage()
        self.world.server.clock.advance(2)


async def test_waits_as_told_when_it_is_throttled(world: SdkWorld) -> None:
    """And then gets its answer."""
    config = await world.config()
    manager = SecretsManager(
        config=InMemoryKeyValueStorage(config.to_base64()), log_level="WARNING"
    )
    device = RawDevice(world, config.client_id, config.private_key)
    while (await device.call("get_folders"))[0] == 200:
        pass
    handler = ClockForward(world)
    manager.logger.addHandler(handler)

    records = await in_thread(manager.get_secrets)

    manager.logger.removeHandler(handler)
    assert (len(records), handler.waits) == (1, 1)


async def test_view_only_application_is_refused_every_write(world: SdkWorld) -> None:
    """With a reason; and nothing has changed."""
    manager = await opened(world)
    await world.vault.applications.share_folder(world.application, world.folder)

    def run() -> None:
        (record,) = manager.get_secrets()
        assert not record.is_editable
        record.field("password", "no")
        writes: list[Callable[[], Any]] = [
            lambda: manager.save(record),
            lambda: manager.create_secret(world.folder, secret("No")),
            lambda: manager.create_folder(CreateOptions(world.folder, None), "No"),
            lambda: manager.update_folder(world.folder, "No"),
        ]
        for write in writes:
            with pytest.raises(KeeperError, match="access_denied"):
                write()
        assert manager.delete_secret(world.record)[0]["responseCode"] == "access_denied"
        (after,) = manager.get_secrets()
        assert after.field("password", single=True) == "pass wörd"

    await in_thread(run)


async def test_removed_client_is_refused_at_its_next_call(world: SdkWorld) -> None:
    """Whatever it asks."""
    config = await world.config()
    manager = SecretsManager(config=InMemoryKeyValueStorage(config.to_base64()))
    (record,) = await in_thread(manager.get_secrets)
    await world.vault.applications.remove_client(base64.b64encode(config.client_id).decode())

    for call in (
        manager.get_secrets,
        manager.get_folders,
        lambda: manager.save(record),
        lambda: manager.delete_secret(world.record),
    ):
        with pytest.raises(KeeperError, match="access_denied"):
            await in_thread(call)
