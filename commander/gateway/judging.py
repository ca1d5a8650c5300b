"""
May this be done, by everything that is known now? Asked for each command, and again at every resume.

Reads the record anew and asks the pure rooms in the published order: `rights`, `switches`, `rights`.
"""

from __future__ import annotations

from dataclasses import dataclass

from commander.authority.decide import Refuse
from commander.authority.refusals import Code
from commander.clock import Clock
from commander.errors import InvalidInput, Refused
from commander.gateway.commands import Genuine
from commander.gateway.follower import LogFollower
from commander.gateway.records import RecordReader
from commander.gateway.rights import Rights, judge_rights, judge_user
from commander.gateway.switches import OpenRecord, check_revisions, check_switches
from commander.wire.pam import ConfigurationSettings, ResourceSettings


@dataclass(frozen=True)
class Plan:
    """A command that passed every check of right, before anything was done for it."""

    genuine: Genuine
    rights: Rights
    record: OpenRecord
    settings: ResourceSettings
    configuration: ConfigurationSettings


class Judge:
    """Judges commands of one gateway by its log and its records."""

    def __init__(
        self, gateway: str, *, follower: LogFollower, reader: RecordReader, clock: Clock
    ) -> None:
        self._gateway = gateway
        self._follower = follower
        self._reader = reader
        self._clock = clock

    async def judge(self, genuine: Genuine) -> Plan:
        """Let a command through, or raise Refused with the code of what speaks against it."""
        command = genuine.command
        enforce(judge_user(self._follower.state, command.device, now=self._clock.now()))
        record, linked = await self._reader.read(command.record)
        check_revisions(
            record,
            record_revision=command.record_revision,
            settings_revision=command.settings_revision,
        )
        state = self._follower.state
        rights = Rights(
            self._gateway, genuine.user, command.device, command.record,
            record.seal.folder, "", record.seal.folder,
        )  # fmt: skip
        enforce(self.judge_again(rights))
        settings, configuration, found = check_switches(state, self._gateway, record, linked)
        rights = Rights(
            rights.gateway, rights.user, rights.device, rights.record, rights.folder,
            found.seal.record, found.seal.folder,
        )  # fmt: skip
        enforce(self.judge_again(rights))
        return Plan(genuine, rights, record, settings, configuration)

    def judge_again(self, rights: Rights) -> Refuse | None:
        """What speaks against rights at the log's present head, or None; awaits nothing."""
        return judge_rights(self._follower.state, rights, now=self._clock.now())


def enforce(refusal: Refuse | None) -> None:
    """Raise a refusal, if there is one."""
    if refusal is not None:
        raise Refused(refusal.reason, code=refusal.code)


def what_went_off(
    gateway: str, record: OpenRecord | Refused, configuration: OpenRecord | Refused
) -> Refuse | None:
    """Why a live tunnel may not go on, from its records as they are now. Pure."""
    for found in (record, configuration):
        if isinstance(found, Refused):
            return Refuse(Code(found.code), found.message)
    assert isinstance(record, OpenRecord)
    assert isinstance(configuration, OpenRecord)
    settings, switches = record.settings, configuration.settings
    if not isinstance(settings, ResourceSettings) or not settings.tunnel.enabled:
        return Refuse(Code.TUNNEL_DISABLED, "tunneling was switched off on the record")
    if settings.configuration != configuration.seal.record:
        return Refuse(Code.CONFIGURATION_MISSING, "the record has another configuration now")
    if not isinstance(switches, ConfigurationSettings) or not switches.is_on("tunneling"):
        return Refuse(Code.TUNNELING_OFF, "tunneling was switched off in the configuration")
    if switches.gateway != gateway:
        return Refuse(Code.CONFIGURATION_OTHER_GATEWAY, "the configuration has another gateway now")
    return None


def host_and_port(record: OpenRecord) -> tuple[str, int]:
    """Where a record's own fields lead. Raises Refused(target-invalid)."""
    try:
        return record.data.host_and_port()
    except InvalidInput as error:
        raise Refused(error.message, code=Code.TARGET_INVALID) from None
