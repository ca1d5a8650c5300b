"""What a modified client cannot do: server and gateway refuse it themselves, each with its code."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from commander.authority.refusals import Code
from commander.authority.statements import Access, Kind, Membership, Revoke, Right, Role
from commander.clock import SystemClock
from commander.crypto.kdf import sha256
from commander.ids import FolderUid, RecordUid, RoleUid, new_uid
from commander.vault.people import RoleChange
from commander.vault.session import Vault
from commander.vault.state import Place
from commander.wire import calls
from commander.wire.commands import TunnelParameters
from commander.wire.join import Join, write_join
from commander.wire.pam import ConfigurationSettings, PamSettings, ResourceSettings, TunnelSettings
from commander.wire.records import RecordData
from tests.attack.modified_client import ModifiedClient, modified_client
from tests.e2e.setting import invite
from tests.support.product import Product, User
from tests.support.tunnels import eventually
from tests.support.waiting import NeverHappened, until

pytestmark = pytest.mark.integration


@dataclass
class Site:
    """The running product and its people: Ann administers, Bob may use, Carol only sees."""

    product: Product
    ann: User
    bob: User
    carol: User


@dataclass
class Scene:
    """Their clients, and a target behind the gateway."""

    site: Site
    ann: ModifiedClient
    bob: ModifiedClient
    carol: ModifiedClient
    folder: FolderUid
    gateway: str
    configuration: RecordUid
    record: RecordUid
    launchers: RoleUid
    port: int

    async def configure(self, change: Callable[[PamSettings | None], PamSettings]) -> None:
        """Let Ann change the target's settings."""
        await self.ann.vault.change_settings(self.record, change)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Everything that is slow to start; each test makes folder, records and roles of its own."""
    directory = tmp_path_factory.mktemp("modified")
    directory.chmod(0o700)
    with Product(directory) as product:
        product.start_server()
        ann = product.set_up()
        product.start_gateway()
        bob = invite(product, ann, "bob@example.org")
        carol = invite(product, ann, "carol@example.org")
        yield Site(product, ann, bob, carol)


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """A target that sends back what it gets; its port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
async def scene(site: Site) -> AsyncIterator[Scene]:
    async with (
        modified_client(site.ann) as ann,
        modified_client(site.bob) as bob,
        modified_client(site.carol) as carol,
        echo_server() as port,
    ):
        gateway = next(iter(ann.vault.state.gateways.values()))
        folder = (await ann.vault.create_shared_folder("Shared")).uid
        await ann.vault.applications.share_folder(gateway.application, folder)
        for person in (bob, carol):
            await ann.vault.sharing.share_with_user(folder, person.vault.user, (Right.VIEW,))
        role = await ann.vault.people.create_role(
            f"Launchers {new_uid()}", {"ALLOW_LAUNCH_PAM_TUNNELS": True}
        )
        await ann.vault.people.change_role(role.role, RoleChange(add_users=(bob.vault.user,)))
        configuration = await ann.vault.create_record(
            RecordData.create("pamNetworkConfiguration", "Net"), folder,
            settings=ConfigurationSettings(gateway.gateway, tunneling="on"),
        )  # fmt: skip
        record = await ann.vault.create_record(
            target(port), folder, settings=resource(configuration.uid)
        )
        yield Scene(
            site, ann, bob, carol, folder, gateway.gateway, configuration.uid, record.uid,
            role.role, port,
        )  # fmt: skip
        # Any role that grants a policy grants it: the next test begins without this one.
        await ann.sync()
        await ann.vault.people.remove_role(role.role)


def target(port: int) -> RecordData:
    data = RecordData.create("pamMachine", "Target")
    data.set_first("pamHostname", {"hostName": "127.0.0.1", "port": str(port)})
    return data


def resource(configuration: str, *, enabled: bool = True, credential: str = "") -> ResourceSettings:
    return ResourceSettings(
        configuration=configuration,
        launch_credential=credential,
        tunnel=TunnelSettings(enabled=enabled),
    )


# --- tunnels -----------------------------------------------------------------------------------------


async def test_a_role_without_the_policy(scene: Scene) -> None:
    """Carol sees the record, and no role of hers lets her launch tunnels; Bob's does."""
    assert await scene.carol.refusal(scene.record) == Code.POLICY_MISSING
    assert await scene.bob.refusal(scene.record) == ""


