"""`audit/append` and `audit/read`: chains of signed events, stored and given to auditors."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from commander.audit.chain import ChainHead, Entry
from commander.audit.chain import append as follow
from commander.authority.decide import Action, decide
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.backend.core import Caller, Core
from commander.backend.services.sync import decide_alive
from commander.backend.storage import audit
from commander.crypto.signing import VerifyKey
from commander.errors import InvalidInput, Refused, Tampered
from commander.wire.calls import (
    PAGE_EVENTS,
    AuditAnswer,
    AuditAppend,
    AuditAppendAnswer,
    AuditRead,
)

_LAST_NUMBER = 2**53
_MOST_TEXT = 64


async def append(core: Core, caller: Caller, request: AuditAppend) -> AuditAppendAnswer:
    """
    Store a producer's next events; those stored already are skipped when they are the same.

    Raises Refused: device-unknown, too-large, request-malformed, seal-broken (forged, of another producer, or
    not what was stored before), seal-revision (a gap).
    """
    if len(request.events) > PAGE_EVENTS:
        raise Refused(f"at most {PAGE_EVENTS} events at once", code=Code.TOO_LARGE)
    if caller.kind == "device":
        decide_alive(core.state, caller)
    entries = [_parse(raw, caller) for raw in request.events]
    key = VerifyKey(_key_of(core.state, caller))
    async with core.database.transaction(aside=True) as transaction:
        head = await audit.head(transaction.connection, caller.principal)
        fresh = await _fresh(transaction.connection, entries, head)
        end = _check_chain(fresh, head, key)
        await audit.add(transaction.connection, fresh)
    return AuditAppendAnswer(end.sequence)


def _parse(raw: bytes, caller: Caller) -> Entry:
    try:
        entry = Entry.parse(raw)
    except InvalidInput as error:
        raise Refused(error.message, code=Code.REQUEST_MALFORMED) from None
    if entry.producer != caller.principal:
        raise Refused("an event is of another producer", code=Code.SEAL_BROKEN)
    return entry


def _key_of(state: State, caller: Caller) -> bytes:
    if caller.kind == "gateway":
        gateway = state.gateways.get(caller.principal)
        return gateway.sign_key if gateway else b""
    return caller.device_key


async def _fresh(
    connection: AsyncConnection, entries: Sequence[Entry], head: ChainHead
) -> list[Entry]:
    fresh = []
    for entry in entries:
        if entry.sequence > head.sequence:
            fresh.append(entry)
            continue
        stored = await audit.entry(connection, entry.producer, entry.sequence)
        if stored != entry.to_bytes():
            raise Refused(
                f"event {entry.sequence} is stored already with other content",
                code=Code.SEAL_BROKEN,
            )
    return fresh


def _check_chain(entries: Sequence[Entry], head: ChainHead, key: VerifyKey) -> ChainHead:
    for entry in entries:
        if entry.sequence != head.sequence + 1 or entry.prev_hash != head.hash:
            raise Refused(
                f"event {entry.sequence} does not follow {head.sequence}", code=Code.SEAL_REVISION
            )
        try:
            head = follow(entry, head, key)
        except Tampered as error:
            raise Refused(error.message, code=Code.SEAL_BROKEN) from None
    return head


async def read(core: Core, caller: Caller, request: AuditRead) -> AuditAnswer:
    """
    Events for an administrator, in stored order after a position.

    Raises Refused (not-administrator, request-malformed).
    """
    decide(core.state, caller.principal, Action.ADMINISTER, now=core.now()).enforce()
    wanted = _filter(request)
    count = min(request.limit or PAGE_EVENTS, PAGE_EVENTS)
    async with core.database.reading() as connection:
        found = await audit.read(connection, wanted, count=count + 1)
    return AuditAnswer(
        tuple(found[:count]),
        len(found) > count,
        core.identity.uid,
        core.identity.sign.public.raw,
    )


def _filter(request: AuditRead) -> audit.Filter:
    numbers = (request.after, request.since, request.until, request.limit)
    texts = (request.producer, request.kind, request.user, request.record)
    if any(not 0 <= number < _LAST_NUMBER for number in numbers) or any(
        len(text) > _MOST_TEXT for text in texts
    ):
        raise Refused("the filter is out of range", code=Code.REQUEST_MALFORMED)
    return audit.Filter(
        request.after, request.since, request.until, request.producer, request.kind,
        request.user, request.record,
    )  # fmt: skip
