"""
The one layer under all native calls: open the envelope, establish the caller, seal the answer.

An envelope that does not open gets one and the same 400. Everything after that travels sealed,
with status 200, or 503 and Retry-After when the store is unavailable.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from commander.authority.refusals import Code
from commander.backend.authenticate import authenticate
from commander.backend.core import Caller, Core
from commander.backend.http.body import BodyReader, BodyRefused
from commander.backend.http.door import peer_of
from commander.backend.http.paced import AnswerBudget, PacedAnswer
from commander.backend.limits import body_limit, source_of
from commander.backend.services import (
    accept_invitation,
    audit_log,
    commit,
    enrol_gateway,
    history,
    ice_servers,
    list_attachments,
    list_clients,
    list_gateways,
    log_in,
    read_log,
    sessions,
    set_up,
    sync,
)
from commander.codec import Message, decode, encode
from commander.errors import CommanderError, InvalidInput, Refused, SealBroken
from commander.wire import calls
from commander.wire.calls import PREFIX, Call
from commander.wire.requests import NONCE_BYTES, Answer, SignedRequest, open_request, seal_answer

_log = logging.getLogger(__name__)
_ENVELOPE_BYTES = 8 * 1024
_RETRY_AFTER_S = "5"
OCTETS = "application/octet-stream"
Service = Callable[[Core, Caller, Any], Awaitable[Message]]


@dataclass(frozen=True)
class Entry:
    """A call and who carries it out."""

    call: Call[Any, Any]
    service: Service


CALLS: dict[str, Entry] = {
    entry.call.path: entry
    for entry in (
        Entry(calls.SETUP, set_up.set_up),
        Entry(calls.INVITATION, accept_invitation.show_log),
        Entry(calls.ACCEPT, accept_invitation.accept),
        Entry(calls.LOGIN_CHALLENGE, log_in.challenge),
        Entry(calls.LOGIN, log_in.log_in),
        Entry(calls.LOGOUT, sessions.log_out),
        Entry(calls.SESSION, sessions.show),
        Entry(calls.LOG, read_log.read),
        Entry(calls.COMMIT, commit.commit),
        Entry(calls.SYNC, sync.sync),
        Entry(calls.HISTORY, history.history),
        Entry(calls.ATTACHMENTS, list_attachments.list_attachments),
        Entry(calls.CLIENTS, list_clients.list_clients),
        Entry(calls.GATEWAYS, list_gateways.list_gateways),
        Entry(calls.ICE, ice_servers.ice_servers),
        Entry(calls.ENROL_BEGIN, enrol_gateway.begin),
        Entry(calls.ENROL, enrol_gateway.enrol),
        Entry(calls.AUDIT_APPEND, audit_log.append),
        Entry(calls.AUDIT_READ, audit_log.read),
    )
}


class NativeEndpoint:
    """Answers POST /api/v1/<call>."""

    def __init__(self, core: Core, bodies: BodyReader, answers: AnswerBudget) -> None:
        self._core = core
        self._bodies = bodies
        self._answers = answers

    async def answer(self, request: Request) -> Response:
        """One request to one sealed answer."""
        entry = CALLS.get(request.url.path.removeprefix(PREFIX))
        if entry is None:
            return PlainTextResponse("not found", status_code=404)
        if request.url.query:
            return PlainTextResponse("bad request", status_code=400)
        try:
            data = await self._bodies.read(request, body_limit(entry.call.path) + _ENVELOPE_BYTES)
        except BodyRefused as error:
            return error.response
        try:
            return await self._answer(entry, data, request)
        finally:
            self._bodies.done(len(data))

    async def _answer(self, entry: Entry, data: bytes, request: Request) -> Response:
        path = PREFIX + entry.call.path
        try:
            signed, key = open_request(self._core.identity.box, data, method="POST", path=path)
        except (SealBroken, InvalidInput):
            return PlainTextResponse("bad request", status_code=400)
        answer = await self._judge(entry, signed, path, peer_of(request))
        self._core.answers[answer.code or "ok"] += 1
        sealed = seal_answer(key, data, answer)
        if answer.code == Code.STORE_UNAVAILABLE:
            headers = {"retry-after": _RETRY_AFTER_S}
            return Response(sealed, status_code=503, media_type=OCTETS, headers=headers)
        held = self._answers.hold(source_of(peer_of(request)), len(sealed))
        if held is None:
            return BodyRefused(503, "the server is too busy", retry_after_s=5).response
        return PacedAnswer(sealed, held)

    async def _judge(self, entry: Entry, signed: SignedRequest, path: str, address: str) -> Answer:
        try:
            return Answer(True, encode(await self._serve(entry, signed, path, address)), "", "", "")
        except InvalidInput as error:
            return Answer(False, b"", Code.REQUEST_MALFORMED, error.message, error.hint)
        except CommanderError as error:
            return Answer(False, b"", error.code, error.message, error.hint)
        except Exception:  # noqa: BLE001  the top: the caller gets a number, the log the rest
            number = secrets.token_hex(4)
            _log.exception("internal error %s in %s", number, entry.call.path)
            return Answer(False, b"", "failed", f"the server failed: error {number}", "")

    async def _serve(self, entry: Entry, signed: SignedRequest, path: str, address: str) -> Message:
        core = self._core
        if entry.call.proof == "own":
            caller = self._admit_stranger(signed, address)
        else:
            caller = await authenticate(
                core, signed, method="POST", path=path, address=address, proof=entry.call.proof
            )
        request = decode(entry.call.request, signed.body, limit=body_limit(entry.call.path))
        return await entry.service(core, caller, request)

    def _admit_stranger(self, signed: SignedRequest, address: str) -> Caller:
        core = self._core
        if (signed.principal, signed.session, signed.signature) != ("", "", b""):
            raise Refused("this call is not signed", code=Code.REQUEST_MALFORMED)
        core.guards.open_calls.check(source_of(address), core.clock.now())
        if len(signed.nonce) != NONCE_BYTES:
            raise Refused("the nonce has another length", code=Code.REQUEST_MALFORMED)
        core.check_fresh(signed.time)
        if not core.use_nonce(source_of(address), signed.nonce):
            raise Refused("the request was sent before", code=Code.REQUEST_REPLAYED)
        return Caller(address)
