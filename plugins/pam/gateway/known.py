"""Gateways by UID or name: those that are certified, and tokens that wait for theirs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from commander.errors import Conflict, NotFound, Refused
from commander.plugin.context import Context
from commander.vault.applications import Client
from commander.vault.session import Vault
from commander.wire import calls


class Status(StrEnum):
    """What is known of a gateway now; `unknown`: the server does not speak of it."""

    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    PENDING = "pending"  # its token was not used yet
    EXPIRED = "expired"  # its token was not used in time


@dataclass(frozen=True)
class ListedGateway:
    """
    A gateway, or a token for one (`uid` "").

    `name`, `application_title` and times are empty for gateways of applications that this user
    cannot open: an administrator sees that they are there.
    """

    uid: str
    name: str
    application: str
    application_title: str
    status: Status
    client_id: str = ""
    voucher: str = ""
    version: str = ""
    address: str = ""
    connected_at: int = 0
    created: int = 0
    token_expires: int = 0

    @property
    def label(self) -> str:
        """What people are told: the name, or the UID."""
        return self.name or self.uid


@dataclass
class GatewayNames:
    """Names seen in this process, for completion, which must not ask the server."""

    names: set[str] = field(default_factory=set)


async def list_gateways(context: Context) -> list[ListedGateway]:
    """All that this user may see, by name. Raises Unreachable, Refused."""
    vault = context.vault
    answer = await vault.remote.call(calls.GATEWAYS, calls.Empty())
    rows = {row.gateway: row for row in answer.gateways}
    found: list[ListedGateway] = []
    for application in vault.applications.all():
        found += await _of_application(vault, application.uid, application.title, rows)
    seen = {gateway.uid for gateway in found}
    for certified in vault.state.gateways.values():
        row = rows.get(certified.gateway)
        if row is not None and certified.gateway not in seen:
            found.append(_certified(row, certified.gateway, certified.application, "", None))
    names = {gateway.name for gateway in found if gateway.name}
    context.shared(GatewayNames, GatewayNames).names = names
    return sorted(found, key=lambda gateway: (gateway.name.casefold(), gateway.uid))


async def _of_application(
    vault: Vault, uid: str, title: str, rows: dict[str, calls.GatewayRow]
) -> list[ListedGateway]:
    try:
        clients = await vault.applications.clients(uid)
    except Refused:
        clients = []  # without the policy gateways are shown without their names
    by_id = {client.row.client_id: client for client in clients}
    certified = [g for g in vault.state.gateways.values() if g.application == uid]
    found = [
        _certified(rows.get(g.gateway), g.gateway, uid, title, by_id.get(g.client_id))
        for g in certified
    ]
    enrolled = {g.client_id for g in certified}
    for client in clients:
        if client.row.kind == "gateway" and client.row.client_id not in enrolled:
            found.append(_waiting(client, title, vault.now))
    return found


def _certified(
    row: calls.GatewayRow | None, uid: str, application: str, title: str, client: Client | None
) -> ListedGateway:
    status = Status.UNKNOWN
    if row is not None:
        status = Status.ONLINE if row.online else Status.OFFLINE
    return ListedGateway(
        uid=uid,
        name=client.name if client else "",
        application=application,
        application_title=title,
        status=status,
        client_id=client.row.client_id if client else "",
        voucher=client.row.voucher if client else "",
        version=row.version if row else "",
        address=row.address if row else "",
        connected_at=row.connected_at if row else 0,
        created=client.row.created if client else 0,
    )


def _waiting(client: Client, title: str, now: float) -> ListedGateway:
    row = client.row
    return ListedGateway(
        uid="",
        name=client.name,
        application=row.application,
        application_title=title,
        status=Status.PENDING if row.token_expires > now else Status.EXPIRED,
        client_id=row.client_id,
        voucher=row.voucher,
        created=row.created,
        token_expires=row.token_expires,
    )


def choose_gateway(text: str, gateways: list[ListedGateway]) -> ListedGateway:
    """One by UID or name. Raises NotFound, Conflict listing the candidates."""
    found = [g for g in gateways if text in (g.uid, g.name)]
    if not found:
        folded = text.casefold()
        found = [g for g in gateways if g.name.casefold() == folded]
    if not found or not text:
        raise NotFound(f"no gateway {text[:80]!r}", hint="pam gateway list shows them")
    if len(found) > 1:
        shown = ", ".join(
            f"{g.name} of {g.application_title} ({g.uid or g.status})" for g in found[:10]
        )
        raise Conflict(f"{text[:80]!r} names {len(found)} gateways: {shown}", hint="use the UID")
    return found[0]


async def find_gateway(context: Context, text: str) -> ListedGateway:
    """A gateway or a token that waits for one. Raises NotFound, Conflict."""
    return choose_gateway(text, await list_gateways(context))


async def find_enrolled(context: Context, text: str) -> ListedGateway:
    """A certified gateway. Raises NotFound also for one that was never started."""
    found = await find_gateway(context, text)
    if not found.uid:
        raise NotFound(
            f"gateway {found.name!r} has not been started yet, so it has no UID",
            hint="start it with its join string first",
        )
    return found


def gateway_candidates(context: Context) -> Iterable[str]:
    """Names seen in this session, and UIDs, for completion."""
    if not context.is_logged_in:
        return ()
    names = context.shared(GatewayNames, GatewayNames).names
    return [*sorted(names), *(str(g.gateway) for g in context.vault.state.gateways.values())]
