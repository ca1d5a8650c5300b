"""Key grants and invitations of a commit."""

from __future__ import annotations

from typing import Any

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Access, Right, Voucher
from commander.crypto.box import BoxPublicKey
from commander.crypto.signing import SigningKey
from commander.ids import FolderUid, UserUid, VoucherUid, new_uid
from commander.wire import calls
from commander.wire.seals import KeyGrant, read_grant_seal, sign_seal
from tests.support.backend_server import BackendServer, Person, changed, refused

pytestmark = pytest.mark.integration


def resealed(person: Person, grant: KeyGrant, **values: Any) -> KeyGrant:
    """A grant with another seal, signed by the person."""
    seal = changed(read_grant_seal(grant.seal), **values)
    found: KeyGrant = changed(grant, seal=sign_seal(seal, person.account.identity.sign))
    return found


async def test_grants_are_for_who_has_access_by_who_may_share(
    server: BackendServer, admin: Person
) -> None:
    """A server that takes any grant would let anyone hand out anything."""
    bob = await server.add_person(admin, "bob@example.org")
    await admin.vault.sync()
    folder = FolderUid((await admin.vault.create_shared_folder("F")).uid)
    box = BoxPublicKey(bob.account.identity.box.public.raw)
    draft = admin.draft()
    draft.grant("folder", folder, UserUid(bob.user), box)
    early = draft.grants[0]
    draft = admin.draft()
    draft.state(Access(folder, "user", bob.user, (Right.VIEW,), 0, 0))
    draft.grant("folder", folder, UserUid(bob.user), box)
    good = draft.commit()
    grant = good.grants[0]
    now = read_grant_seal(grant.seal).time

    async def give(person: Person, *grants: KeyGrant, share: bool = True) -> None:
        statements = good.statements if share else ()
        await person.call(calls.COMMIT, calls.Commit(statements=statements, grants=grants))

    with refused(Code.ACCESS_MISSING):
        await give(admin, early, share=False)
    cases: list[tuple[Code, KeyGrant]] = [
        (Code.SEAL_AUTHOR, resealed(admin, grant, granter=bob.user)),
        (Code.SEAL_BROKEN, resealed(bob, grant)),
        (Code.SEAL_BROKEN, changed(grant, box=b"other")),
        (Code.USER_UNKNOWN, resealed(admin, grant, recipient=new_uid())),
        (Code.OBJECT_UNKNOWN, resealed(admin, grant, object=new_uid())),
        (Code.REQUEST_MALFORMED, resealed(admin, grant, kind="record")),
        (Code.REQUEST_MALFORMED, resealed(admin, grant, epoch=2**31)),
        (Code.REQUEST_STALE, resealed(admin, grant, time=now - 121)),
        (Code.SEAL_AUTHOR, resealed(admin, grant, log_seq=10_000)),
        (Code.OBJECT_UNKNOWN, resealed(admin, grant, kind="application")),
    ]
    for code, bad in cases:
        with refused(code):
            await give(admin, bad)
    await give(admin, grant)
    await bob.vault.sync()
    assert folder in bob.vault.view.folders or not bob.vault.problems
    own = resealed(bob, grant, granter=bob.user, recipient=admin.user)
    with refused(Code.RIGHT_MISSING):
        await give(bob, own, share=False)


async def test_invitations_match_their_vouchers(server: BackendServer, admin: Person) -> None:
    """The row that the server keeps says what the log says, once."""
    bob = await server.add_person(admin, "bob@example.org")
    await admin.vault.sync()
    draft = admin.draft()
    voucher, expires = VoucherUid(new_uid()), draft.time + 600
    public = SigningKey.generate().public.raw
    draft.state(Voucher(voucher, "user", "eve@example.org", "", public, expires, False))
    statements = draft.commit().statements

    async def invite(person: Person, *rows: calls.NewInvitation, again: bool = False) -> None:
        commit = calls.Commit(statements=() if again else statements, invitations=rows)
        await person.call(calls.COMMIT, commit)

    good = calls.NewInvitation(voucher, "eve@example.org", expires)
    with refused(Code.OBJECT_UNKNOWN):
        await invite(admin, changed(good, voucher=new_uid()))
    with refused(Code.VOUCHER_MISMATCH):
        await invite(admin, changed(good, email="other@example.org"))
    with refused(Code.VOUCHER_MISMATCH):
        await invite(admin, changed(good, expires=expires + 1))
    with refused(Code.REQUEST_MALFORMED):
        await invite(admin, good, good)
    await invite(admin, good)
    with refused(Code.STATEMENT_DUPLICATE):
        await invite(admin, good, again=True)
    with refused(Code.NOT_ADMINISTRATOR):
        await invite(bob, good, again=True)
