from __future__ import annotations

import base64
import json

import pytest

from commander.crypto.signing import SigningKey
from commander.errors import Conflict, InvalidInput, NotFound, Tampered, UsageError
from commander.ksm.config import DeviceConfig
from commander.ksm.token import OneTimeToken
from commander.plugin.results import Document
from plugins.secrets_manager import plugin
from plugins.secrets_manager.server_keys import ServerKeys
from tests.support.command_world import KSM_KEY, KSM_KEY_ID, World, server_info, server_keys
from tests.support.vaults import SERVER

ADD = "sm client add --app CI --name build"


@pytest.fixture
async def ci(world: World) -> World:
    """A world with an application CI."""
    await world.vault.applications.create("CI")
    return world


async def test_a_token_opens_the_application_key(ci: World) -> None:
    """What is printed once is the token whose id the server was given."""
    made = await ci.json(plugin, f"{ADD} --access-expire-in-min 60")

    (client,) = made["clients"]
    token = OneTimeToken.parse(client["token"])
    (stored,) = ci.server.stored.clients.values()
    assert base64.b64encode(token.client_id).decode() == stored.client_id == client["client_id"]
    assert token.open_app_key(stored.app_key) == ci.vault.applications.find("CI").key
    assert (client["ip_lock"], client["token_expires"]) == (True, "2027-01-15T09:00:00Z")
    assert client["access_expires"] == "2027-01-15T09:00:00Z"
    assert made["server_public_key_id"] == str(KSM_KEY_ID)
    assert made["hostname"] == SERVER.address


async def test_the_token_stands_in_the_text_for_people(ci: World) -> None:
    """SDKs split at colons, so with a port the host is named on its own line."""
    made = await ci.run(plugin, f"{ADD} --unlock-ip")

    assert isinstance(made, Document)
    assert "One-Time Access Token: " in made.text
    assert "IP Lock:               Disabled" in made.text
    assert f"Hostname:              {SERVER.address}" in made.text


async def test_five_hundred_tokens_are_made_at_once(ci: World) -> None:
    """They are numbered, and one transaction makes all of them."""
    before = len(ci.server.calls_made)
    made = await ci.json(plugin, f"{ADD} --count 500")

    assert made["clients"][499]["name"] == "build 500"
    assert ci.server.calls_made[before:].count("commit") == 1
    with pytest.raises(UsageError):
        await ci.run(plugin, f"{ADD} --count 501")

    await ci.run(plugin, "sm client add --app CI --name more")
    before = len(ci.server.calls_made)
    removed = await ci.json(plugin, 'sm client rm -a CI -i "*" -f')
    assert len(removed["removed"]) == 501
    # A commit has room for 500.
    assert ci.server.calls_made[before:].count("commit") == 2


@pytest.mark.parametrize("form", ["json", "b64", "k8s"])
async def test_a_configuration_has_what_official_sdks_need(ci: World, form: str) -> None:
    """Seven texts and nothing else, with the application key and the server's own key."""
    made = await ci.run(plugin, f"{ADD} --config-init {form}")

    assert isinstance(made, Document)
    text = made.text
    if form == "k8s":
        assert text.startswith("apiVersion: v1\nkind: Secret\nmetadata:\n  name: ksm-config\n")
        text = text.partition("config: ")[2].strip()
    config = DeviceConfig.parse(text)
    raw = text if form == "json" else base64.b64decode(text)
    assert set(json.loads(raw)) == {
        "hostname", "clientId", "privateKey", "appKey", "appOwnerPublicKey",
        "serverPublicKeyId", "serverPublicKey",
    }  # fmt: skip
    assert config.app_key == ci.vault.applications.find("CI").key
    assert config.server_public_key == KSM_KEY.public
    (stored,) = ci.server.stored.clients.values()
    assert stored.public_key == config.private_key.public.raw
    assert base64.b64encode(config.client_id).decode() == stored.client_id
    assert ci.context.console.notices == [
        "configuration of 1 client of application 'CI': this is shown once"
    ]


