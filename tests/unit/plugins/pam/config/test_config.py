from __future__ import annotations

import pytest

from commander.errors import (
    Conflict,
    Interrupted,
    InvalidInput,
    NotFound,
    Refused,
    UsageError,
)
from commander.plugin.results import Done, Table, Unchanged
from commander.plugin.testing import check_plugin
from commander.vault.people import RoleChange
from commander.wire.pam import ConfigurationSettings, ResourceSettings
from commander.wire.records import RecordData
from plugins.pam.config import plugin
from plugins.pam.config.known import configuration_candidates
from plugins.pam.gateway import plugin as gateways
from tests.support.command_world import World

NEW = "pam config new -t Net -env local -g Berlin -sf Shared"


@pytest.fixture
async def net(world: World) -> World:
    """A gateway Berlin whose application reads the shared folder Shared."""
    application = await world.vault.applications.create("Infra")
    folder = await world.vault.create_shared_folder("Shared")
    await world.vault.applications.share_folder(application.uid, folder.uid)
    await world.run(gateways, "pam gateway new -n Berlin -a Infra -c b64")
    return world


def settings(world: World, title: str = "Net") -> ConfigurationSettings:
    found = world.vault.settings(world.vault.find_record(title).uid)
    assert isinstance(found, ConfigurationSettings)
    return found


def test_all_declarations_hold() -> None:
    """Every handler exists and every example parses."""
    assert len(check_plugin(plugin)) == 5


async def test_a_configuration_binds_gateway_and_switches(net: World) -> None:
    """Flags become settings, in their usual form; what is not named keeps its default."""
    made = await net.run(
        plugin,
        f"{NEW} -u on -c off --remote-browser-isolation on -cr on --text-recording default "
        "--network-id office --network-cidr 10.0.0.0/8 -pm 2222=ssh -pm 1234=mysql "
        "--schedule '0  3 * * SUN'",
    )

    assert isinstance(made, Done)
    gateway = next(iter(net.server.state().gateways.values()))
    assert settings(net) == ConfigurationSettings(
        gateway=gateway.gateway,
        tunneling="on",
        connections="off",
        remote_browser_isolation="on",
        graphical_recording="on",
        network_id="office",
        network_cidr="10.0.0.0/8",
        port_mappings=("1234=mysql", "2222=ssh"),
        schedule="0 3 * * SUN",
    )
    assert net.context.console.notices == []
    assert net.context.variables.get("last_record_uid") == made.data["uid"]


async def test_if_missing_twice_changes_nothing(net: World) -> None:
    """The same again is unchanged, also after a flag that was not named was edited."""
    await net.run(plugin, f"{NEW} -u on")
    await net.run(plugin, "pam config edit Net --connections on")

    for _ in range(2):
        again = await net.run(plugin, f"{NEW} -u on --if-missing")
        assert isinstance(again, Unchanged)
    with pytest.raises(Conflict):
        await net.run(plugin, f"{NEW} -u on")
    assert len(net.vault.view.records) == 1


async def test_if_missing_names_what_is_different(net: World) -> None:
    """Every setting that was asked for and is otherwise, the gateway and the folder."""
    await net.run(plugin, f"{NEW} -u on")
    await net.run(gateways, "pam gateway new -n Paris -a Infra -c b64")
    await net.vault.create_shared_folder("Other")

    with pytest.raises(Conflict, match="tunneling 'on' instead of 'off'"):
        await net.run(plugin, f"{NEW} -u off --if-missing")
    with pytest.raises(Conflict, match=r"exists with gateway '.{22}' instead of '.{22}', another"):
        await net.run(plugin, "pam config new -t Net -g Paris -sf Other --if-missing")


async def test_other_environments_say_that_they_are_not_there(net: World) -> None:
    """A known name of one is told from a wrong word."""
    with pytest.raises(UsageError, match="environment 'aws' is not there yet"):
        await net.run(plugin, "pam config new -t Net -env aws -g Berlin -sf Shared")
    with pytest.raises(UsageError, match="is not one of local"):
        await net.run(plugin, "pam config new -t Net -env moon -g Berlin -sf Shared")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--network-cidr 10.0.0.5/8", "'10.0.0.5/8' is not a network: 10.0.0.5/8 has host bits"),
        ("--network-cidr 10.0.0.0", "it has no /LENGTH"),
        ("-pm ssh", "'ssh' is not PORT=PROTOCOL"),
        ("-pm 0=ssh", "'0' is not a port"),
        ("-pm 22=shell", "'shell' is not a protocol"),
        ("-pm 22=ssh -pm 22=vnc", "port 22 is mapped twice"),
        ("-sc '0 3 * *'", "has 4 fields, not 5"),
        ("-sc '60 3 * * *'", "'60' is no minute: it is 0 to 59"),
        ("-t 'a\tb'", "a title has 1 to 128 printable characters"),
    ],
)
async def test_bad_values_are_refused_exactly(net: World, words: str, message: str) -> None:
    """The message names the value and the reason, and nothing is made."""
    with pytest.raises(InvalidInput) as refused:
        await net.run(plugin, f"{NEW} {words}")
    assert message in refused.value.message
    assert not net.vault.view.records


