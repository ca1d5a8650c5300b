"""What a server's metrics, readiness and status say, read from its parts when asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from commander.backend.core import Core
from commander.errors import Refused
from commander.metrics.definitions import Readings, tally
from commander.metrics.server import CODES, DELIVERED, ENDS, RELAY_ENDS, STRANGER_ENDS
from commander.router.app import Router

PROBE_NAME = ".writable"
PROBE_BYTES = 4096
READY_S = 3.0
KEEP_S = 2.0


def read_server(core: Core, router: Router) -> Readings:
    """The values of `metrics.server.METRICS` that come from backend and router."""
    control, relay = router.control.counters, router.relays.counters
    kinds = connection_kinds(router)
    return {
        "commander_router_connections": {(kind,): float(count) for kind, count in kinds.items()},
        "commander_router_connections_ended_total": _only(control, ENDS),
        "commander_router_upgrades_refused_total": tally(router.refused, CODES),
        "commander_router_messages_delivered_total": float(control[DELIVERED]),
        "commander_router_messages_refused_total": tally(
            control, CODES, leave_out=(*ENDS, DELIVERED)
        ),
        "commander_router_conversations": float(len(router.conversations)),
        "commander_relay_sockets": float(len(router.relays)),
        "commander_relay_pairs": float(router.relays.pairs()),
        "commander_relay_pairings_total": float(relay["paired"]),
        "commander_relay_sockets_ended_total": tally(relay, RELAY_ENDS, leave_out=("paired",)),
        "commander_relay_strangers_total": tally(router.streams.counters, STRANGER_ENDS),
        "commander_relay_bytes_total": float(router.relays.copied_bytes),
        "commander_api_answers_total": tally(core.answers, ("ok", *CODES)),
        "commander_store_errors_total": float(core.database.faults),
        "commander_authority_log_position": float(core.state.seq),
    }


def connection_kinds(router: Router) -> dict[str, int]:
    """Control connections now, by who holds them."""
    kinds = {"device": 0, "gateway": 0}
    for connection in router.registry:
        kinds[connection.principal.kind] += 1
    return kinds


def _only(counted: dict[str, int], names: Iterable[str]) -> dict[tuple[str, ...], float]:
    return {(name,): float(counted.get(name, 0)) for name in names}


class ServerReadiness:
    """
    Whether the store takes writes; asked for by anyone, so an answer is kept for two seconds.

    A transaction is begun (SQLite's lock and journal) and a page written beside it and synced
    (space, rights, the disk itself). Nothing of the store is changed.
    """

    def __init__(self, core: Core, data: Path) -> None:
        self._core = core
        self._data = data
        self._asked_at = float("-inf")
        self._reasons: list[str] = []
        self._turn = asyncio.Lock()

    async def __call__(self) -> list[str]:
        """Why the server is not ready."""
        async with self._turn:
            now = self._core.clock.monotonic()
            if now - self._asked_at >= KEEP_S:
                self._reasons = await self._ask()
                self._asked_at = self._core.clock.monotonic()
            return self._reasons

    async def _ask(self) -> list[str]:
        try:
            async with asyncio.timeout(READY_S):
                await asyncio.to_thread(_write_page, self._data / PROBE_NAME)
                async with self._core.database.transaction():
                    pass
        except TimeoutError:
            return [f"the store did not take a write within {READY_S:g} s"]
        except (Refused, OSError) as error:
            why = error.message if isinstance(error, Refused) else error.strerror
            return [f"the store cannot be written: {why}"]
        return []


def _write_page(path: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    try:
        os.write(handle, b"\0" * PROBE_BYTES)
        os.fsync(handle)
    finally:
        os.close(handle)
        with contextlib.suppress(OSError):
            path.unlink()
