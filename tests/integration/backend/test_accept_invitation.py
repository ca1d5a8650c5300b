"""Invitations: for one e-mail, once, until they end."""

from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Kind, Revoke
from commander.crypto.signing import SigningKey
from commander.wire import calls
from commander.wire.proofs import invitation_key, invitation_uid, sign_invitation
from tests.support.backend_server import BackendServer, Person, changed, refused

pytestmark = pytest.mark.integration


async def test_invitation_works_once(server: BackendServer, admin: Person) -> None:
    """After acceptance neither the log nor a second account is to be had with it."""
    invitation = await admin.vault.people.invite("bob@example.org")
    _, _, request = await server.accept_request(invitation.secret, "bob@example.org")
    assert (await server.api().call(calls.ACCEPT, request)).session

    with refused(Code.VOUCHER_USED):
        await server.api().call(calls.ACCEPT, request)
    with refused(Code.VOUCHER_USED):
        await server.accept_request(invitation.secret, "bob@example.org")


async def test_invitation_for_another_email_is_refused(
    server: BackendServer, admin: Person
) -> None:
    """The administrator said who; the holder of the secret cannot be somebody else."""
    invitation = await admin.vault.people.invite("bob@example.org")
    _, _, request = await server.accept_request(invitation.secret, "eve@example.org")

    with refused(Code.VOUCHER_MISMATCH):
        await server.api().call(calls.ACCEPT, request)
    _, _, right = await server.accept_request(invitation.secret, "bob@example.org")
    assert (await server.api().call(calls.ACCEPT, right)).session


async def test_expired_revoked_and_invented_invitations_are_refused(
    server: BackendServer, admin: Person
) -> None:
    """By the server's clock; and a proof by another key is as good as no invitation."""
    invitation = await admin.vault.people.invite("bob@example.org", valid_s=600)
    voucher, now = invitation_uid(invitation.secret), int(server.clock.now())

    with refused(Code.TOKEN_UNKNOWN):
        await server.accept_request(bytes(32), "bob@example.org")
    with refused(Code.TOKEN_UNKNOWN):
        proof = sign_invitation(SigningKey.generate(), voucher, now)
        await server.api().call(calls.INVITATION, proof)
    with refused(Code.REQUEST_STALE):
        proof = sign_invitation(invitation_key(invitation.secret), voucher, now - 200)
        await server.api().call(calls.INVITATION, proof)
    _, _, request = await server.accept_request(invitation.secret, "bob@example.org")
    server.clock.advance(601)
    with refused(Code.VOUCHER_EXPIRED):
        await server.api().call(calls.ACCEPT, request)
    second = await admin.vault.people.invite("bob@example.org")
    revoke = Revoke(Kind.VOUCHER, invitation_uid(second.secret), "")
    await admin.vault.commit(lambda draft: draft.state(revoke))
    with refused(Code.TOKEN_UNKNOWN):
        await server.accept_request(second.secret, "bob@example.org")


async def test_voucher_signs_one_statement_only(server: BackendServer, admin: Person) -> None:
    """The invited person signs all the rest; the invitation's key is no second identity."""
    invitation = await admin.vault.people.invite("bob@example.org")
    _, _, request = await server.accept_request(invitation.secret, "bob@example.org")
    statements = request.commit.statements
    turned = changed(statements[1], signer=statements[0].signer)
    commit = changed(request.commit, statements=(statements[0], turned, *statements[2:]))

    with refused(Code.STATEMENT_NOT_ENTITLED):
        await server.api().call(calls.ACCEPT, changed(request, commit=commit))
    assert (await server.api().call(calls.ACCEPT, request)).session


async def test_refused_invitations_stand_in_the_audit_log(
    server: BackendServer, admin: Person
) -> None:
    """The administrator sees that somebody tried."""
    with refused(Code.TOKEN_UNKNOWN):
        await server.accept_request(bytes(32), "bob@example.org")

    answer = await admin.call(
        calls.AUDIT_READ, calls.AuditRead(0, 0, 0, "", "token-refused", "", "", 0)
    )
    assert len(answer.events) == 1