async def test_a_configuration_with_tunneling_off(scene: Scene) -> None:
    """Off, refused; on again, opened."""
    off = ConfigurationSettings(scene.gateway, tunneling="off")
    on = ConfigurationSettings(scene.gateway, tunneling="on")

    await scene.ann.vault.change_settings(scene.configuration, lambda _: off)
    assert await scene.bob.refusal(scene.record) == Code.TUNNELING_OFF
    await scene.ann.vault.change_settings(scene.configuration, lambda _: on)
    assert await scene.bob.refusal(scene.record) == ""


async def test_a_tunnel_that_is_disabled(scene: Scene) -> None:
    """The record's own switch."""
    await scene.configure(lambda _: resource(scene.configuration, enabled=False))
    assert await scene.bob.refusal(scene.record) == Code.TUNNEL_DISABLED
    await scene.configure(lambda _: resource(scene.configuration))
    assert await scene.bob.refusal(scene.record) == ""


async def test_a_record_that_is_not_shared(scene: Scene) -> None:
    """The gateway may read it, Ann may use it, Bob knows its UID only."""
    own = (await scene.ann.vault.create_shared_folder("Ann's")).uid
    gateway = scene.ann.vault.state.gateways.get(scene.gateway)
    assert gateway is not None
    await scene.ann.vault.applications.share_folder(gateway.application, own)
    record = await scene.ann.vault.create_record(
        target(scene.port), own, settings=resource(scene.configuration)
    )

    assert await scene.bob.refusal(record.uid) == Code.ACCESS_MISSING
    assert await scene.ann.refusal(record.uid) == ""


async def test_a_link_to_a_credential_one_may_not_use(scene: Scene) -> None:
    """Bob may configure the record and links a credential of Ann's, which the server cannot see."""
    own = (await scene.ann.vault.create_shared_folder("Ann's")).uid
    gateway = scene.ann.vault.state.gateways.get(scene.gateway)
    assert gateway is not None
    await scene.ann.vault.applications.share_folder(gateway.application, own)
    login = (await scene.ann.vault.create_record(RecordData.create("pamUser", "Root"), own)).uid
    allowed = (
        await scene.ann.vault.create_record(RecordData.create("pamUser", "Ours"), scene.folder)
    ).uid
    change = RoleChange(enforcements={"ALLOW_CONFIGURE_PAM_TUNNELING_SETTINGS": True})
    await scene.ann.vault.people.change_role(scene.launchers, change)
    bob = scene.bob.vault.user
    await scene.ann.vault.sharing.share_with_user(scene.folder, bob, (Right.VIEW, Right.EDIT))

    for credential, code in ((login, Code.LINK_NOT_ALLOWED), (allowed, "")):
        settings = resource(scene.configuration, credential=credential)
        written = await scene.bob.write(
            lambda draft, s=settings: draft.put_settings(scene.record, scene.folder, s)  # type: ignore[misc]
        )
        assert written == ""
        # Ann's client does not take the bad settings, so it asks as of the revision before.
        assert await scene.bob.refusal(scene.record) == code


@pytest.mark.parametrize(("host", "port"), [("10.0.0.1", 0), ("", 22), ("localhost", 0)])
async def test_another_target_than_the_records(scene: Scene, host: str, port: int) -> None:
    """The command names a host or port that the record does not let it choose."""
    parameters = TunnelParameters(host, port, "", "")
    same = TunnelParameters("127.0.0.1", scene.port, "", "")

    assert await scene.bob.refusal(scene.record, parameters=parameters) == Code.TARGET_OVERRIDE
    assert await scene.bob.refusal(scene.record, parameters=same) == ""


async def test_another_gateway_than_the_configurations(scene: Scene) -> None:
    """The configuration names a gateway that is not the one asked."""
    other = ConfigurationSettings(new_uid(), tunneling="on")
    await scene.ann.vault.change_settings(scene.configuration, lambda _: other)

    assert await scene.bob.refusal(scene.record) == Code.CONFIGURATION_OTHER_GATEWAY


# --- writing -----------------------------------------------------------------------------------------


