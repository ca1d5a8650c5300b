from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Right
from commander.clock import ManualClock
from commander.codec import Message
from commander.errors import Conflict, NotFound, Refused, Tampered, Unreachable
from commander.vault.session import Vault
from commander.vault.store import Store
from commander.wire import calls
from commander.wire.pam import ResourceSettings, TunnelSettings
from commander.wire.records import RecordData
from tests.support.memory_server import MemoryServer
from tests.support.vaults import first_vault, same_user_again, second_vault


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> MemoryServer:
    return MemoryServer(clock)


def login_record(title: str = "Orders DB") -> RecordData:
    data = RecordData.create("login", title)
    data.set_first("login", "app")
    return data


async def test_created_record_is_seen_by_another_shell(
    server: MemoryServer, clock: ManualClock
) -> None:
    """What one shell writes, another shell of the user reads after a sync."""
    first = await first_vault(server, clock)
    second = await same_user_again(server, clock, first)
    made = await first.create_record(login_record())

    await second.sync()

    assert second.find_record("Orders DB").uid == made.uid
    assert second.find_record("Orders DB").data.text("login") == "app"


async def test_two_shells_that_write_at_once_lose_nothing(
    server: MemoryServer, clock: ManualClock
) -> None:
    """Concurrent changes of one record's different fields are both there at the end."""
    first = await first_vault(server, clock)
    record = await first.create_record(login_record())
    second = await same_user_again(server, clock, first)

    await asyncio.gather(
        first.update_record(record.uid, lambda data: data.set_first("url", "https://a")),
        second.update_record(record.uid, lambda data: data.set_first("login", "admin")),
    )
    await first.sync()

    data = first.get_record(record.uid).data
    assert (data.text("url"), data.text("login")) == ("https://a", "admin")
    assert first.get_record(record.uid).revision == 3


async def test_a_crowd_of_writers_loses_nothing(server: MemoryServer, clock: ManualClock) -> None:
    """Sixteen shells change one record at once: the unluckiest is refused many times, and gets through."""
    first = await first_vault(server, clock)
    record = await first.create_record(login_record())
    shells = [await same_user_again(server, clock, first) for _ in range(16)]

    async def append(shell: Vault, mark: str) -> None:
        def change(data: RecordData) -> None:
            data.set_first("login", f"{data.text('login')} {mark}")

        await shell.update_record(record.uid, change)

    await asyncio.gather(*(append(shell, f"m{number}") for number, shell in enumerate(shells)))
    await first.sync()

    marks = first.get_record(record.uid).data.text("login").split()
    assert {f"m{number}" for number in range(16)} <= set(marks)


async def test_a_writer_who_is_always_late_is_told_so(
    server: MemoryServer, clock: ManualClock
) -> None:
    """When others were faster for half a minute, the command ends with the conflict, and nothing changed."""
    first = await first_vault(server, clock)
    record = await first.create_record(login_record())
    late = await same_user_again(server, clock, first)
    made = login_record()

    def be_faster() -> None:
        clock.advance(1)
        server.stored.cursor += 1
        raise Conflict("again", code=Code.REVISION_CONFLICT)

    server.before_commit = be_faster
    with pytest.raises(Conflict):
        await late.update_record(record.uid, lambda data: data.set_first("login", "late"))

    assert late.get_record(record.uid).data.text("login") == made.text("login")


async def test_statements_of_two_shells_are_built_again_when_the_log_moved(
    server: MemoryServer, clock: ManualClock
) -> None:
    """Both shared folders exist, each made at the head it really follows."""
    first = await first_vault(server, clock)
    second = await same_user_again(server, clock, first)

    await first.create_shared_folder("One")
    await second.create_shared_folder("Two")
    await first.sync()

    assert [folder.name for folder in first.view.subfolders(first.view.root)] == ["One", "Two"]


async def test_commit_whose_answer_was_lost_is_recognised(
    server: MemoryServer, clock: ManualClock
) -> None:
    """A change that landed though its answer did not come is not made twice."""
    vault = await first_vault(server, clock)

    def lose(path: str, answer: Message) -> Message:
        if path == calls.COMMIT.path:
            server.before_answer = lambda _, kept: kept
            raise Unreachable("the connection broke")
        return answer

    server.before_answer = lose
    record = await vault.create_record(login_record())

    assert record.revision == 1
    assert len(server.stored.records[record.uid]) == 1


async def test_commit_that_never_arrived_is_reported(
    server: MemoryServer, clock: ManualClock
) -> None:
    """A change that did not land raises what went wrong, and nothing is shown of it."""
    vault = await first_vault(server, clock)

    def fail() -> None:
        server.before_commit = lambda: None
        raise Unreachable("no way")

    server.before_commit = fail
    with pytest.raises(Unreachable):
        await vault.create_record(login_record())

    assert not vault.view.records


