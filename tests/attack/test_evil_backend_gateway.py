"""
A backend that lies to a gateway: about the log, and about the records it hands out.

Each case has its exact code, opens nothing, and stands beside the honest run in `test_control`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from commander.audit.events import TunnelIntent
from commander.authority.refusals import Code
from commander.authority.statements import Gateway, Kind, Membership, Revoke, Right, Statement
from commander.crypto import aead
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import Refused
from commander.ids import GatewayUid, new_uid
from commander.tunnel.codes import CloseCode
from commander.vault.opening import seal_settings
from commander.wire.calls import LogAnswer
from commander.wire.pam import ConfigurationSettings, ResourceSettings, TunnelSettings
from commander.wire.records import RecordData
from tests.support.enterprise import Enterprise, Person
from tests.support.gateway_world import Running, StoredRecord, World, database
from tests.support.tunnels import eventually


class LyingLog:
    """A server's log, whose every answer a test may change; fits `follower.FetchPage`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.lie: Callable[[LogAnswer], LogAnswer] = lambda answer: answer

    async def read_log(self, since: int) -> LogAnswer:
        """The page after a position, and what the test makes of it."""
        statements = tuple(self._world.enterprise.statements)
        head = statements[-1]
        return self.lie(LogAnswer(statements[since + 1 :], head.seq, head.digest()))


@pytest.fixture
def world(private_path: Path) -> World:
    return World(private_path)


async def ask(running: Running) -> str:
    """Ask for a tunnel; the code of its refusal, "" when it was accepted and ended again."""
    _, reply = await running.start()
    await running.service.sessions.close_all(CloseCode.STOPPED, "end of test")
    assert reply.accepted or reply.code in set(Code)
    opened = any(isinstance(event, TunnelIntent) for event in running.world.journal.events)
    assert opened == reply.accepted
    running.world.journal.events.clear()
    return reply.code


async def test_control(world: World) -> None:
    """An honest backend: the tunnel opens, also after every kind of change that is honest."""
    running = await world.service()
    assert await ask(running) == ""

    world.edit(world.record, database("127.0.0.1", 5433))
    world.configure(world.record, world.settings)
    world.enterprise.add_person("carol@acme.example")

    assert await ask(running) == ""


# --- records ---------------------------------------------------------------------------------------


def swap_payload(world: World) -> None:
    other = world.add_record(world.folder, database("10.0.0.66", 5432))
    world.record.version = msgspec.structs.replace(
        world.record.version, payload=other.version.payload
    )


def swap_record_key(world: World) -> None:
    other = world.add_record(world.folder, database("10.0.0.66", 5432))
    world.record.version = msgspec.structs.replace(
        world.record.version, record_key=other.version.record_key
    )


def swap_whole_record(world: World) -> None:
    world.record.version = world.add_record(world.folder, database("10.0.0.66", 5432)).version


def own_record_key(world: World) -> None:
    """The server knows no folder key, so a key of its own opens under none."""
    world.record.version = msgspec.structs.replace(
        world.record.version, record_key=aead.seal(aead.new_key(), aead.new_key())
    )


def own_folder_key(world: World) -> None:
    world.folder_keys[world.folder] = aead.new_key()


def replay_revision(world: World) -> None:
    old = world.record.version
    world.edit(world.record, database("127.0.0.1", 5433))
    world.record.version = old


def replay_settings(world: World) -> None:
    old = world.record.settings
    world.configure(world.record, world.settings)
    world.record.settings = old


def drop_settings(world: World) -> None:
    world.record.settings = None


def swap_settings(world: World) -> None:
    other = world.add_record(world.folder, database("127.0.0.1", 5432))
    world.configure(other, world.settings)
    world.record.settings = other.settings


def swap_settings_payload(world: World) -> None:
    assert world.record.settings is not None
    payload = seal_settings(aead.new_key(), world.record.uid, world.settings)
    world.record.settings = msgspec.structs.replace(world.record.settings, payload=payload)


def forge_by_viewer(world: World) -> None:
    world.edit(world.record, database("10.0.0.66", 5432), author=world.bob)


