"""`commander-server start`: everything put together, run until a signal."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import gc
import json
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from commander import __version__, tasks
from commander.backend import identity, tls
from commander.backend.app import build_app
from commander.backend.core import Core, open_core
from commander.backend.gatekeeper import Gatekeeper
from commander.backend.http.protocol import HEADERS_BYTES, ImpatientHttpProtocol
from commander.backend.services.devices.transfer_file import sweep_files
from commander.clock import Clock, SystemClock, iso_utc
from commander.errors import CommanderError, Conflict, Refused, UsageError
from commander.files import make_private_directory, write_private
from commander.launch.listening import listen_on, relay_port
from commander.launch.observing import Observer, metrics_listen
from commander.launch.server_logging import start_logging
from commander.launch.server_metrics import ServerReadiness, connection_kinds, read_server
from commander.launch.server_relay import read_relays
from commander.launch.server_router import RouterGate
from commander.launch.tls_buffers import share_tls_buffers
from commander.metrics.server import METRICS
from commander.router.app import Router, build_routes
from commander.router.bounded_server import UVICORN_OPTIONS, BoundedServer
from commander.router.stream_door import choosing_protocol
from commander.wire.join import Join, write_join

_log = logging.getLogger(__name__)
STORE = "server.db"
ADDRESS_FILE = "address"
STATUS_FILE = "status.json"
STOP_S = 2
MAX_CONNECTIONS = 30_000
_RENEW_EVERY_S = 3600.0
_STATUS_EVERY_S = 10.0


class _Server(BoundedServer):
    """Leaves signals to us, and says when it accepts connections."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def start(options: argparse.Namespace) -> int:
    """Run the server in this process until SIGTERM or SIGINT; returns the exit code."""
    listen = metrics_listen(options)
    share_tls_buffers()
    make_private_directory(options.data)
    start_logging(options.data / "logs", to_stdout=options.log_to_stdout)
    with _only_one(options.data), listen_on(options.listen) as listener:
        clock = SystemClock()
        observer = Observer(clock, listen, _say)
        asyncio.run(_Run(options, listener, clock, observer).run())
    return 0


@contextlib.contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Hold the data directory's lock; the kernel drops it with the process."""
    handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise Conflict(
            f"another server uses {data}", hint="stop it, or give another --data"
        ) from None
    try:
        yield
    finally:
        os.close(handle)


