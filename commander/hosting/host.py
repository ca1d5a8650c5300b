"""
The tunnels of one client process: start, supervise, list, stop; and those of other processes.

A hosted tunnel is a conversation with a gateway, a tunnel end, a local listener and a log. It
ends as a whole, for one reason, which the log and the user are told.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from commander.api.client import Api
from commander.api.socket import RouterSocket
from commander.authority.refusals import Code
from commander.clock import Clock
from commander.config.paths import Paths
from commander.errors import (
    CommanderError,
    Conflict,
    InvalidInput,
    NotFound,
    Refused,
    SealBroken,
    Tampered,
    Unreachable,
)
from commander.hosting.attempt import Attempt
from commander.hosting.control import ControlServer, ask_host, list_others
from commander.hosting.conversation import Accepted, Position, TunnelRequest, ask_gateway
from commander.hosting.ends import explain_end
from commander.hosting.gates import Gates
from commander.hosting.handle import TunnelsHandle
from commander.hosting.hosted import NO_LABEL, HostedTunnel, Label, Notice
from commander.hosting.journal import remove_old
from commander.hosting.keeper import Means, PathKeeper
from commander.hosting.keeper_plan import AUTO, KeeperPlan, first_kinds, kinds_of_choice
from commander.hosting.local_end import Entrance
from commander.hosting.model import Ask, Told, TunnelInfo, match_tunnels
from commander.hosting.paths import KINDS, BeginKind, PathNetwork
from commander.hosting.ports import RememberedPorts
from commander.hosting.session_use import SessionUse
from commander.hosting.surroundings import Surroundings
from commander.tunnel.codes import CloseCode
from commander.tunnel.descriptors import (
    PER_TUNNEL,
    RESERVED,
    descriptor_limit,
    raise_descriptor_limit,
    tunnels_that_fit,
)
from commander.tunnel.listener import ListenOn
from commander.tunnel.unix_place import UnixPlace

MAX_TUNNELS = 2000
ROUTER_S = 15.0


@dataclass(frozen=True)
class StartOptions:
    """What the user chose; `port` 0 means the remembered or first free one."""

    host: str = "127.0.0.1"
    port: int = 0
    preferred_port: int = 0
    reuse_port: bool = True
    allow_remote: bool = False
    path: str = "auto"
    timeout_s: float = 30.0
    idle_s: float | None = None
    mode: str = "session"
    new: bool = False
    unix: Path | None = None
    """Listen at this Unix socket instead of a port."""
    stdio: bool = False
    """Listen nowhere; the one stream is made by `HostedTunnel.connect`."""
    beside: bool = False
    """Also listen at the same port of 127.0.0.1, if that is free: where NAME.localhost leads."""
    further: tuple[tuple[int, int], ...] = ()
    """More ports of the target: local (0 is the first free one) and remote."""
    label: Label = NO_LABEL

    def entrances(self, remembered: int = 0) -> tuple[Sequence[Entrance], ...]:
        """Where to listen, best first."""
        if self.stdio:
            return ()
        if self.unix is not None:
            return ([Entrance(UnixPlace(self.unix))],)
        preferred = self.preferred_port or remembered or None
        place = ListenOn(self.host, self.port or None, preferred, allow_remote=self.allow_remote)
        more = [
            Entrance(ListenOn(self.host, local or None, allow_remote=self.allow_remote), remote)
            for local, remote in self.further
        ]
        if not self.beside:
            return ([Entrance(place), *more],)
        return (
            [Entrance(place), Entrance(ListenOn(port=self.port)), *more],
            [Entrance(place), *more],
        )

    def check_local(self) -> None:
        """Raise now what the user has to change, before a gateway is bothered."""
        if not self.stdio:
            for entrance in self.entrances()[-1]:
                entrance.place.bind().close()
                entrance.place.release()


@dataclass
class Link:
    """The signed-in side that tunnels of this process use: one control WebSocket for all."""

    api: Api
    environment: Mapping[str, str]
    position: Callable[[], Position]
    version: str
    router: RouterSocket | None = field(default=None)


class Hosting:
    """
    All tunnels of this process; make one, and `close_all` at the end.

    `notify` is told in one sentence when a tunnel ends by itself.
    """

    def __init__(
        self,
        paths: Paths,
        clock: Clock,
        *,
        notify: Notice,
        kinds: Mapping[str, BeginKind] = KINDS,
    ) -> None:
        self._paths = paths
        self._clock = clock
        self._notify = notify
        self._kinds = kinds
        self._tunnels: dict[str, HostedTunnel] = {}
        self._starting = 0
        self._control: ControlServer | None = None
        self._link: Link | None = None
        self._ports = RememberedPorts(paths.home / "ports.json")
        self._gates = Gates(clock)
        self._earlier_routers: list[RouterSocket] = []
        self._surroundings = Surroundings(self._surroundings_changed, clock)
        self._session_use = SessionUse(self._used_api)

    def use(self, link: Link) -> None:
        """
        Tell which session tunnels use: new ones, and those of the same device that are open.

        The same session keeps its link, and so its one WebSocket: the server lets a device have few.
        """
        before = self._link
        if before is not None and before.api is link.api:
            return
        if before is not None and before.router is not None:
            self._earlier_routers.append(before.router)
        self._link = link
        caller = link.api.caller
        for tunnel in self._tunnels.values():
            if caller is not None and caller.principal == tunnel.request.device:
                tunnel.use(self._means(link))

    def last_port(self, record: str) -> int:
        """The local port that a record's tunnel had last, or 0."""
        return self._ports.get(record)

    def open_count(self) -> int:
        """How many are open."""
        return len(self._tunnels)

    def check_room(self, wanted: int) -> None:
        """
        Raise Conflict that says what is missing unless so many more tunnels fit in this process.

        Only when they do not is the limit of descriptors raised: programs started here inherit it.
        """
        if self._room(descriptor_limit()) >= wanted:
            return
        limit = raise_descriptor_limit()
        room = self._room(limit)
        if room < wanted:
            held = len(self._tunnels) + self._starting
            raise Conflict(
                f"there is room for {room} more tunnels beside {held}, not for {wanted}: "
                f"{limit} open files (ulimit -n) hold {tunnels_that_fit(limit)}, a process {MAX_TUNNELS}",
                hint=f"stop some, or ulimit -n {(held + wanted) * PER_TUNNEL + RESERVED}",
            )

    def _room(self, descriptors: int) -> int:
        held = len(self._tunnels) + self._starting
        return max(0, min(MAX_TUNNELS, tunnels_that_fit(descriptors)) - held)

    def own(self) -> list[TunnelInfo]:
        """Tunnels of this process."""
        return [tunnel.info() for tunnel in self._tunnels.values()]

    async def list_all(self) -> list[TunnelInfo]:
        """Tunnels of this process and of the user's others."""
        return self.own() + await list_others(self._paths.runtime)

    async def show(self, tunnel: TunnelInfo) -> TunnelInfo:
        """One tunnel with its streams. Raises NotFound when it has just ended."""
        own = self._tunnels.get(tunnel.tunnel)
        if own is not None:
            return own.info(with_streams=True)
        told = await self._ask(tunnel, Ask("show", tunnel.tunnel))
        if not told.tunnels:
            raise NotFound(f"tunnel {tunnel.tunnel} has ended")
        return told.tunnels[0]

    async def stop(self, tunnel: TunnelInfo, reason: str) -> None:
        """Stop a tunnel of this or another process. Raises Unreachable when that one is gone."""
        own = self._tunnels.get(tunnel.tunnel)
        if own is not None:
            await own.close(CloseCode.STOPPED, reason)
            return
        told = await self._ask(tunnel, Ask("stop", tunnel.tunnel, reason))
        if told.code and told.code != NotFound.default_code:
            raise Unreachable(told.message, code=told.code)

    async def start(self, request: TunnelRequest, options: StartOptions) -> HostedTunnel:
        """
        Open a tunnel; returns once its local port accepts connections.

        A live tunnel of the same record is returned as it is, unless `options.new`. Raises what
        `ask_gateway` raises, Conflict for a taken port, Unreachable when no path came up.
        """
        if not options.new:
            live = self._live(request, options)
            if live is not None:
                return live
        self.check_room(1)
        self._starting += 1
        try:
            async with asyncio.timeout(options.timeout_s):
                return await self._start(request, options)
        except TimeoutError:
            raise Unreachable(
                f"no tunnel to {request.title} came up in {options.timeout_s:g} s",
                code="timed-out",
                hint="look at the gateway's log, or give a longer --timeout",
            ) from None
        finally:
            self._starting -= 1

    async def close_all(self, reason: str) -> None:
        """End all tunnels, the control socket and the WebSocket; idempotent."""
        tunnels = list(self._tunnels.values())
        closes = [tunnel.close(CloseCode.STOPPED, reason) for tunnel in tunnels]
        await asyncio.gather(*closes)
        control, self._control = self._control, None
        if control is not None:
            await control.close()
        await self._surroundings.close()
        await self._session_use.close()
        link, self._link = self._link, None
        routers, self._earlier_routers = self._earlier_routers, []
        if link is not None and link.router is not None:
            routers.append(link.router)
        for router in routers:
            await router.close()

    def _live(self, request: TunnelRequest, options: StartOptions) -> HostedTunnel | None:
        for tunnel in self._tunnels.values():
            info = tunnel.info()
            if info.record == request.record and info.is_live:
                if options.port not in (0, info.local_port):
                    raise Conflict(
                        f"{request.title} has a live tunnel on port {info.local_port}",
                        hint="stop it, or give --new",
                    )
                return tunnel
        return None

    async def _start(self, request: TunnelRequest, options: StartOptions) -> HostedTunnel:
        link = self._need_link()
        options.check_local()
        means = self._means(link)
        await means.router.wait_connected(timeout_s=ROUTER_S)
        kinds = _kinds(request, options)
        attempt = await Attempt.begin(first_kinds(kinds), means.network, 1)
        try:
            accepted = await ask_gateway(
                request,
                attempt.offer,
                means.router,
                position=link.position,
                clock=self._clock,
                timeout_s=options.timeout_s,
            )
            tunnel = await self._connect(request, options, accepted, attempt, kinds, means)
        except BaseException:
            await attempt.close()
            raise
        if options.reuse_port and tunnel.info().local_port:
            # Remembering a port is a convenience: a full disk must not cost the tunnel.
            with contextlib.suppress(CommanderError):
                self._ports.remember(request.record, tunnel.info().local_port)
        return tunnel

    async def _connect(
        self,
        request: TunnelRequest,
        options: StartOptions,
        accepted: Accepted,
        attempt: Attempt,
        kinds: tuple[str, ...],
        means: Means,
    ) -> HostedTunnel:
        await self._open_control()
        tunnel = HostedTunnel(
            request,
            accepted,
            paths=self._paths,
            clock=self._clock,
            mode=options.mode,
            idle_s=options.idle_s,
            ended=self._ended,
            notify=self._notify,
            label=options.label,
        )
        keeper = PathKeeper(tunnel, KeeperPlan(kinds, random=secrets.SystemRandom().random), means)
        tunnel.keep(keeper)
        try:
            await keeper.first(attempt, accepted)
            remembered = self._ports.get(request.record) if options.reuse_port else 0
            if not options.stdio:
                await tunnel.listen(*options.entrances(remembered))
        except (SealBroken, InvalidInput) as error:
            await tunnel.close(CloseCode.HELLO_FAILED, "the far end is not the gateway")
            raise Tampered(
                "the far end of the path could not prove to be the gateway",
                hint="do not go on; tell an administrator",
                code="hello-broken",
            ) from error
        except BaseException:
            await tunnel.close(CloseCode.STOPPED, "the tunnel did not come up")
            raise
        self._tunnels[tunnel.uid] = tunnel
        keeper.begin()
        self._surroundings.start()
        self._session_use.start()
        return tunnel

    def _used_api(self) -> Api | None:
        return self._link.api if self._link is not None and self._tunnels else None

    def _surroundings_changed(self, why: str, *, is_moved: bool) -> None:
        for tunnel in self._tunnels.values():
            tunnel.surroundings_changed(why, is_moved=is_moved)

    def _ended(self, tunnel: HostedTunnel, code: CloseCode, reason: str) -> None:
        known = self._tunnels.pop(tunnel.uid, None)
        if known is not None and code is not CloseCode.STOPPED:
            ending = explain_end(code, reason, record=tunnel.title)
            said = f"Tunnel {tunnel.title} ended: {ending.sentence}."
            self._notify(f"{said} Next: {ending.hint}" if ending.hint else said)

    def _means(self, link: Link) -> Means:
        if link.router is None:
            link.router = RouterSocket(
                link.api, link.environment, clock=self._clock, version=link.version
            )
            link.router.start()
        network = PathNetwork(link.api, link.environment, self._kinds)
        return Means(link.router, network, link.position, self._clock, self._gates)

    def _need_link(self) -> Link:
        if self._link is None:
            raise Unreachable("no session to start a tunnel with", hint="log in")
        return self._link

    async def _open_control(self) -> None:
        if self._control is None:
            remove_old(self._paths.tunnel_logs, now=self._clock.now())
            control = ControlServer(self._paths.host_socket(os.getpid()), self._answer)
            await control.start()
            self._control = control

    async def _answer(self, ask: Ask) -> Told:
        if ask.operation == "list":
            return Told(tuple(self.own()))
        found = match_tunnels(ask.tunnel, self.own())
        if len(found) != 1:
            raise NotFound(f"no tunnel {ask.tunnel[:40]} here")
        tunnel = self._tunnels[found[0].tunnel]
        if ask.operation == "stop":
            await tunnel.close(CloseCode.STOPPED, ask.reason[:200] or "stopped")
        elif ask.operation != "show":
            raise InvalidInput(f"unknown operation {ask.operation[:40]!r}")
        return Told((tunnel.info(with_streams=True),))

    async def _ask(self, tunnel: TunnelInfo, ask: Ask) -> Told:
        return await ask_host(self._paths.host_socket(tunnel.pid), ask)


def _kinds(request: TunnelRequest, options: StartOptions) -> tuple[str, ...]:
    """The kinds the tunnel may use. Raises Refused(path-forbidden) when the record's settings leave none."""
    kinds = kinds_of_choice(options.path, request.kinds)
    if kinds:
        return kinds
    asked = "" if options.path == AUTO else f"--path {options.path}: "
    raise Refused(
        f"{asked}the PAM settings of {request.title} allow {', '.join(request.kinds) or 'no kind of path'}{' only' if request.kinds else ''}",
        code=Code.PATH_FORBIDDEN,
        hint="use --path auto, or have the rule changed: pam tunnel edit --paths, pam config edit --paths",
    )


def hosting_of(tunnels: object) -> Hosting:
    """The full interface behind the shell's small port `TunnelHost`."""
    assert isinstance(tunnels, TunnelsHandle)
    return tunnels.hosting()
