from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from commander.authority.statements import Kind
from commander.errors import (
    Conflict,
    Interrupted,
    InvalidInput,
    NotFound,
    Refused,
    UsageError,
)
from commander.ksm.config import GatewayConfig
from commander.ksm.token import OneTimeToken
from commander.plugin.results import Document, Done, Table, Unchanged
from commander.plugin.testing import check_plugin
from commander.vault.applications import text_client_id
from commander.vault.people import RoleChange
from commander.wire.calls import GatewayRow
from commander.wire.join import read_join
from commander.wire.pam import ConfigurationSettings
from commander.wire.records import RecordData
from plugins.pam.gateway import plugin
from plugins.pam.gateway.known import gateway_candidates
from tests.support.command_world import World
from tests.support.vaults import SERVER

NEW = "pam gateway new -n Berlin -a Infra"


@pytest.fixture
async def infra(world: World) -> World:
    """A world with an application Infra."""
    await world.vault.applications.create("Infra")
    return world


async def certified(world: World, name: str = "Berlin", application: str = "Infra") -> str:
    """A gateway that has its certificate; returns its UID."""
    made = await world.json(plugin, f"pam gateway new -n {name} -a {application} -c b64")
    return str(made["gateway_uid"])


async def listed(world: World, words: str = "") -> Any:
    return await world.json(plugin, f"pam gateway list {words}")


def test_all_declarations_hold() -> None:
    """Every handler exists and every example parses."""
    assert len(check_plugin(plugin)) == 5


async def test_a_join_string_is_printed_once(infra: World) -> None:
    """It pins the server and the root, and its token is the one the server waits for."""
    made = await infra.json(plugin, NEW)

    join = read_join(made["join"], "gateway")
    device = infra.vault.login.device
    assert (join.server, join.root) == (SERVER.address, device.root)
    (stored,) = infra.server.stored.clients.values()
    assert text_client_id(OneTimeToken(join.secret)) == stored.client_id
    assert made["gateway_command"] == f"gateway start --join {made['join']}"
    assert made["expires"] == "2027-01-15T09:00:00Z"
    (row,) = await listed(infra)
    assert (row["gateway_name"], row["status"], row["gateway_uid"]) == ("Berlin", "pending", "")


async def test_the_join_string_may_go_to_a_file(infra: World, tmp_path: Path) -> None:
    """Then it is not printed; the file is private, and one that exists stops it before anything is made."""
    path = tmp_path / "join.txt"
    made = await infra.run(plugin, f"{NEW} --join-file {path}")

    assert isinstance(made, Document)
    assert made.values["gateway_command"] == f"gateway start --join-file {path}"
    read_join(path.read_text(), "gateway")
    assert path.read_text().strip() not in made.text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(Conflict):
        await infra.run(plugin, f"pam gateway new -n Paris -a Infra --join-file {path}")
    assert len(infra.server.stored.clients) == 1


async def test_a_join_file_of_before_does_not_stop_if_missing(infra: World, tmp_path: Path) -> None:
    """A batch that is run again names the same file, which is there since the first time."""
    line = f"{NEW} --join-file {tmp_path / 'join.txt'} --if-missing"
    await infra.run(plugin, line)
    before = (tmp_path / "join.txt").read_text()

    assert isinstance(await infra.run(plugin, line), Unchanged)

    assert (tmp_path / "join.txt").read_text() == before
    assert len(infra.server.stored.clients) == 1


async def test_if_missing_mints_no_second_token(infra: World) -> None:
    """While the join string waits, and once the gateway is there."""
    await infra.run(plugin, NEW)

    for _ in range(2):
        again = await infra.run(plugin, f"{NEW} --if-missing")
        assert isinstance(again, Unchanged)
        assert again.data["gateway_status"] == "pending"
        assert "join" not in again.data
    with pytest.raises(Conflict):
        await infra.run(plugin, NEW)
    assert len(infra.server.stored.clients) == 1


