from __future__ import annotations

from pathlib import Path

import pytest

from commander.authority.log import apply, replay
from commander.authority.refusals import Code
from commander.authority.statements import Voucher, root_fingerprint
from commander.crypto.aead import new_key
from commander.crypto.box import BoxPrivateKey
from commander.errors import CommanderError, Conflict, InvalidInput, Refused, Tampered
from commander.gateway.enrolment import (
    NewKeys,
    find_voucher,
    gateway_statement,
    load_config,
    make_config,
    prepare_config,
    save_config,
)
from commander.ids import VoucherUid, new_uid
from commander.ksm.config import GatewayConfig
from commander.ksm.keys import P256PrivateKey
from commander.ksm.token import OneTimeToken
from commander.wire.calls import EnrolAnswer, ServerInfo
from commander.wire.join import Join
from commander.wire.known_server import KnownServer
from tests.support.enterprise import Enterprise


class Enrolling:
    """An enterprise that made a token."""

    def __init__(self, *, lasts: int = 3600) -> None:
        self.enterprise = Enterprise()
        self.token = OneTimeToken.generate()
        self.application = self.enterprise.add_application(self.enterprise.admin)
        voucher = Voucher(
            VoucherUid(new_uid()), "gateway", "", self.application,
            self.token.voucher_key.public.raw, self.enterprise.time + lasts, False,
        )  # fmt: skip
        self.enterprise.by_admin(voucher)
        self.keys = NewKeys.generate()

    def config(self, answer: EnrolAnswer) -> GatewayConfig:
        """What is made of an answer."""
        ksm, box = P256PrivateKey.generate(), BoxPrivateKey.generate()
        info = ServerInfo(new_uid(), "1", "", b"", box.public.raw, 21, ksm.public.raw, True, 0, b"")
        fingerprint = root_fingerprint(self.enterprise.root.public.raw)
        join = Join("gateway", "server:8443", self.token.raw(), fingerprint, b"")
        server = KnownServer("server:8443", new_uid(), b"", box.public.raw, "CA")
        voucher = find_voucher(self.enterprise.state, self.token)
        return make_config(server, info, join, self.keys, voucher, self.token, answer)


@pytest.fixture
def enrolling() -> Enrolling:
    """A fresh token."""
    return Enrolling()


def test_the_statement_is_taken_by_everyone(enrolling: Enrolling) -> None:
    """Server and clients evaluate the gateway's own statement to a certified gateway."""
    state = replay(enrolling.enterprise.statements)
    statement, voucher = gateway_statement(
        state, enrolling.token, enrolling.keys, now=enrolling.enterprise.time
    )

    apply(enrolling.enterprise.state, statement)

    gateway = enrolling.enterprise.state.gateways.get(enrolling.keys.gateway)
    assert gateway is not None
    assert gateway.application == enrolling.application == voucher.application
    assert gateway.sign_key == enrolling.keys.signing.public.raw


def test_a_token_without_voucher_is_unknown(enrolling: Enrolling) -> None:
    """A token that the log does not know can't be used, whatever the server says."""
    with pytest.raises(Refused) as caught:
        gateway_statement(
            enrolling.enterprise.state, OneTimeToken.generate(), enrolling.keys, now=1
        )

    assert caught.value.code == Code.TOKEN_UNKNOWN


def test_a_token_counts_once(enrolling: Enrolling) -> None:
    """After the first gateway the log refuses a second one."""
    now = enrolling.enterprise.time
    gateway_statement(enrolling.enterprise.state, enrolling.token, enrolling.keys, now=now)

    with pytest.raises(Refused) as caught:
        gateway_statement(enrolling.enterprise.state, enrolling.token, NewKeys.generate(), now=now)

    assert caught.value.code == Code.TOKEN_USED


def test_an_old_token_is_refused(enrolling: Enrolling) -> None:
    """The voucher's end holds also against a server that forgets it."""
    with pytest.raises(Refused) as caught:
        gateway_statement(
            enrolling.enterprise.state,
            enrolling.token,
            enrolling.keys,
            now=enrolling.enterprise.time + 3600,
        )

    assert caught.value.code == Code.VOUCHER_EXPIRED


def test_the_configuration_survives_its_file(enrolling: Enrolling, tmp_path: Path) -> None:
    """What is saved is loaded, 0600, and never replaced."""
    app_key = new_key()
    config = enrolling.config(EnrolAnswer(enrolling.token.seal_app_key(app_key), b"", 9))
    path = tmp_path / "home" / "gateway-config.json"

    save_config(path, config)

    loaded = load_config(path)
    assert loaded.device.app_key == app_key
    assert loaded.identity.gateway == enrolling.keys.gateway
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict):
        save_config(path, config)
    path.chmod(0o640)
    with pytest.raises(InvalidInput) as caught:
        load_config(path)
    assert caught.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize("mode", [0o755, 0o700, 0o1777])
def test_a_directory_that_others_only_read_takes_a_configuration(
    enrolling: Enrolling, tmp_path: Path, mode: int
) -> None:
    """The file itself is private; who may list its directory, or add to a sticky one, can't swap it."""
    config = enrolling.config(EnrolAnswer(enrolling.token.seal_app_key(new_key()), b"", 9))
    directory = tmp_path / "etc"
    directory.mkdir()
    directory.chmod(mode)
    path = directory / "gw.json"

    prepare_config(path)
    assert [*directory.iterdir()] == []
    save_config(path, config)

    assert load_config(path).identity.gateway == enrolling.keys.gateway
    assert [*directory.iterdir()] == [path]


@pytest.mark.parametrize(("mode", "hint"), [(0o775, "chmod go-w"), (0o757, "chmod go-w")])
def test_what_cannot_take_a_configuration_is_found_before_enrolling(
    tmp_path: Path, mode: int, hint: str
) -> None:
    """A directory that others may write, a file as directory, and what is there already are refused."""
    directory = tmp_path / "etc"
    directory.mkdir()
    directory.chmod(mode)
    plain, link = tmp_path / "plain", tmp_path / "link"
    plain.touch()
    link.symlink_to(tmp_path / "nowhere")

    with pytest.raises(InvalidInput) as shared:
        prepare_config(directory / "gw.json")
    with pytest.raises(InvalidInput):
        prepare_config(plain / "gw.json")
    with pytest.raises(Conflict):
        prepare_config(plain)
    with pytest.raises(Conflict):
        prepare_config(link)
    with pytest.raises(CommanderError):
        prepare_config(Path("/proc/gw.json"))

    assert shared.value.hint == f"{hint} {directory}"


def test_a_false_application_key_is_tampering(enrolling: Enrolling) -> None:
    """The server can't slip in an application key of its own."""
    answer = EnrolAnswer(OneTimeToken.generate().seal_app_key(new_key()), b"", 9)

    with pytest.raises(Tampered):
        enrolling.config(answer)
