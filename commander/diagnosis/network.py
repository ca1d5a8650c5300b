"""The way from this machine to its server: name, connection, proxy, TLS, the server itself, its clock."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

import msgspec
from cryptography import x509

from commander.api.bootstrap import connector
from commander.api.proxy import choose_proxy
from commander.api.tls import verified_context
from commander.clock import Clock, iso_utc
from commander.diagnosis.failures import (
    connect_failure,
    name_failure,
    page_failure,
    proxy_failure,
    tls_failure,
)
from commander.diagnosis.report import State, Value
from commander.diagnosis.resolving import resolve
from commander.diagnosis.steps import Outcome, Skipped, Step
from commander.errors import InvalidInput, SealBroken, Tampered, Unreachable
from commander.wire.calls import HEALTH_PATH, INFO_PATH, ServerInfo
from commander.wire.known_server import split_address
from commander.wire.proofs import verify_server_info

MAX_TRIED = 4
CONNECT_S = 4.0
"""For a connection; twice that for a handshake or a proxy's answer."""
PROXY_HEAD = 8192
PAGE_S = 8.0
CERTIFICATE_WARN_S = 14 * 24 * 3600
CLOCK_WARN_S = 5.0
CLOCK_FAIL_S = 60.0
"""A gateway refuses commands whose time is further off."""


@dataclass(frozen=True)
class Place:
    """Where the server is said to be, and what is known of it; `ca` and `uid` are empty for none."""

    address: str
    ca: str = ""
    uid: str = ""