async def test_endless_conflict_ends(server: MemoryServer, clock: ManualClock) -> None:
    """A server that answers conflict without anything having changed is not asked forever."""
    vault = await first_vault(server, clock)

    def refuse() -> None:
        raise Conflict("again", code=Code.REVISION_CONFLICT)

    server.before_commit = refuse
    with pytest.raises(Conflict):
        await vault.create_record(login_record())


async def test_nothing_readable_reaches_the_server(
    server: MemoryServer, clock: ManualClock
) -> None:
    """Titles, notes, hosts and folder names are in no stored byte."""
    vault = await first_vault(server, clock)
    folder = await vault.create_shared_folder("CANARY-FOLDER")
    data = RecordData.create("pamMachine", "CANARY-TITLE")
    data.content["notes"] = "CANARY-NOTES"
    data.set_first("pamHostname", {"hostName": "canary-host.example", "port": "22"})
    await vault.create_record(data, folder.uid)
    application = await vault.applications.create("CANARY-APPLICATION")
    await vault.applications.add_gateway(application.uid, "CANARY-GATEWAY")

    stored = repr(server.stored)

    assert "canary" not in stored.lower()
    assert b"CANARY".hex() not in stored


async def test_moved_record_is_read_by_members_of_its_new_folder(
    server: MemoryServer, clock: ManualClock
) -> None:
    """A record moved into a shared folder, with its settings, opens for those it is shared with."""
    ann = await first_vault(server, clock)
    bob = await second_vault(server, clock, ann, "bob@example.org")
    await ann.sync()
    record = await ann.create_record(
        login_record(), settings=ResourceSettings(tunnel=TunnelSettings(enabled=True))
    )
    folder = await ann.create_shared_folder("Shared")
    await ann.sharing.share_with_user(folder.uid, bob.user, (Right.VIEW,))

    await ann.move_record(record.uid, folder.uid)
    await bob.sync()

    assert bob.find_record("Shared/Orders DB").uid == record.uid
    settings = bob.settings(record.uid)
    assert isinstance(settings, ResourceSettings)
    assert settings.tunnel.enabled
    assert not bob.problems


async def test_view_only_member_cannot_write(server: MemoryServer, clock: ManualClock) -> None:
    """The client refuses with the published code before anything is sent."""
    ann = await first_vault(server, clock)
    bob = await second_vault(server, clock, ann, "bob@example.org")
    await ann.sync()
    folder = await ann.create_shared_folder("Shared")
    record = await ann.create_record(login_record(), folder.uid)
    await ann.sharing.share_with_user(folder.uid, bob.user, (Right.VIEW,))
    await bob.sync()

    with pytest.raises(Refused) as caught:
        await bob.delete_record(record.uid)

    assert caught.value.code == Code.RIGHT_MISSING


async def test_ended_share_hides_the_folder(server: MemoryServer, clock: ManualClock) -> None:
    """What `decide` no longer allows is not shown, also when a share just ran out."""
    ann = await first_vault(server, clock)
    bob = await second_vault(server, clock, ann, "bob@example.org")
    await ann.sync()
    folder = await ann.create_shared_folder("Shared")
    await ann.create_record(login_record(), folder.uid)
    ends = int(clock.now()) + 3600
    await ann.sharing.share_with_user(folder.uid, bob.user, (Right.VIEW,), not_after=ends)
    await bob.sync()
    assert bob.find_record("Orders DB").domain == folder.uid

    clock.advance(3601)

    with pytest.raises(NotFound):
        bob.find_record("Orders DB")


async def test_linking_a_credential_needs_use_right(
    server: MemoryServer, clock: ManualClock
) -> None:
    """Settings that name a credential the author cannot see are refused before they are sent."""
    vault = await first_vault(server, clock)
    record = await vault.create_record(login_record())

    with pytest.raises(NotFound):
        await vault.change_settings(
            record.uid, lambda _: ResourceSettings(launch_credential="A" * 22)
        )


async def test_settings_are_changed_and_read_back(server: MemoryServer, clock: ManualClock) -> None:
    """A second identical change writes nothing."""
    vault = await first_vault(server, clock)
    record = await vault.create_record(login_record())
    wanted = ResourceSettings(tunnel=TunnelSettings(enabled=True, remote_port=22))

    assert await vault.change_settings(record.uid, lambda _: wanted)
    assert not await vault.change_settings(record.uid, lambda _: wanted)

    assert vault.settings(record.uid) == wanted
    assert vault.settings_revision(record.uid) == 1