def forge_settings_by_viewer(world: World) -> None:
    settings = ResourceSettings(
        configuration=world.configuration.uid,
        tunnel=TunnelSettings(enabled=True),
        allow_supply_host=True,
    )
    world.configure(world.record, settings, author=world.bob)


def forge_by_unknown_device(world: World) -> None:
    made_up = Person(
        world.alice.user, world.alice.email, world.alice.identity, world.alice.box,
        device=world.bob.device, device_key=SigningKey.generate(),
    )  # fmt: skip
    made_up.device = type(world.bob.device)(new_uid())
    world.edit(world.record, database("10.0.0.66", 5432), author=made_up)


def forge_with_another_key(world: World) -> None:
    forger = Person(
        world.alice.user, world.alice.email, world.alice.identity, world.alice.box,
        device=world.alice.device, device_key=SigningKey.generate(),
    )  # fmt: skip
    world.edit(world.record, database("10.0.0.66", 5432), author=forger)


def cut_payload(world: World) -> None:
    version = world.record.version
    world.record.version = msgspec.structs.replace(version, payload=version.payload[:-1])


def overlong_payload(world: World) -> None:
    payload = world.record.version.payload + bytes(2 * 1024 * 1024)
    world.record.version = msgspec.structs.replace(world.record.version, payload=payload)


def delete_it(world: World) -> None:
    del world.records[world.record.uid]


def configuration_of_another_record(world: World) -> None:
    """The server hands out another record under the name of the configuration."""
    other = world.add_record(world.folder, RecordData.create("pamNetwork", "Other"))
    world.configure(other, ConfigurationSettings(world.gateway, tunneling="on"))
    world.configuration.version, world.configuration.settings = other.version, other.settings


LIES: dict[str, tuple[Code, Callable[[World], None]]] = {
    "payload of another record": (Code.SEAL_BROKEN, swap_payload),
    "key of another record": (Code.RECORD_TAMPERED, swap_record_key),
    "another record": (Code.SEAL_BROKEN, swap_whole_record),
    "a record key of the server's": (Code.RECORD_TAMPERED, own_record_key),
    "a folder key of the server's": (Code.RECORD_TAMPERED, own_folder_key),
    "settings of another record": (Code.SEAL_BROKEN, swap_settings),
    "settings with another payload": (Code.SEAL_BROKEN, swap_settings_payload),
    "revision of one who may only view": (Code.SEAL_AUTHOR, forge_by_viewer),
    "settings of one who may only view": (Code.SEAL_AUTHOR, forge_settings_by_viewer),
    "revision of a device nobody certified": (Code.SEAL_AUTHOR, forge_by_unknown_device),
    "revision with another signature": (Code.SEAL_BROKEN, forge_with_another_key),
    "payload without its last byte": (Code.SEAL_BROKEN, cut_payload),
    "payload over the limit": (Code.SEAL_BROKEN, overlong_payload),
    "another record as its configuration": (Code.SEAL_BROKEN, configuration_of_another_record),
    "record left out": (Code.RECORD_UNKNOWN, delete_it),
}
LIES_AFTER_A_USE: dict[str, tuple[Code, Callable[[World], None]]] = {
    **LIES,
    # A record that was seen is told from another one by its chain already.
    "another record": (Code.SEAL_REVISION, swap_whole_record),
    "settings of another record": (Code.SEAL_BROKEN, swap_settings),
    "settings left out": (Code.SEAL_REVISION, drop_settings),
    "another record as its configuration": (Code.SEAL_REVISION, configuration_of_another_record),
}


def restore_revisions(world: World, record: int, settings: int) -> None:
    """The client signs for what it has seen itself, whatever the server shows the gateway."""
    world.record.revision, world.record.settings_revision = record, settings


@pytest.mark.parametrize("name", LIES)
async def test_a_lie_about_an_unseen_record_is_named(world: World, name: str) -> None:
    """The gateway uses the record for the first time."""
    code, lie = LIES[name]
    running = await world.service()
    lie(world)
    restore_revisions(world, 1, 1)

    assert await ask(running) == code