async def test_if_missing_knows_a_certified_gateway(infra: World) -> None:
    """The same name with another application is a conflict that names both."""
    uid = await certified(infra)
    await infra.vault.applications.create("Other")

    again = await infra.json(plugin, f"{NEW} --if-missing")
    assert (again["status"], again["gateway_uid"]) == ("unchanged", uid)
    with pytest.raises(Conflict, match="'Infra', not 'Other'"):
        await infra.run(plugin, "pam gateway new -n Berlin -a Other --if-missing")


async def test_an_expired_token_makes_room(infra: World) -> None:
    """After its time a new join string takes the place of the old one."""
    await infra.run(plugin, NEW)
    infra.clock.advance(3601)

    await infra.run(plugin, f"{NEW} --if-missing")

    (row,) = await listed(infra)
    assert row["status"] == "pending"


async def test_keys_made_here_are_certified_at_once(infra: World) -> None:
    """Standard output holds the configuration alone; its keys are those of the certificate."""
    made = await infra.run(plugin, f"{NEW} --config-init json")

    assert isinstance(made, Document)
    config = GatewayConfig.parse(made.text)
    gateway = infra.server.state().gateways.get(config.identity.gateway)
    assert gateway is not None
    assert gateway.sign_key == config.identity.signing_key.public.raw
    assert gateway.box_key == config.identity.box_key.public.raw
    assert gateway.ksm_key == config.device.private_key.public.raw
    assert config.device.app_key == infra.vault.applications.find("Infra").key
    assert config.identity.root_fingerprint == infra.vault.login.device.root
    assert list(json.loads(made.text))[-1] == "commander"
    assert len(infra.context.console.notices) == 1
    (row,) = await listed(infra)
    assert (row["gateway_uid"], row["status"]) == (config.identity.gateway, "offline")


async def test_a_configuration_may_go_to_a_file(infra: World, tmp_path: Path) -> None:
    """It is not printed then, and a join file makes no sense beside it."""
    path = tmp_path / "config"
    made = await infra.json(plugin, f"{NEW} -c b64 --config-file {path}")

    GatewayConfig.parse(path.read_text())
    assert "config" not in made
    with pytest.raises(UsageError):
        await infra.run(plugin, f"pam gateway new -n X -a Infra -c b64 --join-file {path}.2")
    with pytest.raises(UsageError):
        await infra.run(plugin, f"pam gateway new -n X -a Infra --config-file {path}.2")


@pytest.mark.parametrize("words", ["-e 0", "-e 1441"])
async def test_a_life_out_of_range_is_refused(infra: World, words: str) -> None:
    """A token lives one minute to a day."""
    with pytest.raises(InvalidInput):
        await infra.run(plugin, f"{NEW} {words}")


async def test_who_may_not_make_gateways_is_refused(infra: World) -> None:
    """An application of somebody else is not found; without the policy an own one refuses."""
    bob = await infra.other("bob@example.org")

    with pytest.raises(NotFound):
        await bob.run(plugin, NEW)
    role = infra.vault.people.find_role("Administrators")
    await infra.vault.people.change_role(role.role, _without("ALLOW_PAM_GATEWAY"))
    with pytest.raises(Refused) as refused:
        await infra.run(plugin, NEW)
    assert refused.value.code == "policy-missing"


def _without(policy: str) -> RoleChange:
    return RoleChange(unset=(policy,))


