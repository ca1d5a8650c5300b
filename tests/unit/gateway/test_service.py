"""Each refusal of the published table that a gateway gives, and beside each the run that succeeds."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from commander.audit.events import CommandRefused, TunnelIntent, TunnelReason, encode_event
from commander.audit.sealed import open_value
from commander.authority.refusals import Code
from commander.authority.statements import Kind, Right
from commander.crypto.kdf import sha256
from commander.crypto.signing import SigningKey
from commander.errors import Refused
from commander.gateway.limits import STARTS_BURST, StartLimits
from commander.ids import RecordUid, new_uid
from commander.tunnel.codes import CloseCode
from commander.wire.commands import ATTACH_PATH, Offer, PathParameters, TunnelParameters
from commander.wire.pam import ConfigurationSettings, ResourceSettings, TunnelSettings
from commander.wire.records import RecordData
from commander.wire.seals import RecordVersion
from tests.support.gateway_world import Running, World, answer_of, database, new_device

Attack = Callable[[World, Running], dict[str, Any] | None]


async def refused_with(running: Running, **changes: Any) -> str:
    """Ask for a tunnel that has to be refused; the code."""
    _, reply = await running.start(**changes)
    assert not reply.accepted
    assert reply.reason
    assert len(running.service.sessions) == 0
    return reply.code


async def close(running: Running) -> None:
    """End what a test opened."""
    await running.service.sessions.close_all(CloseCode.STOPPED, "end of test")


async def test_a_good_command_opens_a_tunnel(world: World) -> None:
    """The control of every test below: it is accepted, and the intent was written before."""
    running = await world.service()

    asked, reply = await running.start()

    assert (reply.accepted, reply.code) == (True, "")
    answer = answer_of(asked, reply)
    assert (answer.target, answer.kinds) == ("127.0.0.1:5432", ("memory",))
    intent = world.journal.events[0]
    assert isinstance(intent, TunnelIntent)
    assert (intent.user, intent.record, intent.configuration, intent.target_port) == (
        world.bob.user, world.record.uid, world.configuration.uid, 5432,
    )  # fmt: skip
    host = open_value(world.record.record_key, intent.conversation, intent.target_host)
    assert host == "127.0.0.1"
    assert asked.command.conversation in running.service.sessions
    await close(running)


@pytest.mark.parametrize(
    ("reason", "ticket"),
    [("nightly job", "OPS-7"), ("", "OPS-7"), ("\U0001f600" * 512, "\U0001f600" * 512)],
)
async def test_reason_and_ticket_are_in_the_audit_log(
    world: World, reason: str, ticket: str
) -> None:
    """Before the intent, and sealed: a user may type anything there."""
    running = await world.service()

    _, reply = await running.start(parameters=TunnelParameters("", 0, reason, ticket))

    assert reply.accepted
    told, intent = world.journal.events[:2]
    assert isinstance(told, TunnelReason)
    assert isinstance(intent, TunnelIntent)
    assert encode_event(told)
    assert (told.conversation, told.user) == (intent.conversation, world.bob.user)
    found = [
        open_value(world.record.record_key, told.conversation, value) if value else ""
        for value in (told.reason, told.ticket)
    ]
    assert found == [reason, ticket]
    await close(running)


CHANGED: dict[str, tuple[Code, Callable[[World], dict[str, Any]]]] = {
    "another gateway": (Code.COMMAND_NOT_FOR_ME, lambda w: {"gateway": new_uid()}),
    "another version": (Code.COMMAND_UNKNOWN_ACTION, lambda w: {"version": 2}),
    "another action": (Code.COMMAND_UNKNOWN_ACTION, lambda w: {"action": "shell.open"}),
    "bad parameters": (Code.COMMAND_MALFORMED, lambda w: {"parameters": b"\xc0"}),
    "bad record": (Code.COMMAND_MALFORMED, lambda w: {"record": "../x"}),
    "negative revision": (Code.COMMAND_MALFORMED, lambda w: {"record_revision": -1}),
    "negative position": (Code.COMMAND_MALFORMED, lambda w: {"log_seq": -1}),
    "short hash": (Code.COMMAND_MALFORMED, lambda w: {"log_hash": b""}),
    "port out of range": (
        Code.COMMAND_MALFORMED,
        lambda w: {"parameters": TunnelParameters("", 70000, "", "")},
    ),
    "long reason": (
        Code.COMMAND_MALFORMED,
        lambda w: {"parameters": TunnelParameters("", 0, "x" * 513, "")},
    ),
    "path of no tunnel's name": (
        Code.COMMAND_MALFORMED,
        lambda w: {"action": ATTACH_PATH, "parameters": PathParameters("../x", 5)},
    ),
    "generation too low": (
        Code.COMMAND_MALFORMED,
        lambda w: {"action": ATTACH_PATH, "parameters": PathParameters(new_uid(), 0)},
    ),
    "generation too high": (
        Code.COMMAND_MALFORMED,
        lambda w: {"action": ATTACH_PATH, "parameters": PathParameters(new_uid(), 65536)},
    ),
    "group too high": (
        Code.COMMAND_MALFORMED,
        lambda w: {"action": ATTACH_PATH, "parameters": PathParameters(new_uid(), 5, 65536)},
    ),
    "parameters of another action": (
        Code.COMMAND_MALFORMED,
        lambda w: {"action": ATTACH_PATH},
    ),
    "path of an unknown tunnel": (
        Code.CONVERSATION_UNKNOWN,
        lambda w: {"action": ATTACH_PATH, "parameters": PathParameters(new_uid(), 5)},
    ),
    "unknown device": (Code.DEVICE_UNKNOWN, lambda w: {"person": new_device(w.bob)}),
    "another key": (Code.SIGNATURE_BROKEN, lambda w: {"key": SigningKey.generate()}),
    "position ahead": (Code.LOG_BEHIND, lambda w: {"log_seq": w.enterprise.state.seq + 1}),
    "another log": (Code.LOG_FORKED, lambda w: {"log_hash": sha256(b"x")}),
    "61 s old": (
        Code.COMMAND_EXPIRED,
        lambda w: {
            "issued_at": int(w.clock.now()) - 61,
            "expires_at": int(w.clock.now()) - 1,
        },
    ),
    "61 s ahead": (
        Code.COMMAND_EXPIRED,
        lambda w: {"issued_at": int(w.clock.now()) + 62, "expires_at": int(w.clock.now()) + 90},
    ),
    "lives too long": (
        Code.COMMAND_EXPIRED,
        lambda w: {"expires_at": int(w.clock.now()) + 61},
    ),
    "ends before it begins": (
        Code.COMMAND_EXPIRED,
        lambda w: {"expires_at": int(w.clock.now()) - 1},
    ),
    "before the start": (
        Code.COMMAND_BEFORE_START,
        lambda w: {
            "issued_at": int(w.clock.now()) - 2,
            "expires_at": int(w.clock.now()) + 10,
        },
    ),
    "unknown record": (Code.RECORD_UNKNOWN, lambda w: {"record": new_uid()}),
    "newer record": (Code.RECORD_BEHIND, lambda w: {"record_revision": 2}),
    "newer settings": (Code.RECORD_BEHIND, lambda w: {"settings_revision": 2}),
    "another host": (
        Code.TARGET_OVERRIDE,
        lambda w: {"parameters": TunnelParameters("10.0.0.1", 0, "", "")},
    ),
    "another port": (
        Code.TARGET_OVERRIDE,
        lambda w: {"parameters": TunnelParameters("", 22, "", "")},
    ),
    "garbage offer": (Code.OFFER_BROKEN, lambda w: {"offer": secrets.token_bytes(200)}),
    "offer without the seed": (Code.OFFER_BROKEN, lambda w: {"seed": bytes(32)}),
    "no path in common": (
        Code.PATH_FORBIDDEN,
        lambda w: {"offer": Offer(("carrier-pigeon",), b"")},
    ),
    "no path": (Code.PATH_FORBIDDEN, lambda w: {"offer": Offer((), b"")}),
}


@pytest.mark.parametrize("name", CHANGED)
async def test_a_changed_command_is_refused_with_its_code(world: World, name: str) -> None:
    """One field of a good command is changed: its code comes, audited, sealed and signed."""
    code, change = CHANGED[name]
    running = await world.service()

    assert await refused_with(running, **change(world)) == code

    event = world.journal.events[-1]
    assert isinstance(event, CommandRefused)
    assert event.code == code
    assert "TunnelIntent" not in world.journal.kinds()
    _, reply = await running.start()
    assert reply.accepted
    await close(running)


def _revoke_device(world: World) -> None:
    world.enterprise.revoke(Kind.DEVICE, world.bob.device)


def _revoke_user(world: World) -> None:
    world.enterprise.revoke(Kind.USER, world.bob.user)


def _leave_role(world: World) -> None:
    world.enterprise.revoke(Kind.MEMBERSHIP, world.launchers, world.bob.user)


def _unshare(world: World) -> None:
    world.enterprise.revoke(Kind.ACCESS, world.folder, world.bob.user)


def _unshare_application(world: World) -> None:
    world.enterprise.revoke(Kind.ACCESS, world.folder, world.application)


def _share_later(world: World) -> None:
    begins = int(world.clock.now()) + 1000
    world.enterprise.share(world.alice, world.folder, world.bob.user, Right.VIEW, not_before=begins)


def _share_ended(world: World) -> None:
    ended = int(world.clock.now())
    world.enterprise.share(world.alice, world.folder, world.bob.user, Right.VIEW, not_after=ended)


def _edit_only(world: World) -> None:
    world.enterprise.share(world.alice, world.folder, world.bob.user, Right.EDIT)


def _remove_folder(world: World) -> None:
    world.enterprise.revoke(Kind.FOLDER, world.folder)


def _remove_gateway(world: World) -> None:
    world.enterprise.revoke(Kind.GATEWAY, world.gateway)


def _no_settings(world: World) -> None:
    world.record.settings = None
    world.record.settings_revision = 0


def _no_configuration(world: World) -> None:
    world.configure(world.record, ResourceSettings(tunnel=TunnelSettings(enabled=True)))


def _configuration_is_a_resource(world: World) -> None:
    settings = ResourceSettings(configuration=world.record.uid, tunnel=TunnelSettings(enabled=True))
    world.configure(world.record, settings)


def _configuration_gone(world: World) -> None:
    del world.records[world.configuration.uid]


def _other_gateway(world: World) -> None:
    world.configure(world.configuration, ConfigurationSettings(new_uid(), tunneling="on"))


def _tunneling(value: Any) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.configure(world.configuration, ConfigurationSettings(world.gateway, tunneling=value))

    return change


def _tunnel_disabled(world: World) -> None:
    world.configure(world.record, ResourceSettings(configuration=world.configuration.uid))


def _link_elsewhere(world: World) -> None:
    carol = world.enterprise.add_person("carol@acme.example")
    folder = world.enterprise.add_folder(carol)
    world.folder_keys[folder] = bytes(32)
    credential = world.add_record(folder, RecordData.create("pamUser", "root"), author=carol)
    world.configure(
        world.record,
        msgspec.structs.replace(world.settings, launch_credential=credential.uid),
    )


def _link_unknown(world: World) -> None:
    world.configure(
        world.record, msgspec.structs.replace(world.settings, administrative_credential=new_uid())
    )


def _seal_by_a_viewer(world: World) -> None:
    world.edit(world.record, database("10.6.6.6", 22), author=world.bob)


def _settings_by_a_viewer(world: World) -> None:
    world.configure(world.record, world.settings, author=world.bob)


def _settings_of_a_foreign_folder(world: World) -> None:
    carol = world.enterprise.add_person("carol@acme.example")
    role = world.enterprise.add_role(
        "Configurators", {"ALLOW_CONFIGURE_PAM_TUNNELING_SETTINGS": True}
    )
    world.enterprise.add_member(role, carol)
    folder = world.enterprise.add_folder(carol)
    world.configure(world.record, world.settings, author=carol, folder=folder)


def _payload_swapped(world: World) -> None:
    other = world.add_record(world.folder, database("10.6.6.6", 22))
    version = world.record.version
    world.record.version = RecordVersion(version.seal, version.record_key, other.version.payload)


def _record_swapped(world: World) -> None:
    other = world.add_record(world.folder, database("10.6.6.6", 22))
    world.record.version = other.version


def _key_swapped(world: World) -> None:
    other = world.add_record(world.folder, database("10.6.6.6", 22))
    version = world.record.version
    world.record.version = RecordVersion(version.seal, other.version.record_key, version.payload)


def _settings_under_another_key(world: World) -> None:
    key = world.record.record_key
    world.record.record_key = bytes(32)
    world.configure(world.record, world.settings)
    world.record.record_key = key


def _no_host(world: World) -> None:
    world.edit(world.record, RecordData.create("pamDatabase", "Orders"))


def _host(host: str) -> Callable[[World], None]:
    return lambda world: world.edit(world.record, database(host, 5432))


def _no_paths(world: World) -> None:
    world.configure(world.record, msgspec.structs.replace(world.settings, paths=("direct",)))


def _no_paths_in_configuration(world: World) -> None:
    world.configure(
        world.configuration,
        ConfigurationSettings(world.gateway, tunneling="on", paths=("relay",)),
    )


PREPARED: dict[str, tuple[Code, Callable[[World], None]]] = {
    "device revoked": (Code.DEVICE_REVOKED, _revoke_device),
    "user removed": (Code.USER_REVOKED, _revoke_user),
    "policy missing": (Code.POLICY_MISSING, _leave_role),
    "share missing": (Code.ACCESS_MISSING, _unshare),
    "application's share missing": (Code.ACCESS_MISSING, _unshare_application),
    "share begins later": (Code.ACCESS_NOT_YET, _share_later),
    "share ended": (Code.ACCESS_EXPIRED, _share_ended),
    "share without view": (Code.RIGHT_MISSING, _edit_only),
    "folder removed": (Code.OBJECT_REVOKED, _remove_folder),
    "gateway removed": (Code.OBJECT_REVOKED, _remove_gateway),
    "no settings": (Code.SETTINGS_MISSING, _no_settings),
    "no configuration": (Code.CONFIGURATION_MISSING, _no_configuration),
    "configuration is none": (Code.CONFIGURATION_MISSING, _configuration_is_a_resource),
    "configuration gone": (Code.CONFIGURATION_MISSING, _configuration_gone),
    "other gateway's configuration": (Code.CONFIGURATION_OTHER_GATEWAY, _other_gateway),
    "tunneling off": (Code.TUNNELING_OFF, _tunneling("off")),
    "tunneling default": (Code.TUNNELING_OFF, _tunneling("default")),
    "tunnel disabled": (Code.TUNNEL_DISABLED, _tunnel_disabled),
    "link the author may not use": (Code.LINK_NOT_ALLOWED, _link_elsewhere),
    "link to nothing": (Code.LINK_NOT_ALLOWED, _link_unknown),
    "record by a viewer": (Code.SEAL_AUTHOR, _seal_by_a_viewer),
    "settings by a viewer": (Code.SEAL_AUTHOR, _settings_by_a_viewer),
    "settings of a foreign folder": (Code.SEAL_AUTHOR, _settings_of_a_foreign_folder),
    "payload of another record": (Code.SEAL_BROKEN, _payload_swapped),
    "another record in its place": (Code.SEAL_BROKEN, _record_swapped),
    "key of another record": (Code.RECORD_TAMPERED, _key_swapped),
    "settings under another key": (Code.SETTINGS_TAMPERED, _settings_under_another_key),
    "no host": (Code.TARGET_INVALID, _no_host),
    "host with a space": (Code.TARGET_INVALID, _host("a b")),
    "host with a port": (Code.TARGET_INVALID, _host("db:22")),
    "host in hex": (Code.TARGET_INVALID, _host("0x7f000001")),
    "metadata address": (Code.TARGET_FORBIDDEN, _host("169.254.169.254")),
    "loopback in v6": (Code.TARGET_FORBIDDEN, _host("::1")),
    "unspecified": (Code.TARGET_FORBIDDEN, _host("0.0.0.0")),
    "record forbids the path": (Code.PATH_FORBIDDEN, _no_paths),
    "configuration forbids the path": (Code.PATH_FORBIDDEN, _no_paths_in_configuration),
}


@pytest.mark.parametrize("name", PREPARED)
async def test_a_state_that_forbids_it_refuses_with_its_code(world: World, name: str) -> None:
    """Rights, records, switches, targets: each has its own code, and nothing is opened."""
    code, prepare = PREPARED[name]
    prepare(world)
    running = await world.service()

    assert await refused_with(running) == code

    assert "TunnelIntent" not in world.journal.kinds()


async def test_a_command_counts_once(world: World) -> None:
    """The same bytes again, three times: one tunnel, then command-replayed."""
    running = await world.service()
    asked, first = await running.start()

    again = [await running.ask(asked) for _ in range(2)]

    assert first.accepted
    assert {reply.code for reply in again} == {Code.COMMAND_REPLAYED}
    assert len(running.service.sessions) == 1
    await close(running)


async def test_a_restart_does_not_revive_a_command(world: World) -> None:
    """What was sent to a process before is refused by the next one."""
    first = await world.service()
    asked, reply = await first.start()
    assert reply.accepted
    await close(first)

    second = await world.service()
    again = await second.ask(asked)

    assert again.code == Code.COMMAND_BEFORE_START


async def test_a_clock_that_is_set_back_revives_nothing(world: World) -> None:
    """Nonces that were forgotten are covered by the time up to which they were."""
    running = await world.service()
    asked, _ = await running.start()
    await close(running)
    world.clock.advance(1000)
    _, later = await running.start()
    assert later.accepted
    await close(running)

    world.clock.jump(-1000)

    assert (await running.ask(asked)).code == Code.COMMAND_REPLAYED


async def test_a_gateway_behind_fetches_once(world: World) -> None:
    """A device certified a moment ago works at once."""
    running = await world.service()
    asked_before = world.server.log_requests
    world.enterprise.add_device(world.bob)

    _, reply = await running.start()

    assert reply.accepted
    assert world.server.log_requests == asked_before + 1
    await close(running)


async def test_a_withheld_log_refuses(world: World) -> None:
    """A server that hides what the device has seen gets no tunnel opened."""
    running = await world.service()
    world.server.withhold_after = world.enterprise.state.seq
    world.enterprise.add_folder(world.alice)

    assert await refused_with(running) == Code.LOG_BEHIND

    world.server.withhold_after = None
    _, reply = await running.start()
    assert reply.accepted
    await close(running)


async def test_a_rolled_back_log_refuses_everything_new(world: World) -> None:
    """Once the server's log was shorter than before, the gateway believes it no more."""
    running = await world.service()
    world.server.withhold_after = world.enterprise.state.seq - 1
    with pytest.raises(Refused):
        await running.follower.catch_up()
    world.server.withhold_after = None

    assert await refused_with(running) == Code.LOG_FORKED


