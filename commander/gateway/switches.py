"""What record and PAM configuration say about tunnels; pure, over records that are verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from commander.authority.decide import Action, Refuse, decide
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.errors import Refused
from commander.wire.pam import ConfigurationSettings, PamSettings, ResourceSettings
from commander.wire.records import RecordData
from commander.wire.seals import RecordSeal, SettingsSeal


@dataclass(frozen=True)
class OpenRecord:
    """A verified record of the gateway's application; `settings` None when it has none."""

    seal: RecordSeal
    data: RecordData = field(repr=False)
    record_key: bytes = field(repr=False)
    settings_seal: SettingsSeal | None
    settings: PamSettings | None = field(repr=False)


def linked_uids(record: OpenRecord) -> tuple[str, ...]:
    """The configuration and the credentials that a resource's settings name."""
    settings = record.settings
    if not isinstance(settings, ResourceSettings):
        return ()
    return tuple(uid for uid in (settings.configuration, *settings.linked_records()) if uid)


def check_revisions(record: OpenRecord, *, record_revision: int, settings_revision: int) -> None:
    """Raise Refused(record-behind) when the client has seen newer ones than these."""
    settings = record.settings_seal.revision if record.settings_seal else 0
    if record.seal.revision < record_revision or settings < settings_revision:
        raise Refused(
            f"the gateway has record {record.seal.record} at revisions {record.seal.revision} and "
            f"{settings}, the command names {record_revision} and {settings_revision}",
            code=Code.RECORD_BEHIND,
        )


def check_switches(
    state: State,
    gateway: str,
    record: OpenRecord,
    linked: Mapping[str, OpenRecord | Refused],
) -> tuple[ResourceSettings, ConfigurationSettings, OpenRecord]:
    """
    Let a tunnel to a record through, or raise Refused with the code of the switch that is off.

    Also demands that the author of the settings might use every record they link to, at the
    position and time of writing.
    """
    settings = record.settings
    if not isinstance(settings, ResourceSettings):
        raise _refuse(Code.SETTINGS_MISSING, f"record {record.seal.record} has no PAM settings")
    _check_settings_author(state, record)
    configuration, found = _configuration(settings, linked)
    if configuration.gateway != gateway:
        raise _refuse(
            Code.CONFIGURATION_OTHER_GATEWAY,
            f"configuration {settings.configuration} is of gateway {configuration.gateway[:22]}",
        )
    if not configuration.is_on("tunneling"):
        raise _refuse(
            Code.TUNNELING_OFF, f"tunneling is off in configuration {settings.configuration}"
        )
    if not settings.tunnel.enabled:
        raise _refuse(
            Code.TUNNEL_DISABLED, f"tunneling is not enabled on record {record.seal.record}"
        )
    for uid in linked_uids(record):
        _check_link(state, record, uid, linked.get(uid))
    return settings, configuration, found


def _configuration(
    settings: ResourceSettings, linked: Mapping[str, OpenRecord | Refused]
) -> tuple[ConfigurationSettings, OpenRecord]:
    found = linked.get(settings.configuration) if settings.configuration else None
    if isinstance(found, Refused) and found.code != Code.RECORD_UNKNOWN:
        raise found
    if not isinstance(found, OpenRecord) or not isinstance(found.settings, ConfigurationSettings):
        raise _refuse(
            Code.CONFIGURATION_MISSING,
            f"PAM configuration {settings.configuration or 'of the record'} is not there",
        )
    return found.settings, found


def _check_settings_author(state: State, record: OpenRecord) -> None:
    """After a move the settings name the old folder: the author must have had the new one too."""
    seal = record.settings_seal
    assert seal is not None
    if seal.folder == record.seal.folder:
        return
    decision = decide(
        state, seal.author, Action.CONFIGURE, record.seal.folder, now=seal.time, at=seal.log_seq
    )
    if isinstance(decision, Refuse):
        raise _refuse(
            Code.SEAL_AUTHOR,
            f"settings of record {seal.record} are of another folder: {decision.reason}",
        )


def _check_link(
    state: State, record: OpenRecord, uid: str, found: OpenRecord | Refused | None
) -> None:
    seal = record.settings_seal
    assert seal is not None
    if not isinstance(found, OpenRecord):
        raise _refuse(Code.LINK_NOT_ALLOWED, f"linked record {uid} is not of this application")
    folder = found.seal.folder
    decision = decide(state, seal.author, Action.VIEW, folder, now=seal.time, at=seal.log_seq)
    if isinstance(decision, Refuse):
        raise _refuse(
            Code.LINK_NOT_ALLOWED,
            f"the author of the settings might not use linked record {uid}: {decision.reason}",
        )


def allowed_kinds(
    offered: tuple[str, ...],
    supported: tuple[str, ...],
    settings: ResourceSettings,
    configuration: ConfigurationSettings,
) -> tuple[str, ...]:
    """
    Kinds of path both ends can and the record may use, in the client's order.

    Raises Refused(path-forbidden), which names the rule that forbids each kind.
    """
    against = {
        kind: _rule_against(kind, supported, settings, configuration)
        for kind in dict.fromkeys(offered)
    }
    kinds = tuple(kind for kind, rule in against.items() if not rule)
    if not kinds:
        told = "; ".join(f"{kind[:20]!r}: {rule}" for kind, rule in against.items())
        raise _refuse(Code.PATH_FORBIDDEN, f"no offered path may be used: {told or 'none named'}")
    return kinds


def _rule_against(
    kind: str,
    supported: tuple[str, ...],
    settings: ResourceSettings,
    configuration: ConfigurationSettings,
) -> str:
    if kind not in supported:
        return "this gateway does not open such paths"
    if settings.paths and kind not in settings.paths:
        return f"the record's PAM settings allow {', '.join(settings.paths)} only"
    if configuration.paths and kind not in configuration.paths:
        return f"its PAM configuration allows {', '.join(configuration.paths)} only"
    return ""


def _refuse(code: Code, reason: str) -> Refused:
    return Refused(reason, code=code)
