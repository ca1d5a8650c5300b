"""Logins: a signature over a fresh challenge, slow for guessers, never locked for the owner."""

from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import CommanderError
from commander.vault.device import DeviceFile
from commander.vault.session import Vault
from commander.wire import calls
from commander.wire.proofs import sign_login
from tests.support.backend_server import BackendServer, Person, changed, refused

pytestmark = pytest.mark.integration


async def login_request(
    server: BackendServer,
    person: Person,
    *,
    device: DeviceFile | None = None,
    key: SigningKey | None = None,
    email: str = "",
    uid: str = "",
) -> calls.LoginRequest:
    """A login of a person, honest unless told otherwise."""
    device = device or person.device
    email = email or person.account.email
    begun = await server.api().call(calls.LOGIN_CHALLENGE, calls.ChallengeRequest(email))

    request = calls.LoginRequest(
        login=begun.login, email=email, device=device.device,
        device_sign_key=device.signing_key().public.raw,
        device_box_key=BoxPrivateKey(device.box_key).public.raw,
        nonce=bytes(16), signature=b"", device_signature=b"",
    )  # fmt: skip
    return sign_login(
        request, challenge=begun.challenge, server=uid or server.core.identity.uid,
        login=key or person.account.keys.login, device=device.signing_key(),
    )  # fmt: skip


async def test_login_on_the_known_device_gives_the_wrapped_keys(
    server: BackendServer, admin: Person
) -> None:
    """The session works, and the keys are those of the account."""
    answer = await server.api().call(calls.LOGIN, await login_request(server, admin))

    account = admin.account.account()
    assert (answer.user, answer.device_known) == (admin.user, True)
    assert len(answer.wrapped_data_key) == len(account.wrapped_data_key)
    person = server.person(admin.account, admin.device, answer.session, answer.expires)
    assert (await person.call(calls.SESSION, calls.Empty())).device == admin.device.device


async def test_new_device_logs_in_certifies_itself_and_only_then_works(
    server: BackendServer, admin: Person
) -> None:
    """Before its certificate it may read the log and nothing else."""
    device = server.device_for(admin.account, server.root, "desktop")
    answer = await server.api().call(calls.LOGIN, await login_request(server, admin, device=device))
    assert not answer.device_known
    person = server.person(admin.account, device, answer.session, answer.expires)

    with refused(Code.DEVICE_UNKNOWN):
        await person.call(calls.SYNC, calls.SyncRequest(0))
    with refused(Code.DEVICE_UNKNOWN):
        await person.call(calls.GATEWAYS, calls.Empty())
    with refused(Code.DEVICE_UNKNOWN):
        await person.call(calls.COMMIT, calls.Commit())
    with refused(Code.DEVICE_UNKNOWN):
        await person.call(calls.AUDIT_APPEND, calls.AuditAppend(()))
    with refused(Code.OBJECT_UNKNOWN):
        await person.call(calls.HISTORY, calls.HistoryRequest(admin.vault.view.root))
    login = admin.account.unlocked(device, session=answer.session, expires=answer.expires)

    vault = Vault.offline(login, person.api, clock=server.clock)
    await vault.certify_device()

    await vault.sync()
    assert vault.view.root == admin.vault.view.root


async def test_wrong_password_unknown_account_and_relayed_login_fail_alike(
    server: BackendServer, admin: Person
) -> None:
    """Code and text are the same; a login signed for another server is worth nothing here."""
    wrong = await login_request(server, admin, key=SigningKey.generate())
    unknown = await login_request(server, admin, email="nobody@example.org")
    relayed = await login_request(server, admin, uid="B" * 22)
    texts = set()

    for request in (wrong, unknown, relayed):
        with pytest.raises(Exception, match="wrong") as caught:
            await server.api().call(calls.LOGIN, request)
        texts.add((getattr(caught.value, "code", ""), str(caught.value)))

    assert len(texts) == 1
    assert next(iter(texts))[0] == Code.LOGIN_FAILED
    assert (await server.api().call(calls.LOGIN, await login_request(server, admin))).session


async def test_challenge_looks_the_same_for_unknown_accounts(server: BackendServer) -> None:
    """Length and form tell nothing, however often one asks."""
    api = server.api()
    answers = [
        await api.call(calls.LOGIN_CHALLENGE, calls.ChallengeRequest(email))
        for email in ("ann@example.org", "nobody@example.org", "nobody@example.org")
    ]

    assert len({(len(a.login), len(a.challenge)) for a in answers}) == 1
    assert len({a.challenge for a in answers}) == 3