async def test_an_edit_with_the_right_to_view(scene: Scene) -> None:
    """Carol holds the key and signs a revision; the server takes it from an editor alone."""
    data, place = target(1), Place(scene.folder)
    written = await scene.carol.write(lambda draft: draft.put_record(scene.record, data, place))
    assert written == Code.RIGHT_MISSING

    editors = (Right.VIEW, Right.EDIT)
    await scene.ann.vault.sharing.share_with_user(scene.folder, scene.carol.vault.user, editors)
    assert await scene.carol.write(lambda d: d.put_record(scene.record, data, place)) == ""


async def test_settings_without_the_policy_to_configure(scene: Scene) -> None:
    """An editor of the record is no editor of where its tunnels lead."""
    editors = (Right.VIEW, Right.EDIT)
    await scene.ann.vault.sharing.share_with_user(scene.folder, scene.bob.vault.user, editors)
    settings = resource(scene.configuration)

    written = await scene.bob.write(
        lambda draft: draft.put_settings(scene.record, scene.folder, settings)
    )

    assert written == Code.POLICY_MISSING
    assert (
        await scene.ann.write(lambda d: d.put_settings(scene.record, scene.folder, settings)) == ""
    )


async def test_extending_ones_own_share(scene: Scene) -> None:
    """Whoever may share on, for an hour, cannot give themselves more, or longer."""
    bob, end = scene.bob.vault.user, int(SystemClock().now()) + 3600
    rights = (Right.VIEW, Right.SHARE)
    await scene.ann.vault.sharing.share_with_user(scene.folder, bob, rights, not_after=end)

    longer = Access(scene.folder, "user", bob, rights, 0, 0)
    more = Access(scene.folder, "user", bob, (*rights, Right.EDIT), 0, end)
    same = Access(scene.folder, "user", scene.carol.vault.user, rights, 0, end)
    assert await scene.bob.write(lambda draft: draft.state(longer)) == Code.RIGHT_MISSING
    assert await scene.bob.write(lambda draft: draft.state(more)) == Code.RIGHT_MISSING
    assert await scene.bob.write(lambda draft: draft.state(same)) == ""


async def test_a_share_by_one_who_may_only_view(scene: Scene) -> None:
    """Carol cannot let anybody in, nor herself out of her limits."""
    access = Access(scene.folder, "user", scene.carol.vault.user, (Right.VIEW, Right.EDIT), 0, 0)

    assert await scene.carol.write(lambda draft: draft.state(access)) == Code.RIGHT_MISSING


async def test_acts_of_an_administrator(scene: Scene) -> None:
    """Roles and memberships are signed by administrators."""
    role = Role(RoleUid(new_uid()), "Mine", {"ALLOW_LAUNCH_PAM_TUNNELS": True})
    member = Membership(scene.launchers, scene.carol.vault.user)
    gone = Revoke(Kind.USER, scene.ann.vault.user, "")

    for body in (role, member):
        assert await scene.carol.write(lambda d, b=body: d.state(b)) == Code.NOT_ADMINISTRATOR  # type: ignore[misc]
    assert await scene.carol.write(lambda d: d.state(gone)) == Code.STATEMENT_NOT_ENTITLED
    assert await scene.ann.write(lambda d: d.state(member)) == ""


# --- tokens and devices ------------------------------------------------------------------------------


async def test_a_second_use_of_a_token(scene: Scene) -> None:
    """The first gateway's join string enrols nobody else, and that gateway goes on."""
    with pytest.raises(NeverHappened, match="token-used"):
        await asyncio.to_thread(scene.site.product.start_gateway, f"thief-{new_uid()[:4]}")

    assert await scene.bob.refusal(scene.record) == ""


class SlowClock(SystemClock):
    """A clock that is almost a minute behind, as far as the server lets it be."""

    def now(self) -> float:
        """Seconds since 1970, of before."""
        return super().now() - 57