async def test_without_an_audit_log_nothing_is_opened(world: World) -> None:
    """Strict: when the intent can't be written, the command is refused."""
    running = await world.service()
    world.journal.error = Refused("disk full", code=Code.AUDIT_UNAVAILABLE)

    assert await refused_with(running) == Code.AUDIT_UNAVAILABLE

    world.journal.error = None
    _, reply = await running.start()
    assert reply.accepted
    await close(running)


async def test_a_right_lost_while_the_intent_is_written_wins(world: World) -> None:
    """Between the last check and the effect there is one more check."""
    running = await world.service()
    write = world.journal.write

    async def slow(event: Any) -> None:
        await write(event)
        if isinstance(event, TunnelIntent):
            world.enterprise.revoke(Kind.ACCESS, world.folder, world.bob.user)
            await running.follower.catch_up()

    running.service.starter.write = slow

    assert await refused_with(running) == Code.ACCESS_MISSING
    assert world.journal.kinds() == ["TunnelIntent", "TunnelOutcome", "CommandRefused"]


async def test_a_stopping_gateway_opens_nothing(world: World) -> None:
    """While it drains every command is told so."""
    running = await world.service()
    running.service.drain()

    assert await refused_with(running) == Code.GATEWAY_STOPPING


async def test_tunnels_are_limited_per_user(world: World) -> None:
    """At a user's limit another user still gets one."""
    running = await world.service(limits=StartLimits(tunnels=10, tunnels_per_user=1))
    assert (await running.start())[1].accepted

    assert (await running.start())[1].code == Code.LIMIT_REACHED
    assert (await running.start(world.alice))[1].accepted
    await close(running)


