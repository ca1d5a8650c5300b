"""
Who may be told what: conversations that were introduced, and the fate of one message. No IO.

A device opens a conversation by a message to a gateway that it may talk to; from then on these
two, and nobody else, may write in it and open its relay path. A gateway never opens one.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass

from commander.authority.decide import Refuse
from commander.authority.refusals import Code
from commander.router.limits import (
    CONVERSATION_IDLE_S,
    MAX_DEVICE_CONVERSATIONS,
    MAX_GATEWAY_CONVERSATIONS,
)
from commander.router.ports import Principal
from commander.wire.commands import Send

# Codes that speak of the caller alone; every other one could tell that a gateway exists.
_ABOUT_THE_CALLER = frozenset(
    {Code.POLICY_MISSING, Code.DEVICE_REVOKED, Code.USER_REVOKED, Code.USER_UNKNOWN}
)
PEER_UNKNOWN = Refuse(
    Code.PEER_UNKNOWN, "the addressee is not connected, or may not be addressed by you"
)
GATEWAY_OFFLINE = Refuse(Code.GATEWAY_OFFLINE, "the gateway is not connected")
TOO_MANY = Refuse(Code.TOO_MANY_REQUESTS, "too many messages or conversations; try again later")


@dataclass(slots=True)
class Conversation:
    """Two principals that were introduced; `relays` counts its open relay sockets."""

    device: str
    gateway: str
    used: float
    relays: int = 0

    def other(self, principal: str) -> str | None:
        """Whom a participant talks to; None for a stranger."""
        if principal == self.device:
            return self.gateway
        return self.device if principal == self.gateway else None


class Conversations:
    """
    All introduced conversations, the longest unused first.

    `now` is monotonic time. Idle ones are forgotten as new ones come; the numbers of one
    principal are bounded, so nobody can grow the table.
    """

    def __init__(
        self,
        *,
        device_limit: int = MAX_DEVICE_CONVERSATIONS,
        gateway_limit: int = MAX_GATEWAY_CONVERSATIONS,
    ) -> None:
        self._known: OrderedDict[str, Conversation] = OrderedDict()
        self._count: Counter[str] = Counter()
        self._device_limit = device_limit
        self._gateway_limit = gateway_limit

    def __len__(self) -> int:
        return len(self._known)

    def get(self, conversation: str, principal: str) -> Conversation | None:
        """A conversation that this principal takes part in; None alike for unknown and foreign ones."""
        found = self._known.get(conversation)
        return found if found is not None and found.other(principal) is not None else None

    def is_taken(self, conversation: str) -> bool:
        """Tell whether the identifier is in use by anyone."""
        return conversation in self._known

    def touch(self, conversation: str, now: float) -> None:
        """Note that it is in use."""
        self._known[conversation].used = now
        self._known.move_to_end(conversation)

    def introduce(self, conversation: str, device: str, gateway: str, now: float) -> bool:
        """Let two principals talk; False when one of them has too many conversations."""
        self._forget_idle(now)
        if self._count[device] >= self._device_limit or self._count[gateway] >= self._gateway_limit:
            return False
        self._known[conversation] = Conversation(device, gateway, now)
        self._count.update((device, gateway))
        return True

    def forget_principal(self, principal: str) -> None:
        """Drop every conversation of a principal that may not talk any more."""
        for uid in [uid for uid, found in self._known.items() if found.other(principal)]:
            self._forget(uid)

    def _forget_idle(self, now: float) -> None:
        while self._known:
            uid, oldest = next(iter(self._known.items()))
            if now - oldest.used < CONVERSATION_IDLE_S:
                break
            if oldest.relays:
                oldest.used = now
                self._known.move_to_end(uid)
            else:
                self._forget(uid)

    def _forget(self, conversation: str) -> None:
        found = self._known.pop(conversation)
        for principal in (found.device, found.gateway):
            self._count[principal] -= 1
            if not self._count[principal]:
                del self._count[principal]


def visible(refusal: Refuse) -> Refuse:
    """What the sender is told: codes about itself, else the one shape of every unknown peer."""
    return refusal if refusal.code in _ABOUT_THE_CALLER else PEER_UNKNOWN


def choose_route(
    sender: Principal,
    send: Send,
    conversations: Conversations,
    *,
    verdict: Refuse | None,
    connected: bool,
    now: float,
) -> Refuse | None:
    """
    Decide the fate of a message: None to deliver it (the conversation then is introduced).

    `verdict` is the gatekeeper's answer for a device, `connected` whether the addressee has a
    socket. Unknown, foreign and disallowed addressees give one and the same refusal.
    """
    known = conversations.get(send.conversation, sender.uid)
    if known is not None and known.other(sender.uid) != send.to:
        return PEER_UNKNOWN
    if sender.kind == "gateway":
        if known is None or not connected:
            return PEER_UNKNOWN
        conversations.touch(send.conversation, now)
        return None
    if verdict is not None:
        return visible(verdict)
    if known is None and conversations.is_taken(send.conversation):
        return PEER_UNKNOWN
    if not connected:
        return GATEWAY_OFFLINE
    if known is not None:
        conversations.touch(send.conversation, now)
        return None
    introduced = conversations.introduce(send.conversation, sender.uid, send.to, now)
    return None if introduced else TOO_MANY
