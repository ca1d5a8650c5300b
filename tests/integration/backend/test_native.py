"""The layer under all native calls, attacked; each test has an honest request that succeeds."""

from __future__ import annotations

import logging
import os

import pytest

from commander.authority.refusals import Code
from commander.codec import encode
from commander.crypto.signing import SigningKey
from commander.ids import new_uid
from commander.wire import calls
from commander.wire.requests import (
    SignedRequest,
    open_answer,
    seal_request,
    sign_request,
    unsigned_request,
)
from tests.support.backend_devices import Enrolling
from tests.support.backend_server import BackendServer, Person, changed, send

pytestmark = pytest.mark.integration

SESSION = calls.SESSION.path


def request_of(person: Person, *, path: str = SESSION, off: int = 0) -> SignedRequest:
    """An honest request for who the session is of."""
    return sign_request(
        person.device.signing_key(),
        method="POST",
        path=calls.PREFIX + path,
        principal=person.device.device,
        session=person.session,
        time=int(person.server.clock.now()) + off,
        body=encode(calls.Empty()),
    )


async def code_of(server: BackendServer, signed: SignedRequest, path: str = SESSION) -> str:
    answer = await send(server, path, signed)
    assert answer.ok == (answer.code == "")
    return answer.code


async def test_request_within_two_minutes_is_taken_and_others_are_stale(
    server: BackendServer, admin: Person
) -> None:
    """The limit is 120 s in both directions."""
    for off, code in (
        (0, ""),
        (119, ""),
        (-119, ""),
        (121, Code.REQUEST_STALE),
        (-121, Code.REQUEST_STALE),
    ):
        assert await code_of(server, request_of(admin, off=off)) == code


async def test_request_sent_again_is_refused_in_the_same_and_in_a_new_envelope(
    server: BackendServer, admin: Person
) -> None:
    """The nonce counts, not the envelope around it."""
    signed = request_of(admin)

    assert await code_of(server, signed) == ""
    assert await code_of(server, signed) == Code.REQUEST_REPLAYED


async def test_request_signed_by_another_key_or_for_something_else_is_refused(
    server: BackendServer, admin: Person
) -> None:
    """Signature, body, path, time and nonce are bound together."""
    honest = request_of(admin)
    forged = [
        changed(honest, signature=bytes(64)),
        changed(honest, signature=b""),
        changed(honest, body=encode(calls.LogRequest(0))),
        changed(honest, time=honest.time + 1),
        changed(honest, nonce=os.urandom(16)),
        changed(honest, nonce=os.urandom(15)),
        request_of(admin, path=calls.LOGOUT.path),
    ]

    for signed in forged:
        assert await code_of(server, signed) == Code.REQUEST_SIGNATURE
    assert await code_of(server, honest) == ""


async def test_session_without_its_devices_key_is_worth_nothing(
    server: BackendServer, admin: Person
) -> None:
    """A stolen session name opens nothing for another device, known or not, nor for none."""
    bob = await server.add_person(admin, "bob@example.org")
    key = bob.device.signing_key()

    def stolen(principal: str, session: str, signer: SigningKey) -> SignedRequest:
        return sign_request(
            signer, method="POST", path=calls.PREFIX + SESSION, principal=principal,
            session=session, time=int(server.clock.now()), body=encode(calls.Empty()),
        )  # fmt: skip

    admins, bobs = admin.device.device, bob.device.device
    assert await code_of(server, stolen(bobs, admin.session, key)) == Code.SESSION_UNKNOWN
    assert await code_of(server, stolen(admins, admin.session, key)) == Code.REQUEST_SIGNATURE
    assert await code_of(server, stolen(bobs, "A" * 43, key)) == Code.SESSION_UNKNOWN
    assert await code_of(server, stolen(bobs, "", key)) == Code.SESSION_UNKNOWN
    assert await code_of(server, stolen(new_uid(), "", key)) == Code.DEVICE_UNKNOWN
    assert await code_of(server, stolen(bobs, bob.session, key)) == ""


async def test_envelope_that_does_not_open_gets_one_and_the_same_answer(
    server: BackendServer, admin: Person
) -> None:
    """Truncated, altered, of another path, of another server: always the same 400."""
    path = calls.PREFIX + SESSION
    box = server.core.identity.box.public
    good, _ = seal_request(box, request_of(admin), method="POST", path=path)
    other, _ = seal_request(box, request_of(admin), method="POST", path=calls.PREFIX + "log")
    cuts = [good[:n] for n in (0, 1, 5, 100, 1157, 1200, len(good) - 1)]
    flips = [good[:n] + bytes([good[n] ^ 1]) + good[n + 1 :] for n in (0, 3, 7, 1140, 1200)]
    transport = server.transport()

    answers = [
        await transport.post(path, data, timeout_s=30)
        for data in (*cuts, *flips, other, os.urandom(3000))
    ]
    fine = await transport.post(path, good, timeout_s=30)
    await transport.close()

    assert {(answer.status, answer.body) for answer in answers} == {(400, b"bad request")}
    assert fine.status == 200


