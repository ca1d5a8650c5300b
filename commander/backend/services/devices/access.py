"""Who a Secrets Manager device is, and whether it may be served now."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from commander.authority.decide import Action, Allow, decide
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.authority.statements import client_uid
from commander.backend.core import Core
from commander.backend.storage import clients
from commander.backend.storage.clients import StoredClient
from commander.errors import NotFound, Refused, SealBroken
from commander.ksm import base64_text
from commander.ksm.keys import P256PublicKey
from commander.ksm.request import OpenedRequest


async def admit(
    core: Core, opened: OpenedRequest, client_id: bytes, *, address: str
) -> StoredClient:
    """
    The bound client that signed a request, when it may be served now.

    Raises SealBroken, NotFound or Refused; a stranger is told none of the differences.
    """
    client = await find(core, client_id)
    if not client.is_bound:
        raise SealBroken
    opened.verify_signature(P256PublicKey(client.public_key))
    await check_use(core, client, address)
    return client


async def find(core: Core, client_id: bytes) -> StoredClient:
    """The client of this id, not verified. Raises NotFound, Refused."""
    text = base64_text.to_standard(client_id)
    core.guards.devices.check(text, core.clock.now())
    client = await core.shelf.client(text)
    if client is None:
        raise NotFound("unknown client")
    check_stated(core.state, client)
    return client


def check_stated(state: State, client: StoredClient) -> None:
    """Raise NotFound or Refused unless the log lets this client of the store be one."""
    if state.applications.get(client.application) is None:
        raise NotFound("unknown application")
    if client.kind == "gateway":
        # A gateway is what the log certifies: revoked there, it reads nothing here, and its
        # token binds nothing here.
        stated = any(
            gateway.client_id == client.client_id and gateway.ksm_key == client.public_key
            for gateway in state.gateways.values()
        )
    else:
        uid = client_uid(client.client_id)
        found = state.clients.get(uid)
        confirmed = found.ksm_key if found else b""
        stated = not state.clients.known(uid) or (
            found is not None
            and found.application == client.application
            and confirmed in (b"", client.public_key)
        )
    if not stated:
        raise Refused("the device is not in the log with this key", code=Code.DEVICE_REVOKED)


async def check_use(core: Core, client: StoredClient, address: str, *, binds: bool = False) -> None:
    """Check time and address of a bound device, and note its access."""
    check_time_and_place(client, address, now=core.now())
    if binds:
        return
    chooses_address = client.ip_lock and not client.address
    if client.app_key or chooses_address:
        await _settle(core, client, address, chooses_address=chooses_address)
    else:
        core.accesses.note(
            client.client_id, address=address, last=client.last_access, now=core.now()
        )


async def _settle(core: Core, client: StoredClient, address: str, *, chooses_address: bool) -> None:
    """Write the first use before it is answered: it ends the token, or chooses the address."""
    try:
        async with core.database.transaction() as transaction:
            is_settled = await clients.settle(
                transaction.connection, client.client_id, address=address, now=core.now()
            )
    except Refused as error:
        # A full disk must not keep devices from reading, but an address that can't be
        # remembered would lock nobody out.
        if error.code != Code.STORE_UNAVAILABLE or chooses_address:
            raise
        return
    if not is_settled:
        raise _elsewhere()


def _elsewhere() -> Refused:
    return Refused("the client is locked to another address", code=Code.TOKEN_ADDRESS)


def check_time_and_place(client: StoredClient, address: str, *, now: int) -> None:
    """Raise Refused when a client's access has ended or is from another address."""
    if client.access_expires and now >= client.access_expires:
        raise Refused("the client's access has ended", code=Code.ACCESS_EXPIRED)
    if client.ip_lock and client.address not in ("", address):
        raise _elsewhere()


async def still_there(connection: AsyncConnection, client: StoredClient) -> None:
    """Raise NotFound when a client was removed since it was admitted."""
    found = await clients.find(connection, client.client_id)
    if found is None or found.public_key != client.public_key:
        raise NotFound("unknown client")


def visible_folders(state: State, application: str, *, now: float) -> dict[str, bool]:
    """The folders an application may read, each with whether it may edit there."""
    found = {}
    for access in state.folders_of(application):
        folder = str(access.folder)
        if may(state, application, Action.VIEW, folder, now=now):
            found[folder] = may(state, application, Action.EDIT, folder, now=now)
    return found


def may(state: State, application: str, action: Action, folder: str, *, now: float) -> bool:
    """Tell whether an application may do something in a folder."""
    return isinstance(decide(state, application, action, folder, now=now), Allow)