@pytest.mark.parametrize("form", ["", " --config-init b64"])
async def test_a_client_is_locked_to_its_first_address_unless_told_otherwise(
    ci: World, form: str
) -> None:
    """By token or by configuration, the flag means the same."""
    await ci.run(plugin, f"{ADD}{form}")
    await ci.run(plugin, f"sm client add --app CI --name free --unlock-ip{form}")

    assert [row["ip_lock"] for row in await ci.json(plugin, "sm client list -a CI")] == [
        True,
        False,
    ]


async def test_a_server_with_other_keys_makes_no_configuration(ci: World) -> None:
    """A stand-in that signs with its own key is found out, and nothing is entered."""
    ci.context._shared[ServerKeys] = server_keys(server_info(SigningKey.generate()))

    with pytest.raises(Tampered):
        await ci.run(plugin, f"{ADD} --config-init b64")
    assert not ci.server.stored.clients


async def test_if_missing_makes_no_second_client(ci: World) -> None:
    """A name that is taken is a conflict, and with --if-missing unchanged without any token."""
    await ci.run(plugin, ADD)

    for _ in range(2):
        again = await ci.json(plugin, f"{ADD} --if-missing")
        assert again["status"] == "unchanged"
        assert again["clients"] == ["build"]
    with pytest.raises(Conflict):
        await ci.run(plugin, ADD)
    assert len(ci.server.stored.clients) == 1


@pytest.mark.parametrize(
    "words",
    ["--first-access-expires-in-min 0", "-x 1441", "--access-expire-in-min 0", "-p 99999999999"],
)
async def test_times_out_of_range_are_refused(ci: World, words: str) -> None:
    """The limits are told before anything is made."""
    with pytest.raises(InvalidInput):
        await ci.run(plugin, f"{ADD} {words}")
    assert not ci.server.stored.clients


async def test_clients_are_listed_with_their_state(ci: World) -> None:
    """A waiting token, a used one and one nobody used in time."""
    await ci.run(plugin, ADD)
    await ci.run(plugin, "sm client add --app CI --name used")
    used = (await ci.json(plugin, "sm client list -a CI"))[1]
    ci.server.bound.add(used["client_id"])

    listed = await ci.json(plugin, "sm client list -a CI")
    assert [(row["client_name"], row["status"]) for row in listed] == [
        ("build", "unbound"), ("used", "unconfirmed"),
    ]  # fmt: skip
    assert listed[0]["client_id"].startswith(listed[0]["short_id"])
    ci.clock.advance(3600)
    listed = await ci.json(plugin, "sm client list -a CI")
    assert [row["status"] for row in listed] == ["expired", "unconfirmed"]


async def test_clients_are_removed_by_name_and_by_id(ci: World) -> None:
    """It asks; a beginning of the id is enough; * takes all."""
    made = await ci.json(plugin, f"{ADD} --count 4")
    ids = [client["client_id"] for client in made["clients"]]

    with pytest.raises(UsageError):
        await ci.run(plugin, 'sm client remove -a CI -i "build 1"')
    removed = await ci.json(plugin, f'sm client rm -a CI -i "build 1" -i {ids[1][:12]}', "yes")
    assert removed["removed"] == ids[:2]
    assert "keys are not changed" in ci.context.console.notices[-1]
    with pytest.raises(NotFound):
        await ci.run(plugin, 'sm client rm -a CI -i "build 1" -f')
    rest = await ci.json(plugin, 'sm client rm -a CI -i "*" -f')
    assert rest["removed"] == ids[2:]
    assert (await ci.json(plugin, "sm client rm -a CI -i all -f"))["status"] == "unchanged"


async def test_gateways_are_not_removed_as_clients(ci: World) -> None:
    """The command that removes a gateway also names what depends on it."""
    application = ci.vault.applications.find("CI")
    await ci.vault.applications.add_gateway(application.uid, "Berlin")

    with pytest.raises(UsageError, match="is a gateway"):
        await ci.run(plugin, "sm client remove -a CI -i Berlin -f")