async def test_challenge_works_once_for_its_email_within_a_minute(
    server: BackendServer, admin: Person
) -> None:
    """Used, expired, altered, or of another account: it is no challenge."""
    request = await login_request(server, admin)
    assert (await server.api().call(calls.LOGIN, request)).session
    late = await login_request(server, admin)
    server.clock.advance(61)
    fresh = await login_request(server, admin)
    for bad in (
        request,
        late,
        changed(fresh, login=fresh.login[:-4] + "AAAA"),
        changed(fresh, login=""),
        changed(fresh, email="bob@example.org"),
    ):
        with refused(Code.LOGIN_FAILED):
            await server.api().call(calls.LOGIN, bad)

    assert (await server.api().call(calls.LOGIN, fresh)).session


async def test_strangers_are_delayed_and_the_owner_is_not_locked_out(
    server: BackendServer, admin: Person
) -> None:
    """Wrong passwords from new devices slow new devices down; the certified one logs in."""
    stranger = server.device_for(admin.account, server.root, "stranger")

    async def guess(email: str) -> str:
        request = await login_request(
            server, admin, device=stranger, key=SigningKey.generate(), email=email
        )
        try:
            await server.api().call(calls.LOGIN, request)
        except CommanderError as error:
            return error.code
        return ""

    codes = [await guess("ann@example.org") for _ in range(7)]
    look_alike = await guess(" Ann@EXAMPLE.org")
    unknown = [await guess("nobody@example.org") for _ in range(7)]

    assert codes[:5] == [Code.LOGIN_FAILED] * 5
    assert codes[5:] == unknown[5:] == [Code.LOGIN_DELAYED] * 2
    assert look_alike == Code.LOGIN_DELAYED
    assert (await server.api().call(calls.LOGIN, await login_request(server, admin))).session
    with refused(Code.LOGIN_DELAYED):
        honest = await login_request(server, admin, device=stranger)
        await server.api().call(calls.LOGIN, honest)
    server.clock.advance(61)
    honest = await login_request(server, admin, device=stranger)
    assert not (await server.api().call(calls.LOGIN, honest)).device_known


async def test_stranger_who_names_the_owners_device_does_not_delay_it(
    server: BackendServer, admin: Person
) -> None:
    """Without the device's signature a failure counts for the account's strangers."""
    for _ in range(7):
        request = await login_request(server, admin, key=SigningKey.generate())
        with pytest.raises(Exception, match=r"wrong|wait"):
            await server.api().call(calls.LOGIN, changed(request, device_signature=bytes(64)))

    assert (await server.api().call(calls.LOGIN, await login_request(server, admin))).session


async def test_revoked_device_cannot_log_in_again(server: BackendServer, admin: Person) -> None:
    """Neither with its old keys nor with new keys under its old name."""
    bob = await server.add_person(admin, "bob@example.org")
    await admin.vault.sync()
    await admin.vault.people.remove_device(bob.device.device)

    with refused(Code.DEVICE_REVOKED):
        await server.api().call(calls.LOGIN, await login_request(server, bob))
    renamed = changed(server.device_for(bob.account, server.root), device=bob.device.device)
    with refused(Code.DEVICE_REVOKED):
        await server.api().call(calls.LOGIN, await login_request(server, bob, device=renamed))
    fresh = server.device_for(bob.account, server.root, "new")
    request = await login_request(server, bob, device=fresh)
    assert (await server.api().call(calls.LOGIN, request)).session


async def test_malformed_logins_are_refused_with_their_code(
    server: BackendServer, admin: Person
) -> None:
    """Keys, UIDs and e-mails of another form never reach the verification."""
    for values in (
        {"device": "x"}, {"device_sign_key": b"x"}, {"device_box_key": b"x"}, {"nonce": b""},
        {"email": "x"},
    ):  # fmt: skip
        request = await login_request(server, admin)
        with refused(Code.REQUEST_MALFORMED):
            await server.api().call(calls.LOGIN, changed(request, **values))
    for email in ("", "x", "a" * 2000, "a b@c"):
        with refused(Code.REQUEST_MALFORMED):
            await server.api().call(calls.LOGIN_CHALLENGE, calls.ChallengeRequest(email))


async def test_logins_of_one_address_are_limited(server: BackendServer, admin: Person) -> None:
    """Sixty at once, then as the minute allows; the limit is of the address, not of an account."""
    codes = []
    for number in range(62):
        request = await login_request(server, admin, email=f"nobody{number}@example.org")
        try:
            await server.api().call(calls.LOGIN, request)
        except CommanderError as error:
            codes.append(error.code)

    assert codes[:60] == [Code.LOGIN_FAILED] * 60
    assert codes[60:] == [Code.TOO_MANY_REQUESTS] * 2
