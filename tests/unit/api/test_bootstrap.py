from __future__ import annotations

import ssl
from dataclasses import dataclass, field

import msgspec
import pytest
import trustme

from commander.api.bootstrap import connector, learn_server
from commander.api.tls import verified_context
from commander.api.transport import HttpAnswer
from commander.crypto.box import BoxPrivateKey
from commander.crypto.kdf import sha256
from commander.crypto.signing import SigningKey
from commander.errors import CommanderError, InvalidInput, Tampered, Unreachable
from commander.ids import new_uid
from commander.wire.calls import ServerInfo
from commander.wire.proofs import sign_server_info

ADDRESS = "vault.example:8443"
KEY = SigningKey(bytes(32))
BOX = BoxPrivateKey.generate()
CA = trustme.CA().cert_pem.bytes().decode()
OTHER_CA = trustme.CA().cert_pem.bytes().decode()


def fingerprint(ca: str) -> bytes:
    return sha256(ssl.PEM_cert_to_DER_cert(ca))


def server_info(ca: str = CA, **changes: object) -> ServerInfo:
    info = ServerInfo(new_uid(), "0.1", ca, KEY.public.raw, BOX.public.raw, 7, b"", False, 1, b"")
    info = msgspec.structs.replace(info, **changes)
    return msgspec.structs.replace(info, signature=sign_server_info(KEY, info))


@dataclass
class FakeNetwork:
    """A network whose unverified and verified connections may lead to different servers."""

    unverified: HttpAnswer
    verified: HttpAnswer
    modes: list[ssl.VerifyMode] = field(default_factory=list)
    open: int = 0

    def connect(self, address: str, context: ssl.SSLContext) -> FakeConnection:
        self.modes.append(context.verify_mode)
        self.open += 1
        is_verified = context.verify_mode is ssl.CERT_REQUIRED
        return FakeConnection(self, self.verified if is_verified else self.unverified)


@dataclass
class FakeConnection:
    """Fits `Transport`."""

    network: FakeNetwork
    answer: HttpAnswer

    async def get(self, path: str, *, timeout_s: float) -> HttpAnswer:
        return self.answer

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> HttpAnswer:
        raise AssertionError("nothing is posted before the server is known")

    async def close(self) -> None:
        self.network.open -= 1


def page(info: ServerInfo) -> HttpAnswer:
    return HttpAnswer(200, msgspec.json.encode(info))


async def test_join_string_leads_to_a_pinned_server() -> None:
    """Unverified first, then verified; everything pinned is of the verified answer."""
    info = server_info()
    network = FakeNetwork(page(info), page(info))

    known, found = await learn_server(ADDRESS, network.connect, fingerprint=fingerprint(CA))

    assert (known.server, known.sign_key, known.box_key) == (
        info.server, info.sign_key, info.box_key,
    )  # fmt: skip
    assert known.ca == CA
    assert found == info
    assert network.modes == [ssl.CERT_NONE, ssl.CERT_REQUIRED]
    assert network.open == 0


async def test_without_a_fingerprint_nothing_is_unverified() -> None:
    """A CA file (or the machine's authorities) vouches from the first byte on."""
    network = FakeNetwork(page(server_info(OTHER_CA)), page(server_info()))

    known, _ = await learn_server(ADDRESS, network.connect, ca=CA)

    assert known.ca == CA
    assert network.modes == [ssl.CERT_REQUIRED]


async def test_another_ca_than_the_pinned_one_is_named() -> None:
    """Somebody between shows a CA of theirs: nothing is sent over a connection to them."""
    network = FakeNetwork(page(server_info(OTHER_CA)), page(server_info(OTHER_CA)))

    with pytest.raises(Tampered):
        await learn_server(ADDRESS, network.connect, fingerprint=fingerprint(CA))

    assert network.modes == [ssl.CERT_NONE]
    assert network.open == 0


async def test_description_signed_by_another_key_is_named() -> None:
    """Keys and signature must belong together."""
    forged = msgspec.structs.replace(server_info(), sign_key=SigningKey.generate().public.raw)
    network = FakeNetwork(page(forged), page(forged))

    with pytest.raises(Tampered):
        await learn_server(ADDRESS, network.connect, fingerprint=fingerprint(CA))


@pytest.mark.parametrize(
    "changes", [{"time": -1}, {"server": "x"}, {"box_key": b"short"}, {"sign_key": b"short"}]
)
async def test_odd_descriptions_are_named(changes: dict[str, object]) -> None:
    """Whatever a server says of itself, only errors of ours come out."""
    bad = msgspec.structs.replace(server_info(), **changes)
    network = FakeNetwork(page(bad), page(bad))

    with pytest.raises(Tampered):
        await learn_server(ADDRESS, network.connect, ca=CA)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (HttpAnswer(200, b"<html>hello</html>"), InvalidInput),
        (HttpAnswer(200, b"{" * 100_000), InvalidInput),
        (HttpAnswer(200, b""), InvalidInput),
        (HttpAnswer(404, b"not found"), Unreachable),
    ],
)
async def test_what_is_no_commander_server_is_told_so(
    answer: HttpAnswer, error: type[CommanderError]
) -> None:
    """A web server, a proxy's page, nothing."""
    with pytest.raises(error):
        await learn_server(ADDRESS, FakeNetwork(answer, answer).connect, ca=CA)


async def test_second_certificate_beside_the_pinned_one_is_named() -> None:
    """The pinned CA with one of the attacker's behind it: no verified connection is tried."""
    both = FakeNetwork(page(server_info(CA + OTHER_CA)), page(server_info(CA + OTHER_CA)))

    with pytest.raises(Tampered):
        await learn_server(ADDRESS, both.connect, fingerprint=fingerprint(CA))

    assert both.modes == [ssl.CERT_NONE]


async def test_connector_honours_the_proxy() -> None:
    """A bad proxy address is an error before anything is connected."""
    with pytest.raises(InvalidInput):
        connector({"HTTPS_PROXY": "socks5://x"})(ADDRESS, verified_context(CA))
