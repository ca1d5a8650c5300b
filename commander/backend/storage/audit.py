"""Audit entries of all producers, in the order they arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from commander.audit.chain import EMPTY, ChainHead, Entry
from commander.audit.events import subject_of
from commander.backend.storage.tables import audit
from commander.errors import InvalidInput


@dataclass(frozen=True)
class Filter:
    """Which entries to read; empty text and 0 mean any; times in seconds."""

    after: int = 0
    since: int = 0
    until: int = 0
    producer: str = ""
    kind: str = ""
    user: str = ""
    record: str = ""


async def head(connection: AsyncConnection, producer: str) -> ChainHead:
    """Where a producer's chain ends."""
    query = (
        select(audit.c.raw)
        .where(audit.c.producer == producer)
        .order_by(audit.c.sequence.desc())
        .limit(1)
    )
    raw = (await connection.execute(query)).scalar_one_or_none()
    return ChainHead.after(Entry.parse(raw)) if raw is not None else EMPTY


async def entry(connection: AsyncConnection, producer: str, sequence: int) -> bytes | None:
    """One entry's bytes."""
    query = select(audit.c.raw).where(audit.c.producer == producer, audit.c.sequence == sequence)
    found: bytes | None = (await connection.execute(query)).scalar_one_or_none()
    return found


async def add(connection: AsyncConnection, entries: Sequence[Entry]) -> None:
    """Store checked entries."""
    rows = [_row(entry) for entry in entries]
    if rows:
        await connection.execute(insert(audit), rows)


def _row(entry: Entry) -> dict[str, object]:
    try:
        user, record = subject_of(entry.event())
    except InvalidInput:
        user, record = "", ""  # a kind of a newer version: kept and passed on all the same
    raw = entry.to_bytes()
    return {
        "producer": entry.producer, "sequence": entry.sequence, "time_ms": entry.time_ms,
        "kind": entry.kind, "user": user, "record": record, "size": len(raw), "raw": raw,
    }  # fmt: skip


async def read(
    connection: AsyncConnection, wanted: Filter, *, count: int
) -> list[tuple[int, bytes]]:
    """Entries in stored order with their positions, at most `count`."""
    query = select(audit.c.position, audit.c.raw).where(audit.c.position > wanted.after)
    if wanted.since:
        query = query.where(audit.c.time_ms >= wanted.since * 1000)
    if wanted.until:
        query = query.where(audit.c.time_ms < wanted.until * 1000)
    for name in ("producer", "kind", "user", "record"):
        if value := getattr(wanted, name):
            query = query.where(audit.c[name] == value)
    query = query.order_by(audit.c.position).limit(count)
    return [(row.position, row.raw) for row in await connection.execute(query)]
