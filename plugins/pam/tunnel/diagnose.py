"""`pam tunnel diagnose`: every check from this machine to the target, and what to do about each failure."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack

from commander.diagnosis.network import Place, ServerNetwork
from commander.diagnosis.report import Finding, State, as_text, exit_code, soften
from commander.diagnosis.steps import Runner, Step
from commander.errors import CommanderError
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Document, Exited, Plain, Result
from commander.vault.device import read_device
from commander.wire.known_server import normal_address
from plugins.pam.tunnel.diagnose_access import Access
from plugins.pam.tunnel.diagnose_path import PROBE, Paths
from plugins.pam.tunnel.diagnose_relays import Relays


async def diagnose(context: Context, arguments: Arguments) -> Result:
    """
    Run the checks and show them all.

    The exit code is that of the worst failure: what cannot be reached comes before what is not
    allowed, and that before what is missing.
    """
    record = arguments.text_or_none("record") or ""

    def tell(found: Finding) -> None:
        context.console.progress(f"{found.title}: {found.state}")

    runner = Runner(timeout_s=arguments.integer("timeout"), tell=tell)
    place = find_place(context)
    async with AsyncExitStack() as stack:
        access = Access(context, record)
        paths = Paths(context, access, stack)
        await runner.run(access.first_steps())
        await runner.run(_network_steps(context, place))
        await runner.run(access.session_steps())
        await runner.run(paths.server_steps())
        await runner.run(Relays(context).steps())
        if record:
            await runner.run(access.record_steps())
            await runner.run(paths.gateway_steps())
            await runner.run(paths.probe_steps())
    return _result(soften(runner.findings, PROBE), place.address if place else "", record)


def find_place(context: Context) -> Place | None:
    """Where the server is: what `--server` says, else what this machine is registered with."""
    try:
        server = read_device(context.paths.device_file).server
    except CommanderError:
        return Place(normal_address(context.server)) if context.server else None
    wanted = normal_address(context.server) if context.server else server.address
    if wanted != server.address:
        return Place(wanted)
    return Place(server.address, server.ca, server.server)


def _network_steps(context: Context, place: Place | None) -> list[Step]:
    if place is None:
        return []
    return ServerNetwork(place, os.environ, context.clock).steps()


def _result(findings: list[Finding], server: str, record: str) -> Result:
    code = exit_code(findings)
    values: dict[str, Plain] = {
        "record": record,
        "server": server,
        "state": str(State.FAIL if code else State.OK),
        "exit_code": code,
        "checks": [found.as_json() for found in findings],
    }
    document = Document(values, text=as_text(findings))
    return Exited(code, document) if code else document