@pytest.mark.parametrize("name", LIES_AFTER_A_USE)
async def test_a_lie_about_a_record_in_use_is_named(world: World, name: str) -> None:
    """The gateway has used the record before."""
    code, lie = LIES_AFTER_A_USE[name]
    running = await world.service()
    assert await ask(running) == ""
    lie(world)
    restore_revisions(world, 1, 1)

    assert await ask(running) == code


@pytest.mark.parametrize("lie", [replay_revision, replay_settings])
async def test_an_older_revision_than_the_client_saw_is_named(
    world: World, lie: Callable[[World], None]
) -> None:
    """To a gateway that never saw the newer one it is behind; to one that did, rolled back."""
    running = await world.service()
    lie(world)
    assert await ask(running) == Code.RECORD_BEHIND


def edit_record(world: World) -> StoredRecord:
    world.edit(world.record, database("127.0.0.1", 5432))
    return world.record


def edit_settings(world: World) -> StoredRecord:
    world.configure(world.record, world.settings)
    return world.record


def edit_configuration(world: World) -> StoredRecord:
    world.configure(world.configuration, ConfigurationSettings(world.gateway, tunneling="off"))
    return world.configuration


@pytest.mark.parametrize(
    ("edit", "before"),
    [(edit_record, ""), (edit_settings, ""), (edit_configuration, Code.TUNNELING_OFF)],
)
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_rollback_of_what_the_gateway_saw_is_named(
    world: World, edit: Callable[[World], StoredRecord], before: str, restarted: bool
) -> None:
    """A switch that went off stays off: the pin holds for every client and over a restart."""
    running = await world.service()
    assert await ask(running) == ""
    stored = world.configuration if edit is edit_configuration else world.record
    old = stored.version, stored.settings
    edit(world)
    assert await ask(running) == before

    stored.version, stored.settings = old
    restore_revisions(world, 1, 1)
    if restarted:
        running = await world.service()

    assert await ask(running) == Code.SEAL_REVISION


# --- the log ---------------------------------------------------------------------------------------


def answer_of(statements: list[Statement], *, since: int) -> LogAnswer:
    head = statements[-1]
    return LogAnswer(tuple(statements[since + 1 :]), head.seq, head.digest())


def forged(world: World, body: object, signer: str, key: SigningKey) -> LogAnswer:
    """The whole log and one statement more."""
    statement = world.enterprise.sign(body, signer, key)  # type: ignore[arg-type]  # any body
    return LogAnswer((statement,), statement.seq, statement.digest())


def own_gateway(world: World) -> LogAnswer:
    """A gateway of the server's, in the name of the administrator who never signed it."""
    body = Gateway(
        GatewayUid(new_uid()), world.application, "", "C" * 88,
        SigningKey.generate().public.raw, BoxPrivateKey.generate().public.raw,
        b"\x04" + bytes(64),
    )  # fmt: skip
    return forged(world, body, world.alice.user, SigningKey.generate())


def same_gateway_with_own_keys(world: World) -> LogAnswer:
    """The enrolled gateway once more, even properly signed by one who may: a UID is taken once."""
    body = Gateway(
        world.gateway, world.application, "", "C" * 88, SigningKey.generate().public.raw,
        BoxPrivateKey.generate().public.raw, b"\x04" + bytes(64),
    )  # fmt: skip
    return forged(world, body, world.alice.user, world.alice.identity)


def other_enterprise(world: World) -> LogAnswer:
    return answer_of(Enterprise().statements, since=world.enterprise.state.seq)


def fork(world: World) -> LogAnswer:
    """As long as the one seen, and with another last statement."""
    log = world.enterprise.statements
    last = msgspec.structs.replace(log[-1], time=log[-1].time + 1)
    return LogAnswer((), last.seq, last.digest())


