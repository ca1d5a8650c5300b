"""Accounts from join string to logout, against the real backend over TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from commander.authority.refusals import Code
from commander.backend import identity
from commander.config.options import Options
from commander.config.options_file import parse_options
from commander.config.paths import Paths
from commander.crypto.kdf import sha256
from commander.errors import (
    Conflict,
    InvalidInput,
    NotLoggedIn,
    Refused,
    Tampered,
    Unreachable,
    UsageError,
)
from commander.launch.kept_login import resume_session
from commander.plugin.results import Document, Done, Result, Unchanged
from commander.plugin.testing import FakeConsole, FakeContext, check_plugin, run_command
from commander.vault.accounts import AccountSecret
from commander.vault.device import read_device
from commander.wire.join import Join, write_join
from commander.wire.known_server import KnownServer
from plugins.account import plugin
from plugins.account.joining import ca_fingerprint
from tests.support.backend_server import BackendServer, running

pytestmark = pytest.mark.integration

PASSWORD = "correct horse battery"
EMAIL = "ann@example.org"


class ClosingContext(FakeContext):
    """Closes the client with the session, as the shell does."""

    async def end_session(self) -> None:
        api = self.open_api
        await super().end_session()
        if api is not None:
            await api.close()


@dataclass
class Machine:
    """A user's machine: a home directory and one context after another in it."""

    server: BackendServer
    directory: Path
    context: FakeContext

    def file(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    async def run(self, line: str, *answers: str, stdin: bytes = b"") -> Result | None:
        self.context.console = FakeConsole(*answers, stdin=stdin)
        return await run_command(plugin, line, self.context)

    @property
    def notices(self) -> str:
        return "\n".join(self.context.console.notices)


class World:
    """One server and its machines."""

    def __init__(self, server: BackendServer, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.machines: list[Machine] = []

    def machine(self, name: str) -> Machine:
        directory = self.directory / name
        directory.mkdir(mode=0o700)
        paths = Paths(directory / "home", directory / "run")
        machine = Machine(
            self.server, directory, ClosingContext(paths=paths, clock=self.server.clock)
        )
        self.machines.append(machine)
        return machine

    async def setup_join(self, *, ca: bytes | None = None) -> str:
        secret = await identity.new_setup_secret(self.server.core.database)
        known = self.server.known
        fingerprint = ca_fingerprint(known) if ca is None else ca
        return write_join(Join("setup", known.address, secret, b"", fingerprint))

    async def close(self) -> None:
        for machine in self.machines:
            await machine.context.end_session()
            await machine.context.exit_stack.aclose()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    data = tmp_path / "server"
    data.mkdir(mode=0o700)
    async with running(data) as server:
        found = World(server, tmp_path)
        yield found
        await found.close()


async def set_up(world: World) -> Machine:
    """Ann's first machine, set up with files for everything."""
    ann = world.machine("ann")
    join = ann.file("join", await world.setup_join())
    password = ann.file("password", PASSWORD + "\n")
    line = (
        f"setup {EMAIL} --join-file {join} --password-file {password} "
        f"--kit-file {ann.directory}/kit --gateway-join-file {ann.directory}/gateway"
    )
    assert isinstance(await ann.run(line), Document)
    return ann


def test_declarations_are_sound() -> None:
    """Every handler imports and every example parses as its own command."""
    assert len(check_plugin(plugin)) == 12


async def test_setup_makes_account_vault_and_gateway_token(world: World) -> None:
    """Folder, application, share, token; files are private; the options name server and user."""
    ann = await set_up(world)

    vault = ann.context.vault
    folder = vault.find_folder("Infrastructure")
    application = vault.applications.find("Infrastructure")
    assert vault.applications.folders_of(application.uid) == [folder.uid]
    assert [c.name for c in await vault.applications.clients(application.uid)] == ["Gateway"]
    assert [r.name for r in vault.state.roles_of(vault.user)] == ["Administrators"]
    for name in ("kit", "gateway", "home/device.json", "home/session.bin", "run/unlock.json"):
        assert (ann.directory / name).stat().st_mode & 0o777 == 0o600
    options = parse_options(ann.context.paths.options_file.read_bytes())
    assert (options.server, options.user) == (world.server.known.address, EMAIL)


async def test_setup_shows_kit_and_gateway_line_without_files(world: World) -> None:
    """On a terminal everything is asked for, and shown once."""
    ann = world.machine("ann")
    join = await world.setup_join()

    shown = await ann.run("setup", join, EMAIL, PASSWORD, PASSWORD)

    assert isinstance(shown, Document)
    assert "EMERGENCY KIT" in shown.text
    assert "gateway start --join join1." in shown.text
    assert PASSWORD not in shown.text


async def test_second_setup_is_refused_and_leaves_no_kit(world: World) -> None:
    """The join string works once; a kit of an account that was not made is removed."""
    join = await world.setup_join()
    ann = world.machine("ann")
    line = f"setup - {EMAIL} --no-gateway --password-file {ann.file('pw', PASSWORD)}"
    await ann.run(line, stdin=join.encode())
    eve = world.machine("eve")
    password = eve.file("pw", PASSWORD)

    with pytest.raises(Refused) as caught:
        await eve.run(
            f"setup {join} eve@example.org --password-file {password} "
            f"--kit-file {eve.directory}/kit"
        )

    assert caught.value.code == Code.SETUP_USED
    assert not (eve.directory / "kit").exists()
    assert not eve.context.paths.device_file.exists()
    assert "other users" in eve.notices


async def test_machine_with_an_account_is_not_set_up_again(world: World) -> None:
    """Code 7, or unchanged with --if-missing."""
    ann = await set_up(world)

    with pytest.raises(Conflict):
        await ann.run("setup")
    assert isinstance(await ann.run("setup --if-missing"), Unchanged)
    with pytest.raises(Conflict):
        await ann.run("account accept")


async def test_join_string_of_another_ca_is_named(world: World) -> None:
    """Nothing of the account reaches a server that is not the one in the join string."""
    ann = world.machine("ann")
    join = ann.file("join", await world.setup_join(ca=bytes(32)))
    password = ann.file("pw", PASSWORD)

    with pytest.raises(Tampered):
        await ann.run(f"setup {EMAIL} --join-file {join} --password-file {password}")

    assert world.server.core.state.genesis is None


@pytest.mark.parametrize("password", ["short", "x" * 2000])
async def test_bad_new_password_is_refused_before_anything_is_made(
    world: World, password: str
) -> None:
    """The set-up join string still works after it."""
    ann = world.machine("ann")
    join = ann.file("join", await world.setup_join())

    with pytest.raises(InvalidInput):
        await ann.run(
            f"setup {EMAIL} --join-file {join} --password-file {ann.file('pw', password)}"
        )

    assert world.server.core.state.genesis is None


async def test_typed_passwords_must_agree(world: World) -> None:
    """Two different ones are an error."""
    ann = world.machine("ann")
    join = ann.file("join", await world.setup_join())

    with pytest.raises(InvalidInput, match="differ"):
        await ann.run(f"setup {EMAIL} --join-file {join}", PASSWORD, PASSWORD + "x")


async def test_existing_kit_file_is_not_overwritten(world: World) -> None:
    """Found out before the account is made."""
    ann = world.machine("ann")
    kit = ann.file("kit", "precious")

    with pytest.raises(Conflict):
        await ann.run(f"setup {EMAIL} --kit-file {kit}")

    assert kit.read_text() == "precious"


async def test_login_unlocks_and_logout_locks(world: World) -> None:
    """One-shot commands go on with the kept login until logout, which the server hears of."""
    ann = await set_up(world)
    session = await resume_session(ann.context)
    await session.api.close()
    assert isinstance(await ann.run("logout"), Done)
    with pytest.raises(NotLoggedIn):
        await resume_session(ann.context)
    with pytest.raises(NotLoggedIn):
        await ann.run("login-status")

    await ann.run(f"login --password-file {ann.directory}/password")

    status = await ann.run("login-status")
    assert isinstance(status, Document)
    assert status.values["account"] == EMAIL
    assert isinstance(await ann.run("logout"), Done)
    assert isinstance(await ann.run("logout"), Unchanged)


async def test_session_ended_on_the_server_asks_for_a_login(world: World) -> None:
    """A kept login whose session is gone says so with code 5."""
    ann = await set_up(world)
    await ann.run(f"login --password-file {ann.directory}/password")
    world.server.clock.advance(24 * 3600)

    with pytest.raises(NotLoggedIn):
        await resume_session(ann.context)


async def test_wrong_password_is_refused(world: World) -> None:
    """With the server's code, and the way out."""
    ann = await set_up(world)

    with pytest.raises(Refused) as caught:
        await ann.run("login", "not the password")

    assert caught.value.code == Code.LOGIN_FAILED


async def test_new_machine_logs_in_with_the_kit(world: World) -> None:
    """The kit alone names server and root; the new device is certified and sees the vault."""
    ann = await set_up(world)
    laptop = world.machine("laptop")
    kit = laptop.file("kit", (ann.directory / "kit").read_text())
    password = laptop.file("pw", PASSWORD)

    await laptop.run(
        f"login {EMAIL} --account-secret-file {kit} --password-file {password} --device-name laptop"
    )

    vault = laptop.context.vault
    assert vault.find_folder("Infrastructure").name == "Infrastructure"
    device = vault.state.devices.get(vault.device)
    assert device is not None
    assert device.name == "laptop"
    assert "trusted from now on" not in laptop.notices
    assert isinstance(await laptop.run("this-device register"), Unchanged)


async def test_new_machine_without_login_string_says_what_it_trusts(
    world: World, tmp_path: Path
) -> None:
    """With --server and --ca-file the enterprise root is taken at first sight, aloud."""
    ann = await set_up(world)
    laptop = world.machine("laptop")
    ca = laptop.file("ca.pem", world.server.known.ca)
    secret = read_device(ann.context.paths.device_file).account_secret
    await laptop.run(
        f"login {EMAIL} --server {world.server.known.address} --ca-file {ca}",
        AccountSecret(secret).text,
        PASSWORD,
    )

    assert "trusted from now on" in laptop.notices
    assert read_device(laptop.context.paths.device_file).root == ann.context.vault.login.device.root


async def test_login_string_of_another_enterprise_is_named(world: World) -> None:
    """A root that is not the pinned one stops the login, and no device file is left."""
    ann = await set_up(world)
    laptop = world.machine("laptop")
    known = world.server.known
    wrong = write_join(Join("login", known.address, b"", sha256(b"x"), ca_fingerprint(known)))
    kit = laptop.file("kit", (ann.directory / "kit").read_text().replace("join1.", "was."))

    with pytest.raises(Tampered) as caught:
        await laptop.run(
            f"login {EMAIL} --login-string {wrong} --account-secret-file {kit} "
            f"--password-file {laptop.file('pw', PASSWORD)}"
        )

    assert caught.value.code == Code.LOG_FORKED
    assert not laptop.context.paths.device_file.exists()


async def test_new_machine_needs_to_know_a_server(world: World) -> None:
    """Without kit and --server: a usage error; another account or server: code 7."""
    nobody = world.machine("nobody")
    with pytest.raises(UsageError):
        await nobody.run(f"login {EMAIL}")

    ann = await set_up(world)
    with pytest.raises(Conflict):
        await ann.run("login bob@example.org")
    with pytest.raises(Conflict):
        await ann.run(f"login {EMAIL} --server other.example:1")


async def test_server_that_is_away_is_unreachable(world: World) -> None:
    """Code 6, with the address and what to check."""
    nobody = world.machine("nobody")
    kit = nobody.file("kit", write_join(Join("login", "127.0.0.1:1", b"", bytes(32), bytes(32))))

    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        await nobody.run(f"login {EMAIL} --account-secret-file {kit}")


async def test_invited_person_joins(world: World) -> None:
    """The invitation is used once, by the e-mail it is for; the new vault is empty."""
    ann = await set_up(world)
    path = ann.directory / "invitation"
    shown = await ann.run(
        f"account invite Bob@Example.org --join-file {path} --role Administrators"
    )
    assert isinstance(shown, Document)
    assert 'enterprise-role "Administrators" -au bob@example.org' in shown.text
    bob = world.machine("bob")
    password = bob.file("pw", PASSWORD)

    await bob.run(f"account accept --join-file {path} --password-file {password}")

    whoami = await bob.run("whoami")
    assert isinstance(whoami, Document)
    assert (whoami.values["account"], whoami.values["administrator"]) == ("bob@example.org", False)
    assert not bob.context.vault.view.records
    eve = world.machine("eve")
    with pytest.raises(Refused) as caught:
        await eve.run(f"account accept --join-file {path}", PASSWORD, PASSWORD)
    assert caught.value.code == Code.VOUCHER_USED
    with pytest.raises(Conflict):
        await ann.run("account invite bob@example.org")


async def test_join_string_of_another_kind_is_told_so(world: World) -> None:
    """A gateway's or a damaged string, without quoting it."""
    ann = await set_up(world)
    bob = world.machine("bob")

    with pytest.raises(InvalidInput, match="'gateway'"):
        await bob.run(f"account accept --join-file {ann.directory}/gateway")
    damaged = bob.file("join", (ann.directory / "gateway").read_text()[:-9])
    with pytest.raises(InvalidInput, match="damaged"):
        await bob.run(f"account accept --join-file {damaged}")


async def test_this_device_is_shown_renamed_and_timed(world: World) -> None:
    """Without its keys; a time out of range is an error."""
    ann = await set_up(world)

    await ann.run('this-device rename "work laptop"')
    await ann.run("this-device timeout 15m")

    shown = await ann.run("this-device")
    assert isinstance(shown, Document)
    assert (shown.values["name"], shown.values["locks_after"]) == ("work laptop", 900)
    with pytest.raises(InvalidInput):
        await ann.run("this-device timeout 5s")
    with pytest.raises(InvalidInput):
        await ann.run("this-device rename ''")


async def test_sync_down_says_what_is_there(world: World) -> None:
    """Also when everything is fetched again; a problem is loud and has its code."""
    ann = await set_up(world)

    done = await ann.run("sync-down")
    again = await ann.run("sync-down --force")

    assert isinstance(done, Done)
    assert isinstance(again, Done)
    assert done.data == again.data == {"records": 0, "shared_folders": 1, "log_position": 10}


async def test_server_named_in_the_options_is_used(world: World) -> None:
    """`--server` of the program and config.yaml lead a new machine there."""
    await set_up(world)
    laptop = world.machine("laptop")
    laptop.context.server = world.server.known.address
    laptop.context.config = Options(user=EMAIL)

    with pytest.raises(Unreachable, match="certificate"):
        await laptop.run("login")


def test_ca_of_a_public_server_has_no_fingerprint() -> None:
    """Servers with a publicly trusted certificate, or a bundle, are not pinned by one."""
    known = KnownServer("a:1", "s", b"", b"", "")
    assert ca_fingerprint(known) == b""
