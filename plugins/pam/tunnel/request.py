"""From a record's name to what a tunnel needs: settings, configuration, gateway, keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from commander.errors import CommanderError, NotAllowed, NotFound, UsageError
from commander.hosting.conversation import ALL_KINDS, Position, TunnelRequest
from commander.ids import FolderUid
from commander.plugin.context import Context
from commander.vault.opening import tunnel_seed
from commander.vault.replica import OpenRecord
from commander.vault.session import Vault
from commander.wire.commands import TunnelParameters
from commander.wire.pam import ConfigurationSettings, ResourceSettings

RESOURCE_TYPES = ("pamMachine", "pamDatabase", "pamDirectory", "pamRemoteBrowser")


@dataclass(frozen=True)
class Plan:
    """A tunnel that may be asked for."""

    record: OpenRecord
    settings: ResourceSettings
    request: TunnelRequest
    user: str

    @property
    def remote_port(self) -> int:
        """The target's port."""
        return int(self.request.remote.rpartition(":")[2])


@dataclass(frozen=True)
class Wanted:
    """What a user asks for: a record by UID, title or path, and what goes to the gateway with it."""

    record: str
    target_host: str = ""
    target_port: int = 0
    reason: str = ""
    ticket: str = ""


def plan_tunnel(vault: Vault, wanted: Wanted, *, base: FolderUid | None = None) -> Plan:
    """
    Look everything up in the vault. Raises NotFound, Conflict, NotAllowed or UsageError that says
    what to type; the gateway checks all of it again.
    """
    record = vault.find_record(wanted.record, base=base)
    settings = _resource_settings(vault, record)
    configuration = _configuration(vault, record, settings)
    gateway = vault.state.gateways.get(configuration.gateway)
    if gateway is None:
        raise NotFound(
            f"the gateway of the PAM configuration of {record.data.title!r} was removed",
            hint="pam gateway new makes another; pam config edit names it",
        )
    parameters = _parameters(wanted, settings)
    host, port = record.data.host_and_port()
    host = parameters.target_host or host
    port = parameters.target_port or settings.tunnel.remote_port or port
    if not host or not port:
        raise UsageError(
            f"{record.data.title!r} names no {'port' if host else 'host'}",
            hint="set it with record-update, or pam tunnel edit --remote-port",
        )
    request = TunnelRequest(
        record=record.uid,
        title=record.data.title,
        record_revision=record.revision,
        settings_revision=vault.settings_revision(record.uid),
        remote=f"{host}:{port}",
        gateway=gateway.gateway,
        gateway_sign_key=gateway.sign_key,
        gateway_box_key=gateway.box_key,
        device=vault.device,
        user=vault.user,
        device_key=vault.login.device.signing_key(),
        tunnel_seed=tunnel_seed(record.key),
        parameters=parameters,
        kinds=_kinds(settings, configuration),
    )
    return Plan(record, settings, request, _login_name(vault, settings))


def _kinds(settings: ResourceSettings, configuration: ConfigurationSettings) -> tuple[str, ...]:
    """What both the record and its configuration allow; a side that names none allows all."""
    rules = [set(paths) for paths in (settings.paths, configuration.paths) if paths]
    return tuple(kind for kind in ALL_KINDS if all(kind in rule for rule in rules))


def position_of(vault: Vault) -> Position:
    """The log position this device has verified."""
    return Position(vault.state.seq, vault.state.head)


def followed_position(context: Context) -> Callable[[], Position]:
    """
    The position as the context's vault has it, and the last known one once it is locked.

    A session that is locked forgets its vault, while open tunnels still have to ask for paths.
    """
    last = position_of(context.vault)

    def position() -> Position:
        nonlocal last
        if context.is_logged_in:
            last = position_of(context.vault)
        return last

    return position


def check_resource(record: OpenRecord) -> None:
    """Raise UsageError for a record that names no target, such as a pamUser or a configuration."""
    if record.data.type not in RESOURCE_TYPES:
        raise UsageError(
            f"{record.data.title!r} is a {record.data.type}, not a resource",
            hint=f"tunnels lead to {', '.join(RESOURCE_TYPES)}",
        )


def _resource_settings(vault: Vault, record: OpenRecord) -> ResourceSettings:
    check_resource(record)
    settings = vault.settings(record.uid)
    if not isinstance(settings, ResourceSettings) or not settings.tunnel.enabled:
        raise NotAllowed(
            f"tunnels to {record.data.title!r} are not enabled",
            code="tunnel-disabled",
            hint=f"pam tunnel edit {record.uid} --enable-tunneling --configuration NAME",
        )
    return settings


def _configuration(
    vault: Vault, record: OpenRecord, settings: ResourceSettings
) -> ConfigurationSettings:
    found = None
    if settings.configuration in vault.view.records:
        found = vault.settings(settings.configuration)
    if not isinstance(found, ConfigurationSettings):
        raise NotFound(
            f"the PAM configuration of {record.data.title!r} is missing or not shared with you",
            code="configuration-missing",
            hint=f"pam tunnel edit {record.uid} --configuration NAME",
        )
    return found


def _parameters(wanted: Wanted, settings: ResourceSettings) -> TunnelParameters:
    host, port = wanted.target_host, wanted.target_port
    if (host or port) and not settings.allow_supply_host:
        raise NotAllowed(
            "this record does not let another target be given",
            code="target-override-not-allowed",
            hint="pam tunnel edit RECORD --allow-supply-host on",
        )
    return TunnelParameters(host, port, wanted.reason, wanted.ticket)


def _login_name(vault: Vault, settings: ResourceSettings) -> str:
    """The login of the launch (or administrative) credential, when this user may read it."""
    for uid in (settings.launch_credential, settings.administrative_credential):
        if uid and uid in vault.view.records:
            try:
                return vault.get_record(uid).data.text("login")
            except CommanderError:
                continue
    return ""
