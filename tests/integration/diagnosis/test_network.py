"""The way to a server that is broken at each place in turn, with real servers, proxies and certificates."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from commander.clock import Clock, SystemClock
from commander.diagnosis.network import Place, ServerNetwork, read_status, split_proxy
from commander.diagnosis.report import Finding, State, exit_code
from commander.diagnosis.steps import Runner
from commander.wire.calls import INFO_PATH
from tests.support.backend_server import BackendServer, running
from tests.support.servers.blackhole import Blackhole
from tests.support.servers.http_proxy import HttpProxy
from tests.support.waiting import free_port

pytestmark = pytest.mark.integration
ORDER = ["proxy", "name", "connection", "tls", "server", "clock"]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[BackendServer]:
    tmp_path.chmod(0o700)
    async with running(tmp_path) as found:
        yield found


async def diagnose(
    place: Place,
    environment: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    *,
    patience_s: float = 20.0,
) -> dict[str, Finding]:
    runner = Runner(timeout_s=60.0)
    network = ServerNetwork(place, environment or {}, clock or SystemClock(), patience_s=patience_s)
    await runner.run(network.steps())
    assert [found.check for found in runner.findings] == ORDER
    return {found.check: found for found in runner.findings}


def place_of(server: BackendServer) -> Place:
    known = server.known
    return Place(known.address, known.ca, known.server)


def first_failure(findings: Mapping[str, Finding]) -> tuple[str, str, int]:
    """Row, code and exit code of what failed first; what rests on it has to be skipped."""
    states = [found.state for found in findings.values()]
    at = states.index(State.FAIL)
    assert set(states[at + 1 :]) <= {State.SKIPPED}
    found = list(findings.values())[at]
    assert found.reason
    assert found.advice or found.code == "timed-out"
    return found.check, found.code, exit_code(list(findings.values()))


async def test_a_good_way_is_ok_at_each_step(server: BackendServer) -> None:
    """Each row has its figure, and nothing fails."""
    findings = await diagnose(place_of(server), clock=server.clock)

    assert {found.state for found in findings.values()} == {State.OK}
    assert findings["proxy"].figure == "none"
    assert "TLSv1.3" in findings["tls"].figure
    assert findings["server"].values["version"]
    assert exit_code(list(findings.values())) == 0


@pytest.mark.parametrize(
    ("seconds", "state", "code"),
    [(20, State.WARN, 0), (120, State.FAIL, 4), (-3600, State.FAIL, 4)],
)
async def test_a_wrong_clock_is_told_with_both_times(
    server: BackendServer, seconds: int, state: State, code: int
) -> None:
    """Seconds are a warning; more than a minute, which gateways refuse, is a failure."""
    server.clock.jump(-seconds)

    findings = await diagnose(place_of(server), clock=_Ahead(server.clock, seconds))

    clock = findings["clock"]
    assert (clock.state, clock.code, clock.exit_code) == (state, "clock-wrong", code)
    offset = clock.values["offset_s"]
    assert isinstance(offset, float)
    assert abs(offset - seconds) < 15
    assert "here and" in clock.reason
    assert "at the server" in clock.reason


class _Ahead:
    """This machine's clock, some seconds ahead of another."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    def now(self) -> float:
        return self._clock.now() + self._seconds

    def monotonic(self) -> float:
        return self._clock.monotonic()


async def test_a_name_that_nobody_knows(server: BackendServer) -> None:
    """The first row that fails is the name."""
    failure = first_failure(await diagnose(Place("no-such-server.invalid:8443")))

    assert failure == ("name", "name-unknown", 6)


async def test_a_port_on_which_nobody_listens() -> None:
    """Refused is told apart from no answer."""
    failure = first_failure(await diagnose(Place(f"127.0.0.1:{free_port()}")))

    assert failure == ("connection", "refused", 6)


async def test_a_proxy_that_denies(server: BackendServer) -> None:
    """The proxy's refusal and its demand for a password are told; a good one leads to the server."""
    proxy = await HttpProxy(credentials="ann:s3cret-word").start()
    try:
        good = await diagnose(place_of(server), {"HTTPS_PROXY": proxy.url}, server.clock)
        bare = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
        password = await diagnose(place_of(server), bare)
        proxy.refuse = True
        denied = await diagnose(place_of(server), {"HTTPS_PROXY": proxy.url})
    finally:
        await proxy.close()

    assert {found.state for found in good.values()} == {State.OK}
    assert first_failure(password) == ("connection", "proxy-password", 6)
    assert first_failure(denied) == ("connection", "proxy-refused", 6)
    for findings in (good, password, denied):
        assert "s3cret-word" not in str([found.as_json() for found in findings.values()])


async def test_a_proxy_that_is_none() -> None:
    """A variable that is no address is told without quoting it."""
    findings = await diagnose(Place("127.0.0.1:1"), {"HTTPS_PROXY": "http://a b:s3cret@x"})

    assert first_failure(findings)[0] == "proxy"
    assert "s3cret" not in str(findings)


