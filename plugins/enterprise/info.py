"""`enterprise-info`: users, roles, devices, applications, gateways, as the authority log has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from commander.authority.statements import root_fingerprint
from commander.crypto.encoding import to_base64url
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Document, Plain, Table
from commander.vault.session import Vault
from plugins.enterprise.roles import ROLE_COLUMNS, role_values
from plugins.enterprise.users import USER_COLUMNS, user_values
from plugins.pam.gateway.known import list_gateways

_DEVICE_COLUMNS = (
    Column("device_name", "Device"),
    Column("device_uid", "Device UID"),
    Column("email", "User"),
    Column("user_uid", "User UID", detail=True),
)
_APPLICATION_COLUMNS = (
    Column("app_name", "Application"),
    Column("app_uid", "App UID"),
    Column("owner"),
    Column("folders"),
    Column("gateways"),
)
_GATEWAY_COLUMNS = (
    Column("gateway_name", "Gateway"),
    Column("gateway_uid", "Gateway UID"),
    Column("status"),
    Column("ksm_app_name", "Application"),
    Column("ksm_app_uid", "Application UID", detail=True),
)


async def enterprise_info(context: Context, arguments: Arguments) -> Table | Document:
    """A table of what a flag names, its rows filtered by a text; the whole in numbers without."""
    vault = context.vault
    await vault.refresh()
    pattern = arguments.text_or_none("pattern")
    if arguments.flag("users"):
        rows = [user_values(vault, user) for user in vault.people.users()]
        return _table(USER_COLUMNS, rows, pattern)
    if arguments.flag("roles"):
        rows = [role_values(vault, role) for role in vault.people.roles()]
        return _table(ROLE_COLUMNS, rows, pattern)
    if arguments.flag("devices"):
        return _table(_DEVICE_COLUMNS, _devices(vault), pattern)
    if arguments.flag("applications"):
        return _table(_APPLICATION_COLUMNS, _applications(vault), pattern)
    if arguments.flag("gateways"):
        return _table(_GATEWAY_COLUMNS, await _gateways(context), pattern)
    return _summary(vault)


def _table(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Plain]], pattern: str | None
) -> Table:
    if pattern:
        folded = pattern.casefold()
        rows = [row for row in rows if any(folded in str(v).casefold() for v in row.values())]
    return Table(columns, rows, empty="Nothing fits." if pattern else "There are none.")


def _devices(vault: Vault) -> list[dict[str, Plain]]:
    found: list[dict[str, Plain]] = [
        {
            "device_name": device.name,
            "device_uid": device.device,
            "email": vault.people.email_of(device.user),
            "user_uid": device.user,
        }
        for device in vault.state.devices.values()
    ]
    return sorted(found, key=lambda row: (str(row["email"]), str(row["device_name"])))


def _applications(vault: Vault) -> list[dict[str, Plain]]:
    titles = {str(app.uid): app.title for app in vault.applications.all()}
    gateways = [gateway.application for gateway in vault.state.gateways.values()]
    found: list[dict[str, Plain]] = [
        {
            "app_name": titles.get(app.application, ""),
            "app_uid": app.application,
            "owner": vault.people.email_of(app.owner),
            "folders": len(vault.applications.folders_of(app.application)),
            "gateways": gateways.count(app.application),
        }
        for app in vault.state.applications.values()
    ]
    return sorted(found, key=lambda row: (str(row["app_name"]).casefold(), str(row["app_uid"])))


async def _gateways(context: Context) -> list[dict[str, Plain]]:
    return [
        {
            "gateway_name": gateway.name,
            "gateway_uid": gateway.uid,
            "status": str(gateway.status),
            "ksm_app_name": gateway.application_title,
            "ksm_app_uid": gateway.application,
        }
        for gateway in await list_gateways(context)
    ]


def _summary(vault: Vault) -> Document:
    state = vault.state
    genesis = state.genesis
    assert genesis is not None, "a vault without an enterprise never opens"
    users = list(state.users.values())
    return Document(
        {
            "enterprise_name": genesis.name,
            "enterprise_uid": genesis.enterprise,
            "root_fingerprint": to_base64url(root_fingerprint(genesis.root_key)),
            "log_position": state.seq,
            "user_count": len(users),
            "administrators": sorted(
                user.email for user in users if vault.people.is_administrator(user.user)
            ),
            "role_count": len(list(state.roles.values())),
            "device_count": len(list(state.devices.values())),
            "application_count": len(list(state.applications.values())),
            "gateway_count": len(list(state.gateways.values())),
        },
        title=f"Enterprise {genesis.name}",
    )