async def test_tunnels_are_limited_per_gateway(world: World) -> None:
    """At the gateway's limit nobody gets one, until one ends."""
    running = await world.service(limits=StartLimits(tunnels=1, tunnels_per_user=9))
    assert (await running.start())[1].accepted

    assert (await running.start(world.alice))[1].code == Code.LIMIT_REACHED
    await close(running)
    assert (await running.start(world.alice))[1].accepted
    await close(running)


async def test_commands_are_limited_per_user(world: World) -> None:
    """One who asks too often is told, others are not."""
    limits = StartLimits()
    for _ in range(int(STARTS_BURST)):
        limits.may_ask(world.bob.user, world.clock.monotonic() + 2)
    running = await world.service(limits=limits)

    assert await refused_with(running) == Code.LIMIT_REACHED
    assert (await running.start(world.alice))[1].accepted
    await close(running)


async def test_a_supplied_host_works_where_the_record_lets_it(world: World) -> None:
    """With the switch on, the command's host and port are used, under the same rule."""
    world.configure(world.record, msgspec.structs.replace(world.settings, allow_supply_host=True))
    running = await world.service()

    asked, reply = await running.start(parameters=TunnelParameters("127.0.0.1", 22, "", ""))

    assert reply.accepted
    assert answer_of(asked, reply).target == "127.0.0.1:22"
    forbidden = TunnelParameters("169.254.169.254", 80, "", "")
    assert (await running.start(parameters=forbidden))[1].code == Code.TARGET_FORBIDDEN
    await close(running)


