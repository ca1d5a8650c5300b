"""`clients`: the clients of an application, for its owner."""

from __future__ import annotations

from commander.authority.decide import Action, decide
from commander.authority.refusals import Code
from commander.backend.core import Caller, Core
from commander.backend.storage import clients
from commander.errors import Refused
from commander.wire.calls import ClientsAnswer, ClientsRequest


async def list_clients(core: Core, caller: Caller, request: ClientsRequest) -> ClientsAnswer:
    """
    All clients of the application.

    Raises Refused; an application of another user answers like one that does not exist.
    """
    decision = decide(
        core.state, caller.principal, Action.MANAGE_APPLICATION, request.application, now=core.now()
    )
    if getattr(decision, "code", None) is Code.NOT_OWNER:
        raise Refused("application is not known", code=Code.OBJECT_UNKNOWN)
    decision.enforce()
    await core.accesses.flush()
    async with core.database.reading() as connection:
        found = await clients.of_application(connection, request.application)
    return ClientsAnswer(tuple(client.row() for client in found))