async def test_connected_gateways_come_first(infra: World) -> None:
    """`pam gateway` alone lists; --online leaves out what is not connected."""
    await certified(infra, "Amsterdam")
    uid = await certified(infra, "Zurich")
    infra.server.online[uid] = GatewayRow(uid, True, "1.2.3", "192.0.2.7", 1_800_000_000)

    rows = await infra.json(plugin, "pam gateway")
    assert [row["gateway_name"] for row in rows] == ["Zurich", "Amsterdam"]
    assert rows[0] == {
        "ksm_app_name": "Infra", "gateway_name": "Zurich", "gateway_uid": uid, "status": "online",
        "gateway_version": "1.2.3", "connected_on": "2027-01-15T08:00:00Z",
        "ip_address": "192.0.2.7", "ksm_app_uid": rows[1]["ksm_app_uid"], "created_on": None,
        "token_expires": None, "client_id": rows[0]["client_id"],
    }  # fmt: skip
    assert [row["gateway_uid"] for row in await listed(infra, "--online")] == [uid]
    plain = await infra.run(plugin, "pam g l")
    verbose = await infra.run(plugin, "pam gateway list -v")
    assert isinstance(plain, Table)
    assert isinstance(verbose, Table)
    assert sum(c.detail for c in plain.columns) == 5
    assert sum(c.detail for c in verbose.columns) == 0


async def test_a_gateway_is_shown_by_name_or_uid(infra: World) -> None:
    """With the folders of its application and the configurations bound to it."""
    uid = await certified(infra)
    folder = await infra.vault.create_shared_folder("Shared")
    application = infra.vault.applications.find("Infra")
    await infra.vault.applications.share_folder(application.uid, folder.uid)
    record = await infra.vault.create_record(
        RecordData.create("pamNetworkConfiguration", "Net"),
        folder.uid,
        settings=ConfigurationSettings(gateway=uid),
    )

    for name in ("Berlin", "berlin", uid):
        shown = await infra.json(plugin, f"pam gateway info -g {name}")
        assert shown["gateway_uid"] == uid
        assert shown["folders"] == ["Shared"]
        assert shown["configurations"] == [{"uid": record.uid, "title": "Net"}]
    with pytest.raises(NotFound):
        await infra.run(plugin, "pam gateway info -g Paris")


async def test_an_ambiguous_name_lists_the_candidates(infra: World) -> None:
    """Names that differ in case only are told apart exactly, or by UID."""
    await certified(infra, "Berlin")
    uid = await certified(infra, "BERLIN")

    with pytest.raises(Conflict, match=uid):
        await infra.run(plugin, "pam gateway info -g berlin")
    assert (await infra.json(plugin, "pam gateway info -g BERLIN"))["gateway_uid"] == uid


async def test_removing_revokes_the_certificate(infra: World) -> None:
    """It asks first, and says which configurations are left without a gateway."""
    uid = await certified(infra)
    await infra.vault.create_record(
        RecordData.create("pamNetworkConfiguration", "Net"),
        settings=ConfigurationSettings(gateway=uid),
    )

    with pytest.raises(UsageError):
        await infra.run(plugin, "pam gateway remove -g Berlin")
    with pytest.raises(Interrupted):
        await infra.run(plugin, "pam gateway remove -g Berlin", "n")
    removed = await infra.run(plugin, "pam gateway rm -g Berlin", "y")
    assert isinstance(removed, Done)
    assert "'Net'" in infra.context.console.questions[0]
    assert "'Net'" in infra.context.console.notices[0]
    assert infra.server.state().gateways.get(uid) is None
    assert not infra.server.stored.clients
    with pytest.raises(NotFound):
        await infra.run(plugin, "pam gateway remove -g Berlin -f")


async def test_removing_a_waiting_gateway_ends_its_token(infra: World) -> None:
    """The voucher is revoked too, so that not even the server could still use the token."""
    await infra.run(plugin, NEW)
    (voucher,) = infra.server.state().vouchers.values()

    await infra.run(plugin, "pam gateway remove -g Berlin -f")

    assert infra.server.state().vouchers.get(voucher.voucher) is None
    assert infra.server.stored.statements[-1].kind is Kind.REVOKE
    assert await listed(infra) == []


async def test_completion_offers_names_that_were_listed(infra: World) -> None:
    """It never asks the server on a key stroke."""
    uid = await certified(infra)
    await listed(infra)
    calls_before = len(infra.server.calls_made)

    assert list(gateway_candidates(infra.context)) == ["Berlin", uid]
    assert len(infra.server.calls_made) == calls_before