@asynccontextmanager
async def tls_server(certificate: trustme.LeafCert, page: bytes) -> AsyncIterator[int]:
    """A TLS server that answers every request with one page; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(page)
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def page(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def authority_of(ca: trustme.CA) -> str:
    return ca.cert_pem.bytes().decode()


@pytest.mark.parametrize(
    ("name", "days", "is_ours", "code"),
    [
        ("127.0.0.1", -1, True, "certificate-expired"),
        ("other.example", 90, True, "certificate-other-name"),
        ("127.0.0.1", 90, False, "certificate-untrusted"),
    ],
)
async def test_a_certificate_that_is_not_accepted(
    name: str, days: int, is_ours: bool, code: str
) -> None:
    """Expired, of another name, of another authority: each has its code."""
    ca = trustme.CA()
    certificate = ca.issue_cert(name, not_after=datetime.now(UTC) + timedelta(days=days))
    pinned = ca if is_ours else trustme.CA()
    async with tls_server(certificate, page("200 OK", b"{}")) as port:
        findings = await diagnose(Place(f"127.0.0.1:{port}", authority_of(pinned)))

    assert first_failure(findings) == ("tls", code, 6)


async def test_a_certificate_that_ends_soon_is_a_warning() -> None:
    """Its end is told while there is time to renew it."""
    ca = trustme.CA()
    certificate = ca.issue_cert("127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=3))
    async with tls_server(certificate, page("404 Not Found", b"nothing here")) as port:
        findings = await diagnose(Place(f"127.0.0.1:{port}", authority_of(ca)))

    assert (findings["tls"].state, findings["tls"].code) == (State.WARN, "certificate-ends-soon")
    assert "in 2 days" in findings["tls"].figure or "in 3 days" in findings["tls"].figure
    assert first_failure(findings) == ("server", "other-server", 6)


async def test_a_web_page_instead_of_the_server() -> None:
    """With TLS and without: a captive portal is called what it is."""
    ca = trustme.CA()
    portal = page("200 OK", b"<html>Welcome to the hotel</html>")
    async with tls_server(ca.issue_cert("127.0.0.1"), portal) as port:
        over_tls = await diagnose(Place(f"127.0.0.1:{port}", authority_of(ca)))

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(page("302 Found", b""))
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    without = await diagnose(Place(f"127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    server.close()

    assert first_failure(over_tls) == ("server", "captive-portal", 6)
    assert first_failure(without) == ("tls", "captive-portal", 6)


async def test_whoever_accepts_and_never_answers_is_given_up() -> None:
    """A server that hangs, and a proxy that hangs: each is told apart, and within its deadline."""
    over = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with Blackhole.silent() as hole:
        dropped = await diagnose(Place(f"127.0.0.1:{hole.port}"), patience_s=0.2)
    hanging = await diagnose(Place(address), patience_s=0.2)
    behind = await diagnose(
        Place("127.0.0.1:1"), {"HTTPS_PROXY": f"http://{address}"}, patience_s=0.2
    )
    over.set()
    server.close()

    assert first_failure(dropped) == ("connection", "no-answer", 6)
    assert first_failure(hanging) == ("tls", "tls-no-answer", 6)
    assert first_failure(behind) == ("connection", "proxy-no-answer", 6)


async def test_another_server_than_the_known_one(server: BackendServer) -> None:
    """An honest server that is not ours is a reason to stop, not to go on."""
    place = place_of(server)

    findings = await diagnose(Place(place.address, place.ca, "A" * 22), clock=server.clock)

    assert first_failure(findings) == ("server", "other-server", 1)


async def test_a_description_that_was_altered(server: BackendServer) -> None:
    """What is not signed by the server's own key is a reason to stop, whatever the rest says."""
    transport = server.transport()
    told = json.loads((await transport.get(INFO_PATH, timeout_s=30.0)).body)
    await transport.close()
    told["version"] = "9.9.9"
    ca = trustme.CA()
    altered = page("200 OK", json.dumps(told).encode())
    async with tls_server(ca.issue_cert("127.0.0.1"), altered) as port:
        findings = await diagnose(Place(f"127.0.0.1:{port}", authority_of(ca)))

    assert first_failure(findings) == ("server", "tampered", 1)


async def test_a_server_by_its_name(server: BackendServer) -> None:
    """The name is resolved and one of its addresses connected."""
    place = place_of(server)
    port = place.address.rpartition(":")[2]

    findings = await diagnose(Place(f"localhost:{port}", place.ca), clock=server.clock)

    assert findings["name"].figure.startswith("localhost is ")
    assert "127.0.0.1" in findings["connection"].figure


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://p:3128", ("p", 3128, "")),
        ("http://a:b%40c@p:1", ("p", 1, "YTpiQGM=")),
        ("http://[::1]:80/", ("::1", 80, "")),
    ],
)
def test_a_proxys_url_is_taken_apart(url: str, parts: tuple[str, int, str]) -> None:
    """The credential is decoded and becomes the header's form."""
    assert split_proxy(url) == parts


@pytest.mark.parametrize(
    ("head", "status"),
    [(b"HTTP/1.1 200 OK\r\n", 200), (b"HTTP/1.1 4070 X", 0), (b"SSH-2.0", 0), (b"", 0)],
)
def test_a_status_is_read_or_nothing(head: bytes, status: int) -> None:
    """Whatever answers, there is a number or 0."""
    assert read_status(head) == status
