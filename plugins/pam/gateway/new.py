"""`pam gateway new`: a join string for a gateway that makes its own keys, or keys made here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from commander.authority.statements import Gateway
from commander.crypto.box import BoxPrivateKey, BoxPublicKey
from commander.crypto.signing import SigningKey
from commander.errors import Conflict, UsageError
from commander.ids import GatewayUid, new_uid
from commander.ksm.config import DeviceConfig, GatewayConfig, GatewayIdentity
from commander.ksm.keys import P256PrivateKey, P256PublicKey
from commander.ksm.token import OneTimeToken
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Document, Plain, Result, Shape, Unchanged
from commander.vault.applications import BoundClient, text_client_id
from commander.vault.replica import OpenApplication
from commander.vault.session import Vault
from commander.wire.calls import ServerInfo
from commander.wire.join import Join, write_join
from plugins.account.joining import ca_fingerprint, check_new_file, write_new_file
from plugins.pam.gateway.known import ListedGateway, Status, list_gateways
from plugins.secrets_manager.server_keys import server_info


@dataclass(frozen=True)
class MadeGateway:
    """A gateway whose keys were made here: what is entered, and the configuration handed over."""

    client: BoundClient
    config: GatewayConfig = field(repr=False)


async def new(context: Context, arguments: Arguments) -> Result:
    """Make a gateway; names are unique, so that they can stand for UIDs."""
    vault = context.vault
    _check_flags(arguments)
    await vault.refresh()
    application = vault.applications.find(arguments.text("application"))
    name = arguments.text("name")
    same = [gateway for gateway in await list_gateways(context) if gateway.name == name]
    live = [gateway for gateway in same if gateway.status is not Status.EXPIRED]
    if live:
        return _existing(live[0], application, if_missing=arguments.flag("if_missing"))
    _check_files(arguments)
    if same:
        # A token that nobody used in time makes room for the new one.
        await vault.applications.remove_clients({g.client_id: g.voucher for g in same})
    if arguments.text_or_none("config_init"):
        return await _configured(context, arguments, application, name)
    return await _joining(context, arguments, application, name)


def _check_flags(arguments: Arguments) -> None:
    join, config = arguments.text_or_none("join_file"), arguments.text_or_none("config_file")
    if join and arguments.text_or_none("config_init"):
        raise UsageError("a configuration has no join string", hint="use --config-file")
    if config and not arguments.text_or_none("config_init"):
        raise UsageError("--config-file needs --config-init json or b64")


def _check_files(arguments: Arguments) -> None:
    """Find out before anything is made whether the file can be written."""
    for flag in ("join_file", "config_file"):
        if path := arguments.text_or_none(flag):
            check_new_file(Path(path))


def _existing(known: ListedGateway, application: OpenApplication, *, if_missing: bool) -> Unchanged:
    if not if_missing:
        hint = "choose another name, or --if-missing"
        if known.status is Status.PENDING:
            hint = f"its join string was not used yet; pam gateway remove -g {known.name!r} ends it"
        raise Conflict(f"gateway {known.name!r} exists already", hint=hint)
    if known.application != application.uid:
        raise Conflict(
            f"gateway {known.name!r} exists with application {known.application_title!r}, "
            f"not {application.title!r}",
            hint="choose another name",
        )
    return Unchanged(
        f"Gateway {known.name!r} exists already ({known.status}).",
        {
            "gateway_name": known.name,
            "gateway_uid": known.uid,
            "app_uid": known.application,
            "gateway_status": str(known.status),
        },
    )


async def _joining(
    context: Context, arguments: Arguments, application: OpenApplication, name: str
) -> Document:
    vault, minutes = context.vault, arguments.integer("token_expires_in_min")
    made = await vault.applications.add_gateway(application.uid, name, minutes=minutes)
    device = vault.login.device
    join = write_join(
        Join(
            "gateway", device.server.address, made.token.raw(), device.root,
            ca_fingerprint(device.server),
        )
    )  # fmt: skip
    values: dict[str, Plain] = {
        "gateway_name": name,
        "app_uid": application.uid,
        "app_name": application.title,
        "expires": made.expires,
    }
    said = f"Gateway {name!r} of application {application.title!r} can join for {minutes} minutes"
    path = arguments.text_or_none("join_file")
    if path is not None:
        write_new_file(Path(path), join)
        values["join_file"] = path
        values["gateway_command"] = f"gateway start --join-file {path}"
        lines = [f"{said}; its join string is in {path}."]
    else:
        values["join"] = join
        values["gateway_command"] = f"gateway start --join {join}"
        rule = "-" * 72
        lines = [f"{said}. This is shown once:", rule, join, rule]
    lines += ["Start it where the targets can be reached:", f"  {values['gateway_command']}"]
    return Document(values, text="\n".join(lines), shapes={"expires": Shape.TIME})


async def _configured(
    context: Context, arguments: Arguments, application: OpenApplication, name: str
) -> Document:
    vault = context.vault
    made = make_gateway(vault, application, name, await server_info(context))
    is_json = arguments.text("config_init") == "json"
    # Written before anything is entered: a configuration that has no form is not made.
    text = made.config.to_json() if is_json else made.config.to_base64()
    await vault.applications.add_bound_clients(application.uid, [made.client])
    gateway = made.config.identity.gateway
    context.variables.set("last_gateway_uid", gateway)
    values: dict[str, Plain] = {
        "gateway_name": name,
        "gateway_uid": gateway,
        "app_uid": application.uid,
        "app_name": application.title,
    }
    path = arguments.text_or_none("config_file")
    if path is not None:
        write_new_file(Path(path), text)
        values["config_file"] = path
        return Document(values, text=f"The configuration of gateway {name!r} is in {path}.")
    context.console.notice(f"configuration of gateway {name!r} ({gateway}): this is shown once")
    return Document({**values, "config": text}, text=text)


def make_gateway(
    vault: Vault, application: OpenApplication, name: str, info: ServerInfo
) -> MadeGateway:
    """Make all keys of a gateway, and the certificate this user signs for it."""
    device = vault.login.device
    # A client id is what a token would give; nobody keeps this token.
    token = OneTimeToken.generate()
    key, signing, box = P256PrivateKey.generate(), SigningKey.generate(), BoxPrivateKey.generate()
    statement = Gateway(
        gateway=GatewayUid(new_uid()),
        application=application.uid,
        voucher="",
        client_id=text_client_id(token),
        sign_key=signing.public.raw,
        box_key=box.public.raw,
        ksm_key=key.public.raw,
    )
    config = GatewayConfig(
        DeviceConfig(
            hostname=device.server.address,
            client_id=token.client_id,
            server_key_id=info.ksm_key_id,
            server_public_key=P256PublicKey(info.ksm_key),
            private_key=key,
            app_key=application.key,
        ),
        GatewayIdentity(
            gateway=statement.gateway,
            application=application.uid,
            signing_key=signing,
            box_key=box,
            server_box_key=BoxPublicKey(device.server.box_key),
            root_fingerprint=device.root,
            ca_pem=device.server.ca,
        ),
    )
    client = BoundClient(name, statement.client_id, key.public.raw, statement)
    return MadeGateway(client, config)
