"""The administrator's commands against a real backend: HTTPS, SQLite, every check of the server."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from keeper_secrets_manager_core import SecretsManager  # type: ignore[import-untyped]
from keeper_secrets_manager_core.storage import (  # type: ignore[import-untyped]
    InMemoryKeyValueStorage,
)
from sqlalchemy import delete

from commander.audit.chain import ChainWriter
from commander.audit.events import LogHeadChanged
from commander.backend.storage import audit as stored_audit
from commander.backend.storage import tables
from commander.config.paths import Paths
from commander.ksm.config import GatewayConfig
from commander.plugin.results import Document, Exited, Unchanged
from commander.plugin.testing import FakeContext, run_command
from commander.shell.output.machine import render_json
from commander.shell.output.render import shown_part
from commander.wire import calls
from commander.wire.records import RecordData
from plugins.audit import plugin as audit
from plugins.enterprise import plugin as enterprise
from plugins.pam.config import plugin as configurations
from plugins.pam.gateway import plugin as gateways
from plugins.secrets_manager import plugin as secrets_manager
from plugins.sharing import plugin as sharing
from tests.support.backend_server import BackendServer, Person, refused, running

pytestmark = pytest.mark.integration
_PLUGINS = {
    "audit": audit, "audit-log": audit, "enterprise-role": enterprise,
    "enterprise-user": enterprise, "share-folder": sharing, "sm": secrets_manager,
}  # fmt: skip


@dataclass
class Shell:
    """Runs lines as one person."""

    server: BackendServer
    person: Person
    context: FakeContext

    async def run(self, line: str) -> Any:
        """A line's result."""
        words = line.split()
        plugin = _PLUGINS.get(words[0])
        if plugin is None:
            plugin = gateways if words[1] == "gateway" else configurations
        return await run_command(plugin, line, self.context)

    async def json(self, line: str) -> Any:
        """What --format json prints of it."""
        shown = shown_part(await self.run(line))
        assert shown is not None
        return json.loads(render_json(shown))


@pytest.fixture
async def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shell]:
    """An administrator of a new server, whose folder Infra is shared with application CI."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    tmp_path.chmod(0o700)
    async with running(tmp_path) as server:
        person = await server.set_up()
        paths = Paths(home=tmp_path / "home", runtime=tmp_path / "run")
        context = FakeContext(open_vault=person.vault, clock=server.clock, paths=paths)
        shell = Shell(server, person, context)
        folder = await person.vault.create_shared_folder("Infra")
        data = RecordData.create("login", "Mail")
        data.set_first("login", "bob")
        await person.vault.create_record(data, folder.uid)
        await shell.run("sm app create CI")
        await shell.run("sm share add --app CI --secret Infra")
        yield shell


async def test_the_official_sdk_reads_by_the_configuration_we_issue(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journey: a configuration is printed once, and an unmodified SDK reads the shared record."""
    made = await shell.run("sm client add --app CI --name build --config-init b64")
    assert isinstance(made, Document)
    ca = tmp_path / "authority.pem"
    ca.write_text(shell.server.known.ca)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca))

    def read() -> list[tuple[str, str]]:
        sdk = SecretsManager(config=InMemoryKeyValueStorage(made.text))
        return [(found.title, found.field("login", single=True)) for found in sdk.get_secrets()]

    assert await asyncio.to_thread(read) == [("Mail", "bob")]
    (row,) = await shell.json("sm client list --app CI")
    assert (row["client_name"], row["status"], row["address"]) == ("build", "bound", "127.0.0.1")


async def test_many_clients_are_made_and_removed_at_once(shell: Shell) -> None:
    """The server takes 500 in one transaction and forgets them in another."""
    made = await shell.json("sm client add --app CI --name job --count 500 --unlock-ip")
    assert len(made["clients"]) == 500

    removed = await shell.json("sm client remove --app CI -i * -f")
    assert len(removed["removed"]) == 500
    assert await shell.json("sm client list --app CI") == []


async def test_gateway_and_configuration_survive_a_second_run(shell: Shell) -> None:
    """Certified at once, bound to a network, and unchanged when the file of commands runs again."""
    lines = [
        "sm app create CI --if-missing",
        "pam gateway new -n Berlin -a CI -c b64 --if-missing",
        "pam config new -t Net -g Berlin -sf Infra --tunneling on --if-missing",
        "enterprise-role Dev --add --enforcement ALLOW_LAUNCH_PAM_TUNNELS:true --if-missing",
        "enterprise-role Dev -au ann@example.org",
    ]
    for line in lines:
        await shell.run(line)
    head = shell.server.core.state.seq

    for line in lines:
        assert isinstance(await shell.run(line), Unchanged)

    assert shell.server.core.state.seq == head
    (row,) = await shell.json("pam gateway list")
    assert (row["gateway_name"], row["status"]) == ("Berlin", "offline")
    await shell.run("pam gateway remove -g Berlin -f")
    assert await shell.json("pam gateway list") == []


async def test_a_join_string_that_waits_can_be_taken_back(shell: Shell) -> None:
    """Client and voucher go in one transaction, and another of that name can be made."""
    await shell.run("pam gateway new -n Berlin -a CI")

    await shell.run("pam gateway remove -g Berlin -f")
    again = await shell.json("pam gateway new -n Berlin -a CI")
    assert again["join"].startswith("join1.")


async def test_shares_end_and_roles_are_taken_by_the_server(shell: Shell) -> None:
    """What the commands state is what the server enforces on the other user."""
    bob = await shell.server.add_person(shell.person, "bob@example.org")
    await shell.person.vault.sync()
    await shell.run("share-folder Infra -e bob@example.org --expire-in 8h")
    await bob.vault.sync()
    assert bob.vault.find_record("Mail").data.text("login") == "bob"
    with refused("not-administrator"):
        await bob.call(calls.AUDIT_READ, calls.AuditRead(0, 0, 0, "", "", "", "", 10))

    await shell.run("enterprise-user bob@example.org --delete -f")
    with refused("user-revoked"):
        await bob.vault.sync()


async def test_the_audit_log_is_shown_and_proved(shell: Shell) -> None:
    """Events of server and gateway by name; one row taken out of the store is named."""
    made = await shell.run("pam gateway new -n Berlin -a CI -c b64")
    identity = GatewayConfig.parse(made.text).identity
    writer = ChainWriter(identity.gateway, identity.signing_key)
    entries = [
        writer.seal(LogHeadChanged(n, b"", 0, 0), time_ms=1_800_000_000_000) for n in range(4)
    ]
    async with shell.server.core.database.transaction() as transaction:
        await stored_audit.add(transaction.connection, entries)

    rows = await shell.json("audit-log --producer Berlin")
    assert [(row["producer"], row["sequence"], row["signature"]) for row in rows] == [
        ("gateway Berlin", number, "valid") for number in (1, 2, 3, 4)
    ]
    assert (await shell.json("audit-log --producer server"))[0]["event"] == "setup-consumed"
    assert (await shell.json("audit verify"))["sound"]

    async with shell.server.core.database.transaction() as transaction:
        await transaction.connection.execute(
            delete(tables.audit).where(
                tables.audit.c.producer == identity.gateway, tables.audit.c.sequence == 2
            )
        )
    result = await shell.run("audit verify")
    assert isinstance(result, Exited)
    assert result.code == 1
    assert isinstance(result.result, Document)
    assert result.result.values["problems"] == [
        {"producer_uid": identity.gateway, "producer": "gateway Berlin", "finding": "missing",
         "first_sequence": 2, "last_sequence": 2}
    ]  # fmt: skip