NEW_LIES: dict[str, Callable[[World], LogAnswer]] = {
    "a shorter log": lambda w: answer_of(w.enterprise.statements[:-2], since=10_000),
    "another head": fork,
    "another enterprise": other_enterprise,
    "a role for one who asked nobody": lambda w: forged(
        w, Membership(w.enterprise.role, w.bob.user), w.alice.user, SigningKey.generate()
    ),
    "a role that its user signed": lambda w: forged(
        w, Membership(w.enterprise.role, w.bob.user), w.bob.user, w.bob.identity
    ),
    "a revoke that nobody signed": lambda w: forged(
        w, Revoke(Kind.DEVICE, w.bob.device, ""), w.alice.user, SigningKey.generate()
    ),
    "a gateway of the server's": own_gateway,
    "the gateway with other keys": same_gateway_with_own_keys,
    "an answer to another question": lambda w: answer_of(w.enterprise.statements, since=3),
    "a gap": lambda w: LogAnswer(
        (w.enterprise.sign(Membership(w.launchers, w.alice.user), w.alice.user, w.alice.identity),),
        w.enterprise.state.seq + 1,
        bytes(32),
    ),
}


@pytest.mark.parametrize("name", NEW_LIES)
async def test_a_lie_about_the_log_ends_all_trust(world: World, name: str) -> None:
    """From the first contradiction on every command is refused, and a gateway says so loudly."""
    log = LyingLog(world)
    world.server.read_log = log.read_log  # type: ignore[method-assign]  # the lie of this test
    running = await world.service()
    assert await ask(running) == ""

    lie = NEW_LIES[name](world)
    log.lie = lambda answer: lie
    with pytest.raises(Refused) as caught:
        await running.follower.catch_up()

    assert caught.value.code == Code.LOG_FORKED
    assert await ask(running) == Code.LOG_FORKED
    log.lie = lambda answer: answer
    assert await ask(running) == Code.LOG_FORKED
    # Started again with an honest server, it goes on from what it pinned.
    assert await ask(await world.service()) == ""


async def test_an_honest_new_statement_is_taken(world: World) -> None:
    """The control: the same way, a statement that its signer may make."""
    running = await world.service()
    world.enterprise.add_member(world.launchers, world.alice)

    await running.follower.catch_up()

    assert await ask(running) == ""


async def test_a_page_that_lacks_its_end_is_behind(world: World) -> None:
    """A server that keeps back what the device saw gets log-behind, and nothing is opened."""
    log = LyingLog(world)
    world.server.read_log = log.read_log  # type: ignore[method-assign]  # the lie of this test
    running = await world.service()
    world.enterprise.add_member(world.launchers, world.alice)
    world.enterprise.share(world.alice, world.folder, world.bob.user, Right.VIEW, Right.EDIT)
    last = world.enterprise.state.seq
    log.lie = lambda answer: msgspec.structs.replace(
        answer, statements=tuple(s for s in answer.statements if s.seq < last)
    )

    assert await ask(running) == Code.LOG_BEHIND


async def test_two_commands_of_one_conversation_open_one_tunnel(world: World) -> None:
    """
    Also when both wait for the disk at the same moment: a device that names its conversation
    twice gets one tunnel, and the second command the code of a repetition.
    """
    running = await world.service()
    gate, write = asyncio.Event(), world.journal.write

    arrived: list[object] = []

    async def slow_write(event: object) -> None:
        arrived.append(event)
        await gate.wait()
        await write(event)  # type: ignore[arg-type]  # handed on as it came

    running.service._write = slow_write
    first = world.command()
    command = msgspec.structs.replace(first.command, nonce=bytes(16))
    second = world.deliver(command, world.bob.device_key, world.bob.device)
    both = asyncio.gather(*(running.service.handle(m) for m in (first.message, second)))
    await eventually(
        lambda: len(arrived) + running.service.counters.total() == 2, "both commands at the disk"
    )
    gate.set()
    await both

    assert running.service.counters == {"accepted": 1, str(Code.COMMAND_REPLAYED): 1}
    assert len(running.service.sessions) == 1
    await running.service.sessions.close_all(CloseCode.STOPPED, "end of test")