async def test_the_tunnels_own_port_wins_over_the_records(world: World) -> None:
    """A remote port in the settings is used; repeating it in the command is no override."""
    tunnel = TunnelSettings(enabled=True, remote_port=6432)
    world.configure(world.record, msgspec.structs.replace(world.settings, tunnel=tunnel))
    running = await world.service()

    asked, reply = await running.start(parameters=TunnelParameters("127.0.0.1", 6432, "", ""))

    assert reply.accepted
    assert answer_of(asked, reply).target == "127.0.0.1:6432"
    await close(running)


async def test_a_name_is_judged_by_what_it_resolves_to(world: World) -> None:
    """A name that leads to a forbidden address is refused, one that does not resolve is left to streams."""
    world.edit(world.record, database("db.internal", 5432))
    running = await world.service()
    world.names["db.internal"] = ["169.254.169.254"]
    assert await refused_with(running) == Code.TARGET_FORBIDDEN

    del world.names["db.internal"]
    _, reply = await running.start()

    assert reply.accepted
    await close(running)


async def test_a_rollback_of_a_record_is_noticed(world: World) -> None:
    """A revision older than the one used before is refused, also by the next process."""
    old = world.record.version
    world.edit(world.record, database("127.0.0.1", 6000))
    running = await world.service()
    assert (await running.start())[1].accepted
    await close(running)
    world.record.version, world.record.revision = old, 1

    assert await refused_with(running) == Code.SEAL_REVISION

    again = await world.service()
    assert await refused_with(again) == Code.SEAL_REVISION