async def test_body_of_another_form_is_malformed(server: BackendServer, admin: Person) -> None:
    """Unknown fields, trailing bytes and other types are refused after the signature was good."""
    for body in (b"", b"\x80\x00", encode({"since": "1"}), encode({"since": 1, "x": 1}), b"\xc1"):
        signed = sign_request(
            admin.device.signing_key(), method="POST", path=calls.PREFIX + "log",
            principal=admin.device.device, session=admin.session,
            time=int(server.clock.now()), body=body,
        )  # fmt: skip
        assert await code_of(server, signed, "log") == Code.REQUEST_MALFORMED


async def test_unsigned_calls_take_no_signature_and_signed_calls_need_one(
    server: BackendServer, admin: Person
) -> None:
    """Neither kind of request passes for the other."""
    now = int(server.clock.now())
    body = encode(calls.ChallengeRequest("ann@example.org"))
    bare = unsigned_request(time=now, body=body)
    challenge = calls.LOGIN_CHALLENGE.path

    signed = request_of(admin, path=challenge)
    assert await code_of(server, signed, challenge) == Code.REQUEST_MALFORMED
    assert await code_of(server, changed(bare, nonce=b""), challenge) == Code.REQUEST_MALFORMED
    stale = changed(bare, time=now - 200)
    assert await code_of(server, stale, challenge) == Code.REQUEST_STALE
    assert await code_of(server, bare, challenge) == ""
    assert await code_of(server, bare, challenge) == Code.REQUEST_REPLAYED
    assert await code_of(server, unsigned_request(time=now, body=b"\x80")) == Code.DEVICE_UNKNOWN


async def test_internal_error_shows_a_number_only(
    server: BackendServer, admin: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """What went wrong stands in the server's log, under the number that the caller gets."""

    class Broken:
        def online(self, gateway: str) -> None:
            raise RuntimeError("SELECT secret FROM everything")

    folder = await admin.vault.create_shared_folder("F")
    made = await admin.vault.applications.create("A")
    await admin.vault.applications.share_folder(made.uid, folder.uid)
    token = await admin.vault.applications.add_gateway(made.uid, "G")
    await Enrolling(server, token).enrol()
    server.core.presence = Broken()

    with caplog.at_level(logging.ERROR):
        answer = await send(server, "gateways", request_of(admin, path="gateways"))

    assert answer.code == "failed"
    assert "SELECT" not in answer.message
    assert answer.message.split()[-1] in caplog.text


async def test_store_that_cannot_be_written_answers_503_and_when_to_come_back(
    server: BackendServer, admin: Person
) -> None:
    """The answer is sealed all the same, and reading goes on."""
    path = calls.PREFIX + "commit"
    signed = sign_request(
        admin.device.signing_key(), method="POST", path=path, principal=admin.device.device,
        session=admin.session, time=int(server.clock.now()), body=encode(calls.Commit()),
    )  # fmt: skip
    sealed, key = seal_request(server.core.identity.box.public, signed, method="POST", path=path)
    server.core.database._is_broken = True
    client = server.http()

    found = await client.post(path, content=sealed)
    await client.aclose()

    assert (found.status_code, found.headers["retry-after"]) == (503, "5")
    assert open_answer(key, sealed, found.content).code == Code.STORE_UNAVAILABLE
    assert (await admin.call(calls.SYNC, calls.SyncRequest(0))).cursor


async def test_unknown_path_query_and_method_are_refused_outside(server: BackendServer) -> None:
    """Nothing but the published calls exists, each in one spelling."""
    client = server.http()
    statuses = {
        "none": (await client.post("/api/v1/nothing", content=b"x")).status_code,
        "query": (await client.post("/api/v1/log?x=1", content=b"x")).status_code,
        "slash": (await client.post("/api/v1/log/", content=b"x")).status_code,
        "method": (await client.put("/api/v1/log", content=b"x")).status_code,
    }
    await client.aclose()

    assert statuses == {"none": 404, "query": 400, "slash": 404, "method": 405}
