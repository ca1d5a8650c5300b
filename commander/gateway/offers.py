"""From a sealed offer to paths that are ready to be opened, and the sealed answer that says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from commander.authority.refusals import Code
from commander.codec import decode, encode
from commander.errors import InvalidInput, Refused, SealBroken
from commander.gateway.judging import Plan
from commander.gateway.paths import PathKinds, PathPlan
from commander.gateway.switches import allowed_kinds
from commander.tunnel.codes import Role
from commander.tunnel.generations import number_carriers
from commander.tunnel.keys import ConversationKeys, Signalling
from commander.tunnel.path import KIND_DIRECT, KIND_TURN, KIND_WEBRTC, Binding, Path
from commander.vault.opening import tunnel_seed
from commander.wire.commands import COMMAND_LIMIT, Offer, OfferAnswer

MAX_KINDS = 8


@dataclass(frozen=True)
class OpenOffer:
    """What a client offers, and the keys of the conversation it offers it in."""

    conversation: str
    keys: ConversationKeys = field(repr=False)
    signalling: Signalling = field(repr=False)
    offer: Offer


@dataclass(frozen=True)
class Carrier:
    """One connection to be: its numbers, and how it is opened (raises CommanderError)."""

    kind: str
    generation: int
    group: int
    make: Callable[[], Awaitable[tuple[Path, Binding]]]
    is_first: bool = True
    """Of its kind in this attempt: one of them is what the audit log tells of."""


@dataclass(frozen=True)
class Prepared:
    """The paths of one attempt, ready to be opened; `close` gives up what is not open yet."""

    plans: Mapping[str, PathPlan]
    carriers: tuple[Carrier, ...]

    def answer(self, opened: OpenOffer, target: str) -> bytes:
        """What the client is told, sealed."""
        answers = {kind: plan.answer for kind, plan in self.plans.items()}
        answer = OfferAnswer(
            tuple(self.plans),
            answers.get(KIND_WEBRTC) or answers.get(KIND_TURN, b""),
            target,
            answers.get(KIND_DIRECT, b""),
        )
        return opened.signalling.seal(encode(answer))

    async def close(self) -> None:
        """Give up; idempotent, and harmless to what was opened."""
        for plan in self.plans.values():
            await plan.close()


def open_offer(plan: Plan) -> OpenOffer:
    """Open the offer of a command with the record's seed. Raises Refused(offer-broken)."""
    command, rights = plan.genuine.command, plan.rights
    keys = ConversationKeys(
        command.secret,
        tunnel_seed(plan.record.record_key),
        client_device=command.device,
        gateway=rights.gateway,
        conversation_id=command.conversation,
        record=command.record,
        user=rights.user,
    )
    signalling = keys.signalling(Role.GATEWAY)
    try:
        offer = decode(Offer, signalling.open(command.offer), limit=COMMAND_LIMIT)
    except (SealBroken, InvalidInput):
        raise Refused("the offer does not open", code=Code.OFFER_BROKEN) from None
    return OpenOffer(command.conversation, keys, signalling, offer)


async def prepare_paths(
    paths: PathKinds, plan: Plan, opened: OpenOffer, first: int, *, group: int = 0
) -> Prepared:
    """
    Get every kind ready that both ends can and the record may use, numbered from `first`.

    With a `group` all of them join it; else each kind has one of its own.

    A kind whose part of the offer does not hold is left out while another is left. Raises
    Refused(path-forbidden, offer-broken).
    """
    offer = opened.offer
    numbers = _numbers(offer.kinds, first)
    kinds = allowed_kinds(offer.kinds, paths.supported, plan.settings, plan.configuration)
    plans: dict[str, PathPlan] = {}
    refused: Refused | None = None
    try:
        for kind in kinds:
            try:
                plans[kind] = await paths.prepare(kind, opened.conversation, offer)
            except Refused as error:
                refused = error
    except BaseException:
        await Prepared(plans, ()).close()
        raise
    if not plans:
        assert refused is not None
        raise refused
    return Prepared(plans, _carriers(plans, numbers, group))


def _numbers(kinds: tuple[str, ...], first: int) -> dict[str, range]:
    if len(kinds) > MAX_KINDS:
        raise Refused(f"the offer names more than {MAX_KINDS} kinds", code=Code.OFFER_BROKEN)
    try:
        return number_carriers(kinds, first)
    except InvalidInput as error:
        raise Refused(error.message, code=Code.OFFER_BROKEN) from None


def _carriers(
    plans: Mapping[str, PathPlan], numbers: Mapping[str, range], group: int
) -> tuple[Carrier, ...]:
    return tuple(
        Carrier(
            kind,
            generation,
            group or numbers[kind].start,
            partial(plan.make, index),
            is_first=index == 0,
        )
        for kind, plan in plans.items()
        for index, generation in enumerate(numbers[kind])
    )
