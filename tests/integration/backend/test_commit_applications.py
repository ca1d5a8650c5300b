"""Applications, their folder keys and clients of a commit: by their owner only."""

from __future__ import annotations

from typing import Any

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Right
from commander.ids import new_uid
from commander.ksm.keys import P256PrivateKey
from commander.ksm.token import OneTimeToken
from commander.vault.applications import text_client_id
from commander.vault.people import RoleChange
from commander.wire import calls
from tests.support.backend_devices import Application
from tests.support.backend_server import BackendServer, Person, changed, refused

pytestmark = pytest.mark.integration


async def commit(person: Person, **parts: Any) -> None:
    await person.call(calls.COMMIT, calls.Commit(**parts))


@pytest.fixture
async def bob(server: BackendServer, application: Application) -> Person:
    """Another user with every policy."""
    admin = application.owner
    found = await server.add_person(admin, "bob@example.org")
    await admin.vault.sync()
    role = admin.vault.people.roles()[0]

    await admin.vault.people.change_role(role.role, RoleChange(add_users=(found.user,)))
    await found.vault.sync()
    return found


async def test_application_data_is_written_by_its_owner_in_order(
    server: BackendServer, application: Application, bob: Person
) -> None:
    """Compare-and-set on the revision."""
    good = calls.NewApplication(application.uid, 2, b"x" * 80)

    with refused(Code.NOT_OWNER):
        await commit(bob, applications=(good,))
    for revision in (1, 3, 0):
        with refused(Code.REVISION_CONFLICT):
            await commit(application.owner, applications=(changed(good, revision=revision),))
    with refused(Code.TOO_LARGE):
        await commit(application.owner, applications=(changed(good, data=bytes(5000)),))
    with refused(Code.OBJECT_UNKNOWN):
        await commit(application.owner, applications=(changed(good, application=new_uid()),))
    await commit(application.owner, applications=(good,))


async def test_folder_keys_need_ownership_the_right_to_share_and_a_share(
    server: BackendServer, application: Application, bob: Person
) -> None:
    """An application gets keys only of folders that were shared with it."""
    owner = application.owner
    other = await owner.vault.create_shared_folder("Other")
    good = calls.ApplicationFolderKey(application.uid, application.folder, 1, bytes(60))

    with refused(Code.NOT_OWNER):
        await commit(bob, folder_keys=(good,))
    with refused(Code.ACCESS_MISSING):
        await commit(owner, folder_keys=(changed(good, folder=other.uid),))
    with refused(Code.REQUEST_MALFORMED):
        await commit(owner, folder_keys=(changed(good, key=bytes(59)),))
    with refused(Code.REQUEST_MALFORMED):
        await commit(owner, folder_keys=(changed(good, epoch=2**40),))
    mine = await bob.vault.applications.create("Bob's")
    await owner.vault.sharing.share_with_user(application.folder, bob.user, (Right.VIEW,))
    await bob.vault.sync()
    with refused(Code.RIGHT_MISSING):
        await commit(bob, folder_keys=(changed(good, application=mine.uid),))
    await commit(owner, folder_keys=(good,))


async def test_clients_have_a_closed_form_and_belong_to_the_owner(
    server: BackendServer, application: Application, bob: Person
) -> None:
    """Ids, sizes, times, keys: what is not exactly right is refused."""
    owner, now = application.owner, int(server.clock.now())
    token = OneTimeToken.generate()
    good = calls.NewClient(
        client_id=text_client_id(token), application=application.uid, kind="client", voucher="",
        name=b"n" * 30, app_key=bytes(60), public_key=b"", token_expires=now + 3600,
        access_expires=0, ip_lock=True,
    )  # fmt: skip
    key = P256PrivateKey.generate().public.raw
    cases: list[tuple[Code, dict[str, Any]]] = [
        (Code.REQUEST_MALFORMED, {"client_id": good.client_id.rstrip("=")}),
        (Code.REQUEST_MALFORMED, {"client_id": "A" * 88}),
        (Code.REQUEST_MALFORMED, {"client_id": ""}),
        (Code.REQUEST_MALFORMED, {"name": b""}),
        (Code.TOO_LARGE, {"name": bytes(2000)}),
        (Code.REQUEST_MALFORMED, {"app_key": b""}),
        (Code.TOO_LARGE, {"app_key": bytes(61)}),
        (Code.REQUEST_MALFORMED, {"token_expires": now}),
        (Code.REQUEST_MALFORMED, {"token_expires": now + 24 * 3600 + 1}),
        (Code.REQUEST_MALFORMED, {"access_expires": now}),
        (Code.REQUEST_MALFORMED, {"access_expires": 2**60}),
        (Code.TOO_LARGE, {"public_key": key}),
        (Code.REQUEST_MALFORMED, {"public_key": b"\x04" + bytes(64), "app_key": b""}),
        (Code.REQUEST_MALFORMED, {"voucher": new_uid()}),
        (Code.OBJECT_UNKNOWN, {"kind": "gateway"}),
        (Code.OBJECT_UNKNOWN, {"kind": "gateway", "public_key": key, "app_key": b""}),
        (Code.OBJECT_UNKNOWN, {"application": new_uid()}),
    ]

    for code, values in cases:
        with refused(code):
            await commit(owner, clients=(changed(good, **values),))
    with refused(Code.NOT_OWNER):
        await commit(bob, clients=(good,))
    with refused(Code.REQUEST_MALFORMED):
        await commit(owner, clients=(good, good))
    await commit(owner, clients=(good,))
    with refused(Code.STATEMENT_DUPLICATE):
        await commit(owner, clients=(good,))
    with refused(Code.NOT_OWNER):
        await commit(bob, removed_clients=(good.client_id,))
    await commit(owner, removed_clients=(good.client_id,))
    with refused(Code.OBJECT_UNKNOWN):
        await commit(owner, removed_clients=(good.client_id,))


async def test_gateway_clients_match_their_voucher(
    server: BackendServer, application: Application
) -> None:
    """What the server keeps of a token says what the log says."""
    vault = application.owner.vault
    token = await vault.applications.add_gateway(application.uid, "G")
    (row,) = [c.row for c in await vault.applications.clients(application.uid)]
    await commit(application.owner, removed_clients=(token.client_id,))
    good = calls.NewClient(
        client_id=token.client_id, application=application.uid, kind="gateway",
        voucher=row.voucher, name=row.name, app_key=bytes(60), public_key=b"",
        token_expires=row.token_expires, access_expires=0, ip_lock=row.ip_lock,
    )  # fmt: skip

    for values in ({"token_expires": row.token_expires - 1}, {"ip_lock": not row.ip_lock}):
        with refused(Code.VOUCHER_MISMATCH):
            await commit(application.owner, clients=(changed(good, **values),))
    await commit(application.owner, clients=(good,))
