from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.clock import ManualClock
from commander.errors import Conflict, NotFound
from commander.vault.session import Vault
from commander.vault.state import MAX_DEPTH, join_path, split_path
from commander.wire.records import RecordData
from tests.support.memory_server import MemoryServer
from tests.support.vaults import first_vault


@pytest.fixture
async def vault() -> Vault:
    clock = ManualClock()
    return await first_vault(MemoryServer(clock), clock)


@given(parts=st.lists(st.text(min_size=1, max_size=8).filter(lambda t: "\0" not in t), min_size=1))
def test_paths_survive_joining_and_splitting(parts: list[str]) -> None:
    """Whatever characters names hold, as long as no slash stands at a border of two names."""
    if any(part.startswith("/") or part.endswith("/") for part in parts):
        return

    assert split_path(join_path(parts)) == parts


async def test_exact_name_wins_over_another_case(vault: Vault) -> None:
    """Case is ignored only when nothing else fits."""
    lower = await vault.create_record(RecordData.create("login", "box"))
    await vault.create_record(RecordData.create("login", "BOX"))

    assert vault.find_record("box").uid == lower.uid
    with pytest.raises(Conflict):
        vault.find_record("Box")


async def test_title_that_looks_like_a_uid_does_not_hide_the_record_of_that_uid(
    vault: Vault,
) -> None:
    """B008: a UID is looked up first."""
    real = await vault.create_record(RecordData.create("login", "real"))
    await vault.create_record(RecordData.create("login", real.uid))

    assert vault.find_record(real.uid).uid == real.uid


async def test_record_in_the_current_folder_is_meant(vault: Vault) -> None:
    """Inside a folder its own record wins; at the root the same title is ambiguous."""
    folder = await vault.create_folder("Sub")
    await vault.create_record(RecordData.create("login", "box"))
    inner = await vault.create_record(RecordData.create("login", "box"), folder.uid)

    assert vault.find_record("box", base=folder.uid).uid == inner.uid
    with pytest.raises(Conflict):
        vault.find_record("box")


async def test_many_candidates_are_counted(vault: Vault) -> None:
    """An error lists ten of them and says how many more there are."""
    for _ in range(12):
        await vault.create_record(RecordData.create("login", "same"))

    with pytest.raises(Conflict, match="and 2 more"):
        vault.find_record("same")


async def test_folders_in_a_cycle_are_shown_at_the_top(vault: Vault) -> None:
    """B037: two folders that name each other as parent hang nothing and hide nothing."""
    one = await vault.create_folder("One")
    two = await vault.create_folder("Two", one.uid)
    root = vault.view.root
    await vault.commit(lambda draft: draft.put_folder(one.uid, root, "One", two.uid))

    assert {folder.name for folder in vault.view.subfolders(root)} == {"One", "Two"}
    assert vault.view.path_of(one.uid) == ("One",)


async def test_deep_folders_end_somewhere(vault: Vault) -> None:
    """A chain deeper than the limit still has a finite path."""
    parent = vault.view.root
    for number in range(MAX_DEPTH + 4):
        parent = (await vault.create_folder(f"f{number}", parent)).uid

    assert 0 < len(vault.view.path_of(parent)) <= MAX_DEPTH


async def test_folder_whose_parent_is_gone_is_shown_at_the_top(vault: Vault) -> None:
    """Concurrent delete and move leave no orphan that nobody sees."""
    folder = await vault.create_folder("Sub")
    root = vault.view.root
    await vault.commit(lambda draft: draft.put_folder(folder.uid, root, "Sub", "A" * 22))

    assert [found.name for found in vault.view.subfolders(root)] == ["Sub"]


async def test_records_of_a_removed_inner_folder_are_shown_in_their_domain(vault: Vault) -> None:
    """The label is gone, the record is not."""
    folder = await vault.create_folder("Sub")
    record = await vault.create_record(RecordData.create("login", "box"), folder.uid)
    root = vault.view.root
    await vault.commit(lambda draft: draft.put_folder(folder.uid, root, "Sub", "", deleted=True))

    assert [found.uid for found in vault.view.records_in(root)] == [record.uid]
    assert vault.view.record_path(vault.get_record(record.uid)) == "box"


async def test_records_are_listed_by_type(vault: Vault) -> None:
    """For commands that look for resources or configurations."""
    await vault.create_record(RecordData.create("login", "b"))
    await vault.create_record(RecordData.create("pamUser", "a"))

    assert [r.data.title for r in vault.view.records_of_type("login", "pamUser")] == ["a", "b"]


async def test_unknown_uids_are_not_found(vault: Vault) -> None:
    """Every operation by UID says so with code 3."""
    missing = "A" * 22
    for wait in (
        vault.update_record(missing, lambda data: None),
        vault.delete_record(missing),
        vault.move_record(missing, vault.view.root),
        vault.create_record(RecordData.create("login", "x"), missing),
        vault.rename_folder(missing, "x"),
        vault.delete_folder(missing),
        vault.history(missing),
        vault.sharing.unshare(missing, missing),
        vault.applications.share_folder(missing, missing),
    ):
        with pytest.raises(NotFound):
            await wait
    with pytest.raises(NotFound):
        vault.application_key(missing)
    with pytest.raises(NotFound):
        vault.applications.find("nothing")