async def test_vanished_settings_are_noticed(world: World) -> None:
    """A server that drops settings it served before does not turn the switches off quietly."""
    running = await world.service()
    assert (await running.start())[1].accepted
    await close(running)
    _no_settings(world)

    assert await refused_with(running) == Code.SEAL_REVISION


async def test_an_unreachable_server_refuses_with_a_reason(world: World) -> None:
    """Without the record there is no tunnel."""
    running = await world.service()
    world.server.is_down = True

    assert await refused_with(running) == Code.RECORDS_UNAVAILABLE

    world.server.is_down = False
    assert (await running.start())[1].accepted
    await close(running)


async def test_a_moved_record_keeps_its_settings_when_the_author_had_both_folders(
    world: World,
) -> None:
    """Settings that name the folder of before are good if their author might configure the new one."""
    folder = world.add_folder()
    world.enterprise.share(world.alice, folder, world.bob.user, Right.VIEW)
    world.configure(world.record, world.settings)
    stored = world.record
    stored.folder = folder
    stored.revision += 1
    stored.version = world.seal_record(
        RecordUid(stored.uid), folder, stored.record_key, database("127.0.0.1", 5432),
        revision=2, prev=stored.version.seal.digest(),
    )  # fmt: skip
    running = await world.service()

    assert (await running.start())[1].accepted
    await close(running)


async def test_unsigned_noise_does_not_fill_the_audit_log(world: World) -> None:
    """Of what nobody signed only some is audited, and all of it is counted."""
    running = await world.service()

    for _ in range(200):
        await running.start(key=SigningKey.generate())

    assert len(world.journal.events) <= 60
    assert running.service.counters["refusals-not-audited"] >= 140
    assert running.service.counters["signature-broken"] == 200