async def test_cache_is_read_without_the_server(
    server: MemoryServer, clock: ManualClock, tmp_path: Path
) -> None:
    """A stored copy shows everything again, pins and settings included."""
    path = tmp_path / "home" / "cache.bin"
    vault = await first_vault(server, clock)
    store = Store(path, vault.login.data_key, vault.user)
    vault = await Vault.open(vault.login, server.remote_for(vault.user), clock=clock, store=store)
    folder = await vault.create_shared_folder("Shared")
    record = await vault.create_record(login_record(), folder.uid, settings=ResourceSettings())
    application = await vault.applications.create("App")

    again = Vault.offline(vault.login, server.remote_for(vault.user), clock=clock, store=store)

    assert again.find_record("Shared/Orders DB").uid == record.uid
    assert again.settings(record.uid) == ResourceSettings()
    assert again.applications.find("App").uid == application.uid
    assert again.state.head == vault.state.head


async def test_rolled_back_log_is_named_after_a_restart(
    server: MemoryServer, clock: ManualClock, tmp_path: Path
) -> None:
    """The pin survives the process: an older log is refused loudly."""
    vault = await first_vault(server, clock)
    store = Store(tmp_path / "home" / "cache.bin", vault.login.data_key, vault.user)
    remote = server.remote_for(vault.user)
    await Vault.open(vault.login, remote, clock=clock, store=store)
    server.stored.statements.pop()

    with pytest.raises(Tampered) as caught:
        await Vault.open(vault.login, remote, clock=clock, store=store)

    assert caught.value.code == Code.LOG_FORKED


async def test_history_holds_every_revision(server: MemoryServer, clock: ManualClock) -> None:
    """Older revisions open with the keys of today."""
    vault = await first_vault(server, clock)
    record = await vault.create_record(login_record())
    await vault.update_record(record.uid, lambda data: data.set_first("login", "admin"))

    found = await vault.history(record.uid)

    assert [(r.revision, r.data.text("login")) for r in found] == [(1, "app"), (2, "admin")]


async def test_folders_are_made_renamed_moved_and_removed(
    server: MemoryServer, clock: ManualClock
) -> None:
    """The tree follows, and a folder cannot move into itself or out of its domain."""
    vault = await first_vault(server, clock)
    shared = await vault.create_shared_folder("Shared")
    outer = await vault.create_folder("Outer", shared.uid)
    inner = await vault.create_folder("Inner", outer.uid)
    record = await vault.create_record(login_record(), inner.uid)
    assert vault.view.record_path(vault.get_record(record.uid)) == "Shared/Outer/Inner/Orders DB"

    with pytest.raises(Conflict):
        await vault.move_folder(outer.uid, inner.uid)
    with pytest.raises(Conflict):
        await vault.move_folder(outer.uid, vault.view.root)
    await vault.move_folder(inner.uid, shared.uid)
    await vault.rename_folder(inner.uid, "Deep")
    assert vault.find_record("Shared/Deep/Orders DB").uid == record.uid
    await vault.delete_folder(inner.uid)
    assert not vault.view.records
    await vault.delete_folder(shared.uid)

    assert not vault.view.subfolders(vault.view.root)


async def test_application_gets_folder_clients_and_gateway(
    server: MemoryServer, clock: ManualClock
) -> None:
    """Names are stored sealed and come back; a second share changes nothing."""
    vault = await first_vault(server, clock)
    folder = await vault.create_shared_folder("Infrastructure")
    application = await vault.applications.create("Infrastructure")

    assert await vault.applications.share_folder(application.uid, folder.uid)
    assert not await vault.applications.share_folder(application.uid, folder.uid)
    token = await vault.applications.add_gateway(application.uid, "gw")
    await vault.applications.add_client(application.uid, "ci")

    names = [client.name for client in await vault.applications.clients(application.uid)]
    assert names == ["ci", "gw"]
    assert vault.state.vouchers.get(token.voucher) is not None
    assert vault.applications.find("Infrastructure").folders == (folder.uid,)
    assert await vault.applications.unshare_folder(application.uid, folder.uid)
    await vault.applications.remove_client(token.client_id)
    assert len(await vault.applications.clients(application.uid)) == 1


async def test_ambiguous_title_lists_the_candidates(
    server: MemoryServer, clock: ManualClock
) -> None:
    """Two records of one title: code 7 and both UIDs; a path or UID decides."""
    vault = await first_vault(server, clock)
    folder = await vault.create_folder("Sub")
    one = await vault.create_record(login_record())
    two = await vault.create_record(login_record(), folder.uid)

    with pytest.raises(Conflict) as caught:
        vault.find_record("Orders DB")

    assert one.uid in caught.value.message
    assert two.uid in caught.value.message
    assert vault.find_record("Sub/Orders DB").uid == two.uid
    assert vault.find_record(one.uid).uid == one.uid
