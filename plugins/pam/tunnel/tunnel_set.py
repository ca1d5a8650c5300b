"""The tunnels of a file, opened together: all or nothing, unless told to keep going."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commander.errors import CommanderError, Conflict
from commander.hosting.host import Hosting, StartOptions
from commander.hosting.hosted import HostedTunnel, Label
from commander.hosting.model import TunnelInfo
from commander.plugin.context import Context
from commander.plugin.results import Plain, Table
from commander.tunnel.codes import CloseCode
from plugins.pam.tunnel.endpoint import local_address
from plugins.pam.tunnel.listing import SET_COLUMNS
from plugins.pam.tunnel.opening import (
    DEFAULT_HOST,
    LocalEnd,
    Manner,
    has_local_end,
    open_tunnel,
    start_options,
)
from plugins.pam.tunnel.request import Plan, Wanted, plan_tunnel
from plugins.pam.tunnel.set_variables import NamedTunnel
from plugins.pam.tunnel.tunnels_file import Entry, TunnelsFile

# Within what server and gateway take from one user: 200 at once, then 10 a second.
_AT_ONCE = 16
_BURST = 32
_PER_S = 8.0
OPEN, ALREADY, WOULD_OPEN = "open", "already open", "would open"
FAILED, NOT_TRIED, CLOSED_AGAIN = "failed", "not tried", "closed again"


@dataclass
class Member:
    """One entry of the file on its way to a tunnel."""

    entry: Entry
    state: str = NOT_TRIED
    plan: Plan | None = None
    options: StartOptions | None = None
    live: TunnelInfo | None = None
    hosted: HostedTunnel | None = None
    error: CommanderError | None = None

    @property
    def tunnel(self) -> TunnelInfo | None:
        """The open tunnel, of whichever process."""
        return self.hosted.info() if self.hosted is not None else self.live

    def fail(self, error: CommanderError) -> None:
        """Remember why it did not open."""
        self.error, self.state = error, FAILED


class TunnelSet:
    """
    Call `plan`, then `open`; `close` ends what this one has opened, and nothing else.

    Errors stay with their members: `failed` has them, in the order of the file.
    """

    def __init__(
        self, context: Context, hosting: Hosting, path: Path, file: TunnelsFile, manner: Manner
    ) -> None:
        self._context = context
        self._hosting = hosting
        self._path = path
        self._groups = file.groups
        self._manner = manner
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._asked = 0
        self._since = context.clock.monotonic()
        self._members = {entry.name: Member(entry) for entry in file.entries}

    @property
    def members(self) -> list[Member]:
        """In the order of the file."""
        return list(self._members.values())

    @property
    def failed(self) -> list[Member]:
        """Those with an error."""
        return [member for member in self.members if member.error is not None]

    async def plan(self) -> None:
        """Look everything up, find what is open already, and try the local ends; opens nothing."""
        live = await self._hosting.list_all()
        claimed: set[str] = set()
        for member in self.members:
            try:
                self._plan_one(member, live, claimed)
            except CommanderError as error:
                member.fail(error)
        ready = [member for member in self.members if member.state == WOULD_OPEN]
        try:
            self._hosting.check_room(len(ready))
        except Conflict as error:
            for member in ready:
                member.fail(error)

    async def open(self, *, keep_going: bool) -> None:
        """Open group after group. Unless told to keep going, the first failure closes all again."""
        if self.failed and not keep_going:
            return
        for group in self._groups:
            members = [self._members[entry.name] for entry in group]
            ready = [one for one in members if one.state == WOULD_OPEN and self._may_open(one)]
            await asyncio.gather(*(self._open_one(member) for member in ready))
            if self.failed and not keep_going:
                await self.close("another tunnel of the file did not open")
                return

    async def close(self, reason: str) -> None:
        """Close what was opened here, last group first; idempotent."""
        for group in reversed(self._groups):
            closes = []
            for entry in group:
                member = self._members[entry.name]
                hosted, member.hosted = member.hosted, None
                if hosted is not None:
                    member.state = CLOSED_AGAIN
                    closes.append(hosted.close(CloseCode.STOPPED, reason))
            await asyncio.gather(*closes)

    def opened(self) -> list[HostedTunnel]:
        """What was opened here."""
        return [member.hosted for member in self.members if member.hosted is not None]

    def named(self) -> list[NamedTunnel]:
        """All that are open, for the variables of a command."""
        return [
            NamedTunnel(
                member.entry.prefix, member.tunnel, member.plan.record.data, member.plan.user
            )
            for member in self.members
            if member.tunnel is not None and member.plan is not None
        ]

    def table(self) -> Table:
        """One row for each tunnel of the file."""
        return Table(SET_COLUMNS, [_row(member) for member in self.members])

    def _plan_one(self, member: Member, live: Sequence[TunnelInfo], claimed: set[str]) -> None:
        entry = member.entry
        member.plan = plan_tunnel(
            self._context.vault,
            Wanted(entry.record, entry.target_host, entry.target_port, entry.reason, entry.ticket),
        )
        end = self._local_end(entry)
        member.live = self._find_live(entry, member.plan, end, live, claimed)
        if member.live is not None:
            claimed.add(member.live.tunnel)
            member.state = ALREADY
            return
        manner = Manner(
            entry.path,
            self._manner.timeout_s,
            entry.idle_timeout,
            wait=self._manner.wait,
            label=Label(entry.name, str(self._path)),
        )
        member.options = start_options(self._context, member.plan, end, manner)
        member.options.check_local()
        member.state = WOULD_OPEN

    def _local_end(self, entry: Entry) -> LocalEnd:
        return LocalEnd(
            entry.host or DEFAULT_HOST,
            entry.port,
            entry.natural,
            # A path in the file is meant from where the file is.
            self._path.parent / entry.unix if entry.unix else None,
        )

    def _find_live(
        self,
        entry: Entry,
        plan: Plan,
        end: LocalEnd,
        live: Sequence[TunnelInfo],
        claimed: set[str],
    ) -> TunnelInfo | None:
        """Ours by name; or one of the same record that somebody opened at the place we want."""
        usable = [one for one in live if one.is_live and one.tunnel not in claimed]
        for tunnel in usable:
            if (tunnel.file, tunnel.name) == (str(self._path), entry.name):
                if tunnel.record != plan.record.uid or not has_local_end(tunnel, end):
                    raise Conflict(
                        f"it is open to {tunnel.title!r} at {local_address(tunnel)}, as the file said "
                        "before it was changed",
                        hint="pam tunnel down, then up again",
                    )
                return tunnel
        for tunnel in usable:
            if not tunnel.file and tunnel.record == plan.record.uid and has_local_end(tunnel, end):
                return tunnel
        return None

    def _may_open(self, member: Member) -> bool:
        return all(self._members[name].tunnel is not None for name in member.entry.after)

    async def _open_one(self, member: Member) -> None:
        assert member.plan is not None
        assert member.options is not None
        async with self._slots:
            await self._take_turn()
            try:
                member.hosted = await open_tunnel(
                    self._context,
                    self._hosting,
                    member.plan,
                    member.options,
                    wait=self._manner.wait,
                )
            except CommanderError as error:
                member.fail(error)
            else:
                member.state = OPEN

    async def _take_turn(self) -> None:
        self._asked += 1
        ahead = (self._asked - _BURST) / _PER_S
        await asyncio.sleep(max(0.0, self._since + ahead - self._context.clock.monotonic()))


def _row(member: Member) -> dict[str, Plain]:
    entry, tunnel, error = member.entry, member.tunnel, member.error
    return {
        "name": entry.name,
        "record": member.plan.record.data.title if member.plan else entry.record,
        "remote": member.plan.request.remote if member.plan else "",
        "local": local_address(tunnel) if tunnel else "",
        "path": tunnel.path if tunnel else "",
        "state": member.state,
        "tunnel_id": tunnel.tunnel if tunnel else "",
        "line": entry.line,
        "code": error.code if error else "",
        "error": error.message if error else "",
        "hint": error.hint if error else "",
        "exit_code": error.exit_code if error else 0,
    }
