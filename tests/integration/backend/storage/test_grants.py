from __future__ import annotations

import pytest

from commander.backend.core import Core
from commander.backend.storage import grants
from commander.ids import UserUid, new_uid
from commander.wire.seals import GrantSeal, KeyGrant, Signed

pytestmark = pytest.mark.integration


def seal(kind: str, uid: str, recipient: str, granter: str, epoch: int = 1) -> GrantSeal:
    return GrantSeal(kind, uid, epoch, UserUid(recipient), b"", UserUid(granter), 0, 0)


async def put(core: Core, found: GrantSeal, box: bytes) -> None:
    async with core.database.transaction() as transaction:
        grant = KeyGrant(Signed(b"s", bytes(64)), box)
        await grants.put(transaction.connection, found, grant)


async def boxes(core: Core, recipient: str, *objects: str, since: int = 0) -> list[bytes]:
    async with core.database.reading() as connection:
        found = await grants.changed(
            connection, recipient, objects, since=since, until=99, count=99
        )
    return [stored.grant().box for stored in found]


async def test_granters_replace_their_own_grants_only(core: Core) -> None:
    """So that nobody's bad grant takes a good one's place."""
    folder, bob, ann, eve = (new_uid() for _ in range(4))
    await put(core, seal("folder", folder, bob, ann), b"old")
    await put(core, seal("folder", folder, bob, eve), b"bad")
    await put(core, seal("folder", folder, bob, ann), b"new")
    await put(core, seal("folder", folder, bob, ann, 2), b"next")
    await put(core, seal("folder", folder, ann, ann), b"hers")

    assert await boxes(core, bob, folder) == [b"bad", b"new", b"next"]
    assert await boxes(core, bob, new_uid()) == []


async def test_renewed_grants_are_those_of_one_user_for_one_folder(core: Core) -> None:
    """The others keep their place."""
    folder, other, bob, ann = (new_uid() for _ in range(4))
    await put(core, seal("folder", folder, bob, ann), b"1")
    await put(core, seal("folder", other, bob, ann), b"2")
    await put(core, seal("folder", folder, ann, ann), b"3")
    async with core.database.transaction() as transaction:
        await grants.renew(transaction.connection, folder, bob)
        await grants.renew(transaction.connection, new_uid(), bob)

    assert await boxes(core, bob, folder, other, since=3) == [b"1"]
    assert await boxes(core, ann, folder, since=3) == []


async def test_granted_objects_are_listed_by_kind(core: Core) -> None:
    """Applications apart from folders."""
    folder, application, bob, ann = (new_uid() for _ in range(4))
    await put(core, seal("folder", folder, bob, ann), b"1")
    await put(core, seal("application", application, bob, ann), b"2")

    async with core.database.reading() as connection:
        assert await grants.objects(connection, bob, "application") == {application}
        assert await grants.objects(connection, ann, "application") == set()


async def test_later_shares_are_due_from_their_beginning_until_begun(core: Core) -> None:
    """A share that is changed meanwhile is due at its new time."""
    folder, bob = new_uid(), new_uid()

    async def due(now: int) -> list[str]:
        async with core.database.reading() as connection:
            return list(await grants.due_shares(connection, bob, now=now))

    async with core.database.transaction() as transaction:
        await grants.share_later(transaction.connection, folder, bob, 100)
        await grants.share_later(transaction.connection, folder, bob, 200)
    assert (await due(199), await due(200)) == ([], [folder])
    async with core.database.transaction() as transaction:
        await grants.share_begun(transaction.connection, folder, bob)
    assert await due(200) == []