class _Run:
    """One life of the server."""

    def __init__(
        self,
        options: argparse.Namespace,
        listener: socket.socket,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._options = options
        self._observer = observer
        self._listener = listener
        self._clock = clock
        self._data: Path = options.data
        self._names = [tls.read_address(name) for name in options.public_name]
        self._has_own_certificate = options.tls_cert is None
        if (options.tls_cert is None) != (options.tls_key is None):
            raise UsageError("--tls-cert and --tls-key belong together")
        self._relays = read_relays(options)

    async def run(self) -> None:
        """Open, serve, close."""
        authority = self._load_authority()
        context = self._context(authority)
        core = await open_core(
            self._data / STORE, self._clock, ca_pem=authority.pem if authority else ""
        )
        core.relays = self._relays
        try:
            await self._sweep(core)
            setup = await self._setup_string(core, authority)
            await self._serve(core, context, authority, setup)
        finally:
            await core.close()

    @staticmethod
    async def _sweep(core: Core) -> None:
        """Remove what a crash left of attachments; a disk that can't be written stops no start."""
        try:
            if swept := await sweep_files(core):
                _log.info("swept %d unfinished or orphaned attachments", swept)
        except (Refused, OSError) as error:
            _log.error("attachments were not swept: %s", error)

    async def _serve(
        self, core: Core, context: ssl.SSLContext, authority: tls.Authority | None, setup: str
    ) -> None:
        gate = RouterGate(Gatekeeper(core))
        router = Router(gatekeeper=gate, journal=gate, clock=self._clock)
        core.presence = router.registry
        app = build_app(core, build_routes(router), proxies=self._options.forward_proxy)
        config = uvicorn.Config(
            app,
            http=choosing_protocol(ImpatientHttpProtocol, router.accept_stream),
            h11_max_incomplete_event_size=HEADERS_BYTES,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=STOP_S,
            ssl_context_factory=lambda _config, _default: context,
            **UVICORN_OPTIONS,
        )
        server = _Server(config, lambda: self._announce(setup))
        stopping = _stop_on_signals(server)
        renewal = tasks.spawn(self._renew(context, authority), name="certificate")
        router.start()
        closer = tasks.spawn(_close_first(stopping, router), name="router-close")
        status = tasks.spawn(self._keep_status(core, router), name="server-status")
        readiness = ServerReadiness(core, self._data)
        try:
            async with (
                self._observer.serving(METRICS, lambda: read_server(core, router), readiness),
                relay_port(self._options, router, context, _say),
            ):
                await server.serve([self._listener])
        finally:
            await tasks.cancel_and_wait(renewal, closer, status)
            await router.close()

    def _load_authority(self) -> tls.Authority | None:
        if not self._has_own_certificate:
            return None
        return tls.load_authority(self._data, now=self._clock.now())

    def _context(self, authority: tls.Authority | None) -> ssl.SSLContext:
        if authority is None:
            return tls.server_context(self._options.tls_cert, self._options.tls_key)
        tls.ensure_certificate(
            self._data, authority, self._certificate_names(), now=self._clock.now()
        )
        return tls.server_context(self._data / "tls.pem", self._data / "tls.key")

    async def _renew(self, context: ssl.SSLContext, authority: tls.Authority | None) -> None:
        """Renew our own certificate before it ends, without a restart."""
        while authority is not None:
            await asyncio.sleep(_RENEW_EVERY_S)
            names, now = self._certificate_names(), self._clock.now()
            if tls.ensure_certificate(self._data, authority, names, now=now):
                tls.load_chain(context, self._data / "tls.pem", self._data / "tls.key")
                _log.info("the certificate was renewed")

    async def _keep_status(self, core: Core, router: Router) -> None:
        """Write, again and again, what `commander-server status` shows of a running server."""
        since = iso_utc(self._clock.now())
        while True:
            kinds = connection_kinds(router)
            found = {
                "version": __version__,
                "pid": os.getpid(),
                "since": since,
                "gateways_online": kinds["gateway"],
                "devices_connected": kinds["device"],
                "relay_paths": router.relays.pairs(),
                "store_errors": core.database.faults,
                "last_problem": self._observer.problems.described(),
            }
            # A full disk is told by the readiness and the log; it must not end anything here.
            with contextlib.suppress(CommanderError, OSError):
                write_private(self._data / STATUS_FILE, json.dumps(found).encode())
            await asyncio.sleep(_STATUS_EVERY_S)

    def _certificate_names(self) -> list[str]:
        listen = self._listener.getsockname()[0]
        names = [host for host, _ in self._names]
        return [*names, *([self._default_host()] if listen not in names else [])]

    def _default_host(self) -> str:
        host: str = self._listener.getsockname()[0]
        return socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104  compared only

    def _addresses(self) -> list[str]:
        port = self._listener.getsockname()[1]
        names = self._names or [(self._default_host(), port)]
        return [_join_address(host, own or port) for host, own in names]

    async def _setup_string(self, core: Core, authority: tls.Authority | None) -> str:
        """A set-up join string for a new store, or when asked for; else ""."""
        wanted = self._options.new_setup_string
        if core.state.genesis is not None:
            if wanted:
                raise Conflict(
                    "there is an enterprise already",
                    hint="an administrator makes invitations: account invite",
                )
            return ""
        if await identity.has_setup_secret(core.database) and not wanted:
            sys.stderr.write(
                "waiting for set-up with the string that was printed first; "
                "--new-setup-string makes another\n"
            )
            return ""
        secret = await identity.new_setup_secret(core.database)
        fingerprint = authority.fingerprint if authority else b""
        return write_join(Join("setup", self._addresses()[0], secret, b"", fingerprint))

    def _announce(self, setup: str) -> None:
        # First, since scripts go on as soon as they read the line.
        write_private(self._data / ADDRESS_FILE, self._local_address().encode())
        if setup:
            sys.stdout.write(f"set-up join string, shown once: {setup}\n")
        for address in self._addresses():
            sys.stdout.write(f"listening on https://{address}\n")
        sys.stdout.flush()
        _log.info("listening on %s", self._local_address())
        # What start-up made lives as long as the process: a collection that walks through it
        # all held every answer up for 100 ms now and then.
        gc.collect()
        gc.freeze()

    def _local_address(self) -> str:
        """Where this machine itself reaches the server, for `status`."""
        host, port = self._listener.getsockname()[:2]
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared only
        return _join_address(local, port)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _stop_on_signals(server: uvicorn.Server) -> asyncio.Event:
    stopping = asyncio.Event()

    def stop() -> None:
        # The second signal does not wait for anybody.
        server.force_exit = server.should_exit
        server.should_exit = True
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return stopping


async def _close_first(stopping: asyncio.Event, router: Router) -> None:
    """Tell connected clients and gateways to come back before uvicorn begins to wait for them."""
    await stopping.wait()
    await router.close()
