"""
From a delivered message to a tunnel or a coded, signed, audited refusal.

The order of the checks is the published one; this module only asks the rooms that know
(`commands`, `rights`, `switches`, `records`, `targets`) and does what follows.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from commander.audit.events import CommandRefused, Event, TunnelIntent, clip
from commander.audit.sealed import seal_value
from commander.authority.decide import Refuse
from commander.authority.refusals import EXPLANATIONS, Code
from commander.clock import Clock
from commander.codec import decode, encode
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import CommanderError, InvalidInput, Refused, SealBroken
from commander.gateway.commands import (
    Genuine,
    NonceMemory,
    Opened,
    check_command,
    is_behind,
    open_sealed_command,
)
from commander.gateway.follower import LogFollower, try_to_catch_up
from commander.gateway.limits import (
    MAX_UNAUTHENTICATED_AUDITS_PER_S,
    Bucket,
    StartLimits,
)
from commander.gateway.paths import PathKinds, PathPlan
from commander.gateway.records import RecordReader
from commander.gateway.rights import Rights, judge_rights, judge_user
from commander.gateway.sessions import Session, Sessions, WriteEvent
from commander.gateway.switches import (
    OpenRecord,
    allowed_kinds,
    check_revisions,
    check_switches,
)
from commander.gateway.targets import (
    Resolve,
    TargetConnector,
    TargetRule,
    choose_target,
    resolve_name,
)
from commander.tunnel.codes import CloseCode, Role
from commander.tunnel.keys import ConversationKeys
from commander.vault.opening import tunnel_seed
from commander.wire.commands import (
    COMMAND_LIMIT,
    Deliver,
    Offer,
    OfferAnswer,
    PathParameters,
    Reply,
    Send,
    TunnelParameters,
    command_hash,
    seal_reply,
)
from commander.wire.pam import ConfigurationSettings, ResourceSettings

_log = logging.getLogger(__name__)
_ABOUT_TARGETS = frozenset({Code.TARGET_INVALID, Code.TARGET_FORBIDDEN, Code.TARGET_OVERRIDE})


@dataclass(frozen=True)
class Identity:
    """Who this gateway is."""

    uid: str
    signing_key: SigningKey = field(repr=False)
    box_key: BoxPrivateKey = field(repr=False)


@dataclass(frozen=True)
class _Plan:
    """A command that passed every check of right, before anything was done for it."""

    genuine: Genuine
    rights: Rights
    record: OpenRecord
    settings: ResourceSettings
    configuration: ConfigurationSettings


@dataclass
class _Attempt:
    """How far a delivered message came."""

    message: Deliver
    opened: Opened | None = None
    genuine: Genuine | None = None


class CommandService:
    """
    Answers commands. `handle` never raises for what a peer does; it returns the reply to send.

    Once `drain` was called every new command is refused (gateway-stopping).
    """

    def __init__(
        self,
        identity: Identity,
        *,
        follower: LogFollower,
        reader: RecordReader,
        sessions: Sessions,
        paths: PathKinds,
        rule: TargetRule,
        write: WriteEvent,
        clock: Clock,
        resolve: Resolve = resolve_name,
        limits: StartLimits | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.sessions = sessions
        self.started_at = clock.now()
        self._identity = identity
        self._follower = follower
        self._reader = reader
        self._paths = paths
        self._rule = rule
        self._write = write
        self._clock = clock
        self._resolve = resolve
        self._limits = limits or StartLimits()
        self._nonces = NonceMemory()
        self._starting: Counter[str] = Counter()
        self._beginning: set[str] = set()
        self._is_draining = False
        rate = MAX_UNAUTHENTICATED_AUDITS_PER_S
        self._strangers = Bucket(rate, 10 * rate, 10 * rate, clock.monotonic())

    def drain(self) -> None:
        """Open no further tunnel."""
        self._is_draining = True

    async def handle(self, message: Deliver) -> Send:
        """Judge one delivered command, act on it, and return the reply."""
        attempt = _Attempt(message)
        answer = b""
        code = reason = ""
        try:
            answer = await self._execute(attempt)
        except Refused as error:
            code, reason = str(error.code), error.message
            await self._audit_refusal(attempt, error)
        except Exception:  # noqa: BLE001  the command's top: the client must get an answer
            _log.exception("a command failed unexpectedly")
            code, reason = "failed", "the gateway failed"
        self.counters[code or "accepted"] += 1
        reply = Reply(
            message.conversation, command_hash(message.payload), not code, code, reason, answer
        )
        secret = attempt.opened.secret if attempt.opened is not None else None
        sealed = seal_reply(reply, self._identity.signing_key, secret=secret)
        return Send(message.conversation, message.sender, sealed)

    async def _execute(self, attempt: _Attempt) -> bytes:
        attempt.opened = open_sealed_command(
            attempt.message.payload,
            self._identity.box_key,
            gateway=self._identity.uid,
            conversation=attempt.message.conversation,
            sender=attempt.message.sender,
        )
        genuine = attempt.genuine = await self._prove(attempt.opened)
        if not self._limits.may_ask(genuine.user, self._clock.monotonic()):
            raise Refused("too many commands; try again later", code=Code.LIMIT_REACHED)
        plan = await self._judge(genuine)
        if isinstance(genuine.parameters, PathParameters):
            raise Refused(
                f"no tunnel {genuine.parameters.tunnel} takes further paths here",
                code=Code.CONVERSATION_UNKNOWN,
            )
        return await self._start(plan)

    # --- checks --------------------------------------------------------------------------------

    async def _prove(self, opened: Opened) -> Genuine:
        self._follower.check()
        try:
            return self._check(opened)
        except Refused as error:
            if not is_behind(error, opened, self._follower.state):
                raise
        await try_to_catch_up(self._follower)
        self._follower.check()
        return self._check(opened)

    def _check(self, opened: Opened) -> Genuine:
        return check_command(
            opened,
            self._follower.state,
            gateway=self._identity.uid,
            started_at=self.started_at,
            now=self._clock.now(),
            nonces=self._nonces,
        )

    async def _judge(self, genuine: Genuine) -> _Plan:
        command = genuine.command
        _enforce(judge_user(self._follower.state, command.device, now=self._clock.now()))
        record, linked = await self._reader.read(command.record)
        check_revisions(
            record,
            record_revision=command.record_revision,
            settings_revision=command.settings_revision,
        )
        state, now = self._follower.state, self._clock.now()
        rights = Rights(
            self._identity.uid, genuine.user, command.device, command.record,
            record.seal.folder, "", record.seal.folder,
        )  # fmt: skip
        _enforce(judge_rights(state, rights, now=now))
        settings, configuration, found = check_switches(state, self._identity.uid, record, linked)
        rights = Rights(
            rights.gateway, rights.user, rights.device, rights.record, rights.folder,
            found.seal.record, found.seal.folder,
        )  # fmt: skip
        _enforce(judge_rights(state, rights, now=now))
        return _Plan(genuine, rights, record, settings, configuration)

    def _check_room(self, user: str) -> None:
        if self._is_draining:
            raise Refused("the gateway is shutting down", code=Code.GATEWAY_STOPPING)
        reason = self._limits.reason_against(
            open_tunnels=len(self.sessions) + self._starting.total(),
            of_user=self.sessions.count_of(user) + self._starting[user],
        )
        if reason:
            raise Refused(reason, code=Code.LIMIT_REACHED)

    # --- effects -------------------------------------------------------------------------------

    async def _start(self, plan: _Plan) -> bytes:
        user = plan.rights.user
        self._check_room(user)
        self._starting[user] += 1
        try:
            return await self._open_tunnel(plan)
        finally:
            self._starting[user] -= 1
            if not self._starting[user]:
                del self._starting[user]

    async def _open_tunnel(self, plan: _Plan) -> bytes:
        command, parameters = plan.genuine.command, plan.genuine.parameters
        assert isinstance(parameters, TunnelParameters)
        target = choose_target(
            record=_host_and_port(plan.record),
            tunnel_port=plan.settings.tunnel.remote_port,
            asked=(parameters.target_host, parameters.target_port),
            may_supply=plan.settings.allow_supply_host,
        )
        connector = TargetConnector(target, self._rule, resolve=self._resolve)
        await connector.check_now()
        keys = ConversationKeys(
            command.secret,
            tunnel_seed(plan.record.record_key),
            client_device=command.device,
            gateway=self._identity.uid,
            conversation_id=command.conversation,
            record=command.record,
            user=plan.rights.user,
        )
        signalling = keys.signalling(Role.GATEWAY)
        try:
            offer = decode(Offer, signalling.open(command.offer), limit=COMMAND_LIMIT)
        except (SealBroken, InvalidInput):
            raise Refused("the offer does not open", code=Code.OFFER_BROKEN) from None
        kinds = allowed_kinds(offer.kinds, self._paths.supported, plan.settings, plan.configuration)
        session = Session(command.conversation, plan.rights, connector, keys)
        plans = [await self._paths.prepare(kind, command.conversation, offer) for kind in kinds]
        try:
            await self._begin_once(plan, session, plans)
        except BaseException:
            for prepared in plans:
                await prepared.close()
            raise
        webrtc = next((prepared.answer for prepared in plans if prepared.answer), b"")
        return signalling.seal(encode(OfferAnswer(kinds, webrtc, str(target))))

    async def _begin_once(self, plan: _Plan, session: Session, plans: list[PathPlan]) -> None:
        """Begin the tunnel, unless its conversation has one, or another command is beginning it."""
        conversation = session.conversation
        if conversation in self.sessions or conversation in self._beginning:
            raise Refused("the conversation has a tunnel already", code=Code.COMMAND_REPLAYED)
        self._beginning.add(conversation)
        try:
            await self._commit(plan, session, plans)
        finally:
            self._beginning.discard(conversation)

    async def _commit(self, plan: _Plan, session: Session, plans: list[PathPlan]) -> None:
        """Write the intent; then, if it still may be, let the tunnel begin."""
        target = session.target.target
        await self._write(
            TunnelIntent(
                conversation=session.conversation,
                user=plan.rights.user,
                device=plan.rights.device,
                gateway=plan.rights.gateway,
                record=plan.rights.record,
                configuration=plan.rights.configuration,
                log_seq=self._follower.state.seq,
                target_host=seal_value(plan.record.record_key, session.conversation, target.host),
                target_port=target.port,
            )
        )
        # The log may have moved while the disk worked; nothing is awaited from here on.
        state = self._follower.state
        refusal = judge_rights(state, plan.rights, now=self._clock.now())
        if refusal is None and self._is_draining:
            refusal = Refuse(Code.GATEWAY_STOPPING, "the gateway is shutting down")
        if refusal is not None:
            await self.sessions.tell_never_opened(session, refusal)
            _enforce(refusal)
        self.sessions.open(session, [prepared.make for prepared in plans], state)

    async def _audit_refusal(self, attempt: _Attempt, error: Refused) -> None:
        # Whoever can reach us may send what is not signed; that must not fill the disk.
        if attempt.genuine is None and not self._strangers.take(self._clock.monotonic()):
            self.counters["refusals-not-audited"] += 1
            return
        command = attempt.opened.command if attempt.opened is not None else None
        event = CommandRefused(
            code=str(error.code),
            action=clip(command.action, 64) if command else "",
            conversation=clip(attempt.message.conversation, 64),
            user=attempt.genuine.user if attempt.genuine is not None else "",
            device=clip(attempt.message.sender, 64),
            gateway=self._identity.uid,
            record=clip(command.record, 64) if command else "",
            reason=_told(error),
        )
        await self._write_or_count(event)

    async def _write_or_count(self, event: Event) -> None:
        try:
            await self._write(event)
        except CommanderError:
            self.counters["refusals-not-audited"] += 1

    # --- watch over live tunnels -----------------------------------------------------------------

    async def judge_log(self) -> int:
        """Run `decide` again over all tunnels; call it at each new head. Returns how many ended."""
        return await self.sessions.judge_all(self._follower.state)

    async def judge_records(self) -> None:
        """Read the records of live tunnels again, and end those whose switches went off."""
        sessions = self.sessions.all()
        uids = {uid for s in sessions for uid in (s.rights.record, s.rights.configuration)}
        if not uids:
            return
        found = await self._reader.read_many(sorted(uids))
        for session in sessions:
            record = found[session.rights.record]
            configuration = found[session.rights.configuration]
            refusal = _what_went_off(self._identity.uid, record, configuration)
            if refusal is not None:
                await self.sessions.kill(session, refusal, log_seq=self._follower.state.seq)

    async def close(self) -> None:
        """End all tunnels with `going away`."""
        self.drain()
        await self.sessions.close_all(CloseCode.GOING_AWAY, "the gateway is shutting down")


def _what_went_off(
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


def _told(error: Refused) -> str:
    """The reason for the audit log, which the server reads: none that quotes a host."""
    if error.code in _ABOUT_TARGETS:
        return EXPLANATIONS[Code(error.code)][1]
    return clip(error.message)


def _enforce(refusal: Refuse | None) -> None:
    if refusal is not None:
        raise Refused(refusal.reason, code=refusal.code)


def _host_and_port(record: OpenRecord) -> tuple[str, int]:
    try:
        return record.data.host_and_port()
    except InvalidInput as error:
        raise Refused(error.message, code=Code.TARGET_INVALID) from None