async def test_a_token_that_expired(scene: Scene) -> None:
    """A token of one minute, signed by a clock that is 57 s behind: dead three seconds later."""
    site = scene.site
    device = scene.ann.vault.login.device
    vault = await Vault.open(scene.ann.vault.login, scene.ann.api, clock=SlowClock())
    application = (await vault.applications.create(f"App {new_uid()}")).uid
    expiring = await vault.applications.add_gateway(application, "Late", minutes=1)
    lasting = await vault.applications.add_gateway(application, "In time", minutes=60)
    ca = sha256(ssl.PEM_cert_to_DER_cert(device.server.ca))

    def join_file(name: str, token: bytes) -> Path:
        text = write_join(Join("gateway", device.server.address, token, device.root, ca))
        return site.ann.secret_file(f"{name}-{new_uid()}.txt", text)

    late = join_file("late", expiring.token.raw())
    in_time = join_file("in-time", lasting.token.raw())
    await asyncio.to_thread(
        until, lambda: SystemClock().now() > expiring.expires, "the token is too old"
    )

    with pytest.raises(NeverHappened, match="token-expired"):
        await asyncio.to_thread(site.product.start_gateway, "late", join=late)
    control = await asyncio.to_thread(site.product.start_gateway, "in-time", join=in_time)
    assert await asyncio.to_thread(control.stop) == 0


async def test_a_device_that_was_revoked(scene: Scene) -> None:
    """Its signature counts for nothing any more, neither at the server nor for a tunnel."""
    dave = await asyncio.to_thread(invite, scene.site.product, scene.site.ann, "dave@example.org")
    async with modified_client(dave) as client:
        assert await client.call(calls.SYNC, calls.SyncRequest(0)) == ""

        await scene.ann.sync()
        await scene.ann.vault.people.remove_device(client.vault.device)

        assert await client.call(calls.SYNC, calls.SyncRequest(0)) == Code.DEVICE_REVOKED


# --- a right that ends while it is used --------------------------------------------------------------


async def unshare(scene: Scene) -> None:
    await scene.ann.vault.sharing.unshare(scene.folder, scene.bob.vault.user)


async def take_role(scene: Scene) -> None:
    change = RoleChange(remove_users=(scene.bob.vault.user,))
    await scene.ann.vault.people.change_role(scene.launchers, change)


async def change_role(scene: Scene) -> None:
    change = RoleChange(enforcements={"ALLOW_LAUNCH_PAM_TUNNELS": False})
    await scene.ann.vault.people.change_role(scene.launchers, change)


async def unshare_from_gateway(scene: Scene) -> None:
    gateway = scene.ann.vault.state.gateways.get(scene.gateway)
    assert gateway is not None
    await scene.ann.vault.applications.unshare_folder(gateway.application, scene.folder)


@pytest.mark.parametrize("end", [unshare, take_role, change_role, unshare_from_gateway])
async def test_a_tunnel_ends_with_the_right_it_rests_on(
    scene: Scene, end: Callable[[Scene], object]
) -> None:
    """In the middle of traffic: the connection is reset, the local port closed, the reason told."""
    tunnel = await scene.bob.start(scene.record)
    port = tunnel.info().local_port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"before")
    assert await asyncio.wait_for(reader.readexactly(6), 30) == b"before"

    await end(scene)  # type: ignore[misc]  # each is a coroutine function

    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 30)
    writer.close()
    await eventually(lambda: scene.bob.notices, "the user told")
    assert "revoked-meanwhile" in scene.bob.notices[0]
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    assert await scene.bob.refusal(scene.record) != ""


def test_a_gateway_that_was_removed_ends_its_tunnels(private_path: Path) -> None:
    """Its program ends by itself, says why, and nothing goes through it any more."""
    with Product(private_path) as product:
        product.start_server()
        ann = product.set_up()
        gateway = product.start_gateway()
        asyncio.run(_use_until_removed(ann))

        assert gateway.wait() != 0
        assert "was removed" in gateway.output


async def _use_until_removed(user: User) -> None:
    async with modified_client(user) as ann, echo_server() as port:
        gateway = next(iter(ann.vault.state.gateways.values()))
        folder = (await ann.vault.create_shared_folder("Shared")).uid
        await ann.vault.applications.share_folder(gateway.application, folder)
        configuration = await ann.vault.create_record(
            RecordData.create("pamNetworkConfiguration", "Net"), folder,
            settings=ConfigurationSettings(gateway.gateway, tunneling="on"),
        )  # fmt: skip
        record = await ann.vault.create_record(
            target(port), folder, settings=resource(configuration.uid)
        )
        tunnel = await ann.start(record.uid)
        reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.info().local_port)
        writer.write(b"before")
        assert await asyncio.wait_for(reader.readexactly(6), 30) == b"before"

        removed = Revoke(Kind.GATEWAY, gateway.gateway, "")
        assert await ann.write(lambda draft: draft.state(removed)) == ""

        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        writer.close()