async def test_a_folder_that_no_gateway_reads_is_said(net: World) -> None:
    """A private folder is refused; one that is not shared with the application gets a notice."""
    await net.vault.create_folder("Mine")
    await net.vault.create_shared_folder("Other")

    with pytest.raises(InvalidInput, match="is not shared"):
        await net.run(plugin, "pam config new -t Net -g Berlin -sf Mine")
    await net.run(plugin, "pam config new -t Net -g Berlin -sf Other")
    (notice,) = net.context.console.notices
    assert "secrets-manager share add --app 'Infra' --secret 'Other'" in notice


async def test_a_gateway_that_was_not_started_is_refused(net: World) -> None:
    """It has no UID yet; an unknown one is not found."""
    await net.run(gateways, "pam gateway new -n Later -a Infra")

    with pytest.raises(NotFound, match="has not been started yet"):
        await net.run(plugin, "pam config new -t Net -g Later -sf Shared")
    with pytest.raises(NotFound, match="no gateway"):
        await net.run(plugin, "pam config new -t Net -g Nowhere -sf Shared")


async def test_configurations_are_listed_with_their_resources(net: World) -> None:
    """The default verb lists; -c shows one; scripts get stable keys."""
    made = await net.json(plugin, f"{NEW} -u on")
    folder = net.vault.find_folder("Shared")
    host = await net.vault.create_record(
        RecordData.create("pamMachine", "Host"),
        folder.uid,
        settings=ResourceSettings(configuration=made["uid"]),
    )

    (row,) = await net.json(plugin, "pam config")
    assert row == {
        "uid": made["uid"], "config_name": "Net", "environment": "local", "folder": "Shared",
        "gateway_name": "Berlin", "gateway_uid": made["gateway_uid"], "tunneling": "on",
        "connections": "default", "rotation": "default", "remote_browser_isolation": "default",
        "graphical_recording": "default", "text_recording": "default", "network_id": "",
        "network_cidr": "", "port_mappings": [], "schedule": "",
        "resource_record_uids": [host.uid],
    }  # fmt: skip
    assert (await net.json(plugin, "pam config list -c Net"))["uid"] == made["uid"]
    verbose = await net.run(plugin, "pam config list -v")
    assert isinstance(verbose, Table)
    assert not any(column.detail for column in verbose.columns)
    with pytest.raises(NotFound):
        await net.run(plugin, "pam config list -c Nowhere")


async def test_editing_changes_what_is_named(net: World) -> None:
    """The rest stays; the same again is unchanged; an empty value empties; nothing is a mistake."""
    made = await net.json(plugin, f"{NEW} -u on --network-cidr 10.0.0.0/8")

    await net.run(plugin, "pam config edit Net -u off --network-cidr '' --title Lab")
    assert (settings(net, "Lab").tunneling, settings(net, "Lab").network_cidr) == ("off", "")
    again = await net.run(plugin, f"pam config edit {made['uid']} -u off -t Lab -g Berlin")
    assert isinstance(again, Unchanged)
    with pytest.raises(UsageError):
        await net.run(plugin, "pam config edit Lab")
    await net.run(plugin, f"{NEW}")
    with pytest.raises(Conflict):
        await net.run(plugin, "pam config edit Lab -t Net")


async def test_what_is_no_configuration_is_not_edited(net: World) -> None:
    """A record of another type is named as such, two of one title need a UID."""
    folder = net.vault.find_folder("Shared")
    await net.vault.create_record(RecordData.create("login", "Mail"), folder.uid)
    made = await net.json(plugin, NEW)
    known = settings(net)
    data = RecordData.create("pamNetworkConfiguration", "Net")
    await net.vault.create_record(data, folder.uid, settings=known)

    with pytest.raises(UsageError, match="not a PAM configuration"):
        await net.run(plugin, "pam config edit Mail -u on")
    with pytest.raises(Conflict, match=made["uid"]):
        await net.run(plugin, "pam config edit Net -u on")


async def test_removing_asks_and_names_its_resources(net: World) -> None:
    """A no leaves it; a yes removes it and says what is left without one."""
    made = await net.json(plugin, NEW)
    await net.vault.create_record(
        RecordData.create("pamMachine", "Host"),
        net.vault.find_folder("Shared").uid,
        settings=ResourceSettings(configuration=made["uid"]),
    )

    with pytest.raises(UsageError):
        await net.run(plugin, "pam config remove Net")
    with pytest.raises(Interrupted):
        await net.run(plugin, "pam config remove Net", "n")
    await net.run(plugin, "pam config rm Net", "y")
    assert net.context.console.questions == ["Remove PAM configuration 'Net'? 1 resources use it."]
    assert "'Host'" in net.context.console.notices[0]
    with pytest.raises(NotFound):
        await net.run(plugin, "pam config remove Net -f")


async def test_the_policy_is_needed(net: World) -> None:
    """Without CONFIGURE the settings are refused by code, and no record is left."""
    role = net.vault.people.find_role("Administrators")
    change = RoleChange(unset=("ALLOW_CONFIGURE_PAM_TUNNELING_SETTINGS",))
    await net.vault.people.change_role(role.role, change)

    with pytest.raises(Refused) as refused:
        await net.run(plugin, NEW)
    assert refused.value.code == "policy-missing"
    assert not net.vault.view.records


async def test_completion_offers_titles(net: World) -> None:
    """From memory, and nothing before a login."""
    await net.run(plugin, NEW)

    assert list(configuration_candidates(net.context)) == ["Net"]