class ServerNetwork:
    """The steps from here to one server; each leaves what the next one needs."""

    def __init__(
        self,
        place: Place,
        environment: Mapping[str, str],
        clock: Clock,
        *,
        patience_s: float = CONNECT_S,
    ) -> None:
        self._place = place
        self._patience_s = patience_s
        self._environment = environment
        self._clock = clock
        self._host, self._port = split_address(place.address)
        self._proxy = ""
        self._connected = ""
        self._info: ServerInfo | None = None
        self._offset_s = 0.0
        self._doubt_s = 0.0

    def steps(self) -> list[Step]:
        """The checks in order, for `Runner.run`."""
        return [
            Step("proxy", "Proxy in use", self._choose_proxy),
            Step("name", "Name of the server", self._resolve, ("proxy",), 6.0),
            Step("connection", "Connection", self._connect, ("name",), 20.0),
            Step("tls", "TLS and its certificate", self._verify, ("connection",), 15.0),
            Step("server", "The server answers", self._ask, ("tls",), 15.0),
            Step("clock", "This machine's clock", self._compare_clocks, ("server",)),
        ]

    # --- the way ---------------------------------------------------------------------------------

    async def _choose_proxy(self) -> Outcome:
        self._proxy = choose_proxy(self._environment, self._place.address)
        if not self._proxy:
            return Outcome("none", values={"proxy": ""})
        host, port, _ = split_proxy(self._proxy)
        return Outcome(f"{host}:{port} (HTTPS_PROXY)", values={"proxy": f"{host}:{port}"})

    def _next_hop(self) -> tuple[str, int]:
        if not self._proxy:
            return self._host, self._port
        host, port, _ = split_proxy(self._proxy)
        return host, port

    async def _resolve(self) -> Outcome:
        host, port = self._next_hop()
        whose = "the proxy's name " if self._proxy else ""
        if is_address(host):
            return Outcome(f"{whose}{host} is an address", values={"addresses": 1})
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            found = await resolve(host, port)
        except OSError as error:
            raise name_failure(host, error) from None
        took = round((loop.time() - began) * 1000)
        shown = ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")
        return Outcome(f"{whose}{host} is {shown} ({took} ms)", values={"addresses": len(found)})

    async def _connect(self) -> Outcome:
        host, port = self._next_hop()
        loop = asyncio.get_running_loop()
        addresses = [host] if is_address(host) else await resolve(host, port)
        failure: OSError = OSError("the name has no address")
        for address in addresses[:MAX_TRIED]:
            began = loop.time()
            try:
                async with asyncio.timeout(self._patience_s):
                    _, writer = await asyncio.open_connection(address, port)
            except OSError as error:
                failure = error
                continue
            writer.transport.abort()
            took = (loop.time() - began) * 1000
            self._connected = address
            figure = f"{_joined(address, port)} in {took:.1f} ms"
            if self._proxy:
                _, writer = await self._open()
                writer.transport.abort()
                figure += f", which connects to {self._place.address}"
            return Outcome(figure, values={"connect_ms": round(took, 1)})
        raise connect_failure(_joined(host, port), failure) from None

    async def _verify(self) -> Outcome:
        context = verified_context(self._place.ca)
        try:
            writer = await self._handshake(context)
        except (ssl.SSLError, OSError, EOFError) as error:
            cause = error if isinstance(error, OSError) else ConnectionResetError("cut")
            failure = tls_failure(cause, now=iso_utc(self._clock.now()))
            raise await self._maybe_page(failure) from None
        try:
            return self._judge_certificate(writer)
        finally:
            writer.transport.abort()

    async def _handshake(self, context: ssl.SSLContext) -> asyncio.StreamWriter:
        _, writer = await self._open()
        try:
            await writer.start_tls(
                context, server_hostname=self._host, ssl_handshake_timeout=2 * self._patience_s
            )
        except BaseException:
            writer.transport.abort()
            raise
        return writer

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server, through the proxy if there is one."""
        host, port = self._next_hop()
        # A proxy may itself be spoken to by TLS; its certificate is checked by the machine's authorities.
        has_tls = self._proxy.startswith("https:")
        try:
            async with asyncio.timeout(self._patience_s):
                reader, writer = await asyncio.open_connection(
                    self._connected,
                    port,
                    limit=PROXY_HEAD,
                    ssl=verified_context("") if has_tls else None,
                    server_hostname=host if has_tls else None,
                )
        except TimeoutError as error:
            raise connect_failure(_joined(self._connected, port), error) from None
        try:
            if self._proxy:
                await self._through_proxy(reader, writer)
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer

    async def _through_proxy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, port, account = split_proxy(self._proxy)
        target = _joined(self._host, self._port)
        authorization = f"Proxy-Authorization: Basic {account}\r\n" if account else ""
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n".encode())
        try:
            async with asyncio.timeout(2 * self._patience_s):
                head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            raise Unreachable(
                f"the proxy {host}:{port} gives no answer to CONNECT",
                hint="is HTTPS_PROXY the address of a proxy?",
                code="proxy-no-answer",
            ) from None
        status = read_status(head)
        if status != 200:
            raise proxy_failure(f"{host}:{port}", target, status)

    async def _maybe_page(self, failure: Unreachable) -> Unreachable:
        """Tell when what does not speak TLS speaks HTTP: captive portals do."""
        if failure.code not in ("tls-failed", "tls-cut"):
            return failure
        with contextlib.suppress(OSError, EOFError, Unreachable, asyncio.LimitOverrunError):
            async with asyncio.timeout(self._patience_s):
                reader, writer = await self._open()
                try:
                    writer.write(b"GET / HTTP/1.0\r\n\r\n")
                    head = await reader.read(512)
                finally:
                    writer.transport.abort()
            if head.startswith(b"HTTP/"):
                return page_failure(read_status(head), b"<")
        return failure

    def _judge_certificate(self, writer: asyncio.StreamWriter) -> Outcome:
        found: ssl.SSLObject = writer.get_extra_info("ssl_object")
        der = found.getpeercert(binary_form=True)
        assert der is not None
        ends, whose = self._first_end(x509.load_der_x509_certificate(der))
        left_s = ends - self._clock.now()
        figure = (
            f"{found.version()}, {whose} ends {iso_utc(ends)[:10]} (in {left_s / 86400:.0f} days)"
        )
        values: dict[str, Value] = {"tls": found.version(), "not_after": iso_utc(ends)}
        if left_s < CERTIFICATE_WARN_S:
            return Outcome(
                figure,
                State.WARN,
                "it ends soon",
                "have it renewed; the server renews its own by itself while it runs",
                "certificate-ends-soon",
                values=values,
            )
        return Outcome(figure, values=values)

    def _first_end(self, certificate: x509.Certificate) -> tuple[float, str]:
        """What ends first of certificate and pinned authority, and its name."""
        ends = [(certificate.not_valid_after_utc.timestamp(), "certificate")]
        if self._place.ca:
            authority = x509.load_pem_x509_certificate(self._place.ca.encode())
            ends.append((authority.not_valid_after_utc.timestamp(), "authority"))
        return min(ends)

    # --- the server ------------------------------------------------------------------------------

    async def _ask(self) -> Outcome:
        transport = connector(self._environment)(
            self._place.address, verified_context(self._place.ca)
        )
        loop = asyncio.get_running_loop()
        try:
            sent = self._clock.now()
            began = loop.time()
            page = await transport.get(INFO_PATH, timeout_s=PAGE_S)
            took_s = loop.time() - began
            health = await transport.get(HEALTH_PATH, timeout_s=PAGE_S)
        finally:
            await transport.close()
        if page.status != 200:
            raise page_failure(page.status, page.body)
        self._info = info = self._read(page.body)
        # The server tells whole seconds: half a second more is the best guess.
        self._offset_s = sent + took_s / 2 - (info.time + 0.5)
        self._doubt_s = took_s / 2 + 0.5
        figure = f"version {info.version}, {took_s * 1000:.0f} ms"
        if health.status != 200:
            raise Unreachable(
                "the server runs, but cannot use its store",
                hint="make room on the server's disk; commander-server status there tells more",
                code="store-unavailable",
            )
        return Outcome(
            figure, values={"version": info.version, "round_trip_ms": round(took_s * 1000)}
        )

    def _read(self, body: bytes) -> ServerInfo:
        try:
            info = msgspec.json.decode(body, type=ServerInfo)
            verify_server_info(info)
        except (msgspec.MsgspecError, ValueError):
            raise page_failure(200, body) from None
        except (SealBroken, InvalidInput):
            raise Tampered(
                "the server's description is not signed by its own key",
                hint="do not use it; tell an administrator",
            ) from None
        if self._place.uid and info.server != self._place.uid:
            raise Tampered(
                "another server than the one this machine knows answers there",
                hint="was it made anew? then remove device.json and join again; else tell an administrator",
                code="other-server",
            )
        return info

    async def _compare_clocks(self) -> Outcome:
        if self._info is None:
            raise Skipped("the server told no time")
        offset = self._offset_s
        figure = f"{offset:+.1f} s against the server"
        values: dict[str, Value] = {"offset_s": round(offset, 1)}
        # A slow answer makes the measurement vague; only what is certain counts.
        certain = abs(offset) - self._doubt_s
        if certain < CLOCK_WARN_S:
            return Outcome(figure, values=values)
        is_fatal = certain >= CLOCK_FAIL_S
        return Outcome(
            figure,
            State.FAIL if is_fatal else State.WARN,
            f"it is {iso_utc(self._clock.now())} here and {iso_utc(self._info.time)} at the server",
            "set the clock: timedatectl set-ntp true (or date -s); if this one is right, the server's",
            "clock-wrong",
            4 if is_fatal else 0,
            values,
        )


def split_proxy(url: str) -> tuple[str, int, str]:
    """Host, port and Basic credential of a proxy's URL; the credential is never shown."""
    parts = urlsplit(url)
    account = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        account = base64.b64encode(pair.encode()).decode()
    return parts.hostname or "", parts.port or 3128, account


def read_status(head: bytes) -> int:
    """The status of an HTTP answer; 0 for none."""
    words = head.split(b"\r\n", 1)[0].split(b" ")
    is_status = len(words) >= 2 and words[0].startswith(b"HTTP/") and words[1].isdigit()
    return int(words[1]) if is_status and len(words[1]) == 3 else 0


def is_address(host: str) -> bool:
    """Whether a host is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
