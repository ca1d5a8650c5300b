"""
One call in, its answer out: sealed, signed, retried where that is safe, errors mapped once.

The shell and the gateway use the same client; they differ in the `Caller`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from commander.api.error_map import error_from
from commander.api.retry import backoff
from commander.api.transport import HttpAnswer, NotSent, Transport
from commander.clock import Clock
from commander.codec import Message, decode, encode
from commander.crypto.aead import MAX_BYTES
from commander.crypto.box import BoxPublicKey
from commander.crypto.signing import SigningKey
from commander.errors import InvalidInput, NotLoggedIn, SealBroken, Tampered, Unreachable
from commander.wire import calls
from commander.wire.known_server import KnownServer
from commander.wire.requests import (
    HEADER,
    Answer,
    SignedRequest,
    open_answer,
    seal_request,
    sign_request,
    unsigned_request,
    write_header,
)

if TYPE_CHECKING:
    import random  # noqa: TID251  only the type; the caller seeds it

_Q = TypeVar("_Q", bound=Message)
_A = TypeVar("_A", bound=Message)
_log = logging.getLogger(__name__)

DEADLINE_S = 30.0
TRIES = 4
# A connection that is refused may be accepted in a moment; one that nobody answers was waited for already.
PATIENCE_S = 8.0
# Calls that change nothing, or nothing twice: they may be repeated when an answer is lost.
_REPEATABLE = frozenset(
    call.path
    for call in (
        calls.INVITATION, calls.LOGIN_CHALLENGE, calls.SESSION, calls.LOG, calls.SYNC,
        calls.HISTORY, calls.ATTACHMENTS, calls.CLIENTS, calls.GATEWAYS, calls.ICE, calls.ENROL_BEGIN,
        calls.AUDIT_APPEND, calls.AUDIT_READ,
    )
)  # fmt: skip


@dataclass(frozen=True)
class Caller:
    """Who signs: a device with its session, or a gateway with none."""

    principal: str
    session: str
    key: SigningKey = field(repr=False)


class Api:
    """A client of one server; close it at the end. `caller` None serves the unsigned calls only."""

    def __init__(
        self,
        transport: Transport,
        server: KnownServer,
        *,
        clock: Clock,
        caller: Caller | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.server = server
        self.caller = caller
        self._transport = transport
        self._clock = clock
        self._box_key = BoxPublicKey(server.box_key)
        self._rng = rng or secrets.SystemRandom()

    async def call(
        self, call: calls.Call[_Q, _A], request: _Q, *, timeout_s: float = DEADLINE_S
    ) -> _A:
        """
        Make a call and return its answer.

        Raises the error that the answer's code stands for (`error_map`), Unreachable, NotSent,
        NotLoggedIn without a caller, Tampered for an answer that is not the server's.
        """
        body = encode(request)
        waits = backoff(self._rng, limit_s=2.0)
        begun = self._clock.monotonic()
        for attempt in range(1, TRIES + 1):
            try:
                return await self._once(call, body, timeout_s)
            except Unreachable as error:
                may_repeat = isinstance(error, NotSent) or call.path in _REPEATABLE
                took_s = self._clock.monotonic() - begun
                if attempt == TRIES or not may_repeat or took_s > PATIENCE_S:
                    raise
                _log.debug("call %s failed (%s), trying again", call.path, error.code)
            await asyncio.sleep(next(waits))
        raise AssertionError("the loop returns or raises")

    def upgrade_header(self, path: str) -> tuple[str, str]:
        """Name and value of the header that authorises a WebSocket upgrade on `path`."""
        return HEADER, write_header(self._sign("GET", path, b""))

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self._transport.close()

    async def _once(self, call: calls.Call[_Q, _A], body: bytes, timeout_s: float) -> _A:
        path = calls.PREFIX + call.path
        if call.proof == "own":
            request = unsigned_request(time=int(self._clock.now()), body=body)
        else:
            request = self._sign("POST", path, body)
        sealed, key = seal_request(self._box_key, request, method="POST", path=path)
        found = await self._transport.post(path, sealed, timeout_s=timeout_s)
        answer = self._open(found, key, sealed)
        if not answer.ok:
            raise error_from(answer)
        try:
            return decode(call.answer, answer.body, limit=MAX_BYTES)
        except InvalidInput as error:
            raise Tampered(
                f"the server answered {call.path} in a form this version does not know: "
                f"{error.message}",
                hint="client and server must be of compatible versions",
            ) from None

    def _sign(self, method: str, path: str, body: bytes) -> SignedRequest:
        caller = self.caller
        if caller is None:
            raise NotLoggedIn("this needs a login", hint="log in: commander login")
        return sign_request(
            caller.key, method=method, path=path, principal=caller.principal,
            session=caller.session, time=int(self._clock.now()), body=body,
        )  # fmt: skip

    def _open(self, found: HttpAnswer, key: bytes, sealed: bytes) -> Answer:
        try:
            return open_answer(key, sealed, found.body)
        except (SealBroken, InvalidInput):
            raise self._unopened(found.status) from None

    def _unopened(self, status: int) -> Unreachable | InvalidInput | Tampered:
        """What an answer outside the sealed layer means: proxies and broken servers give those."""
        address = self.server.address
        if status == 200:
            return Tampered(
                f"the answer of server {address} does not open",
                hint="something between here and the server alters answers",
            )
        if status == 413:
            return InvalidInput("the request is too large for the server", code="too-large")
        if status == 400:
            return InvalidInput(
                f"server {address} could not open the request: its keys are not the pinned ones",
                hint="if the server was made anew, remove device.json and join again",
            )
        return Unreachable(
            f"server {address} answered with HTTP status {status}", hint="look at the server's log"
        )
