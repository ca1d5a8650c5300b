from __future__ import annotations

import pytest

from commander.authority.decide import Refuse
from commander.authority.refusals import Code
from commander.ids import new_uid
from commander.router.limits import CONVERSATION_IDLE_S
from commander.router.ports import Principal
from commander.router.routing import (
    GATEWAY_OFFLINE,
    PEER_UNKNOWN,
    TOO_MANY,
    Conversations,
    choose_route,
    visible,
)
from commander.wire.commands import Send

DEVICE = Principal(new_uid(), "device", new_uid(), "s")
OTHER = Principal(new_uid(), "device", new_uid(), "s")
GATEWAY = Principal(new_uid(), "gateway", new_uid())
UID = new_uid()


def route(
    known: Conversations,
    sender: Principal = DEVICE,
    *,
    to: str = GATEWAY.uid,
    uid: str = UID,
    verdict: Refuse | None = None,
    connected: bool = True,
    now: float = 0.0,
) -> Refuse | None:
    """Ask for the fate of a message."""
    send = Send(uid, to, b"")
    return choose_route(sender, send, known, verdict=verdict, connected=connected, now=now)


def test_a_device_opens_and_both_speak() -> None:
    """The first message of a device introduces both; then each may write to the other."""
    known = Conversations()

    assert route(known) is None
    assert route(known, GATEWAY, to=DEVICE.uid) is None
    assert route(known) is None
    assert len(known) == 1


def test_a_gateway_cannot_open() -> None:
    """Without an introduction a gateway reaches nobody."""
    assert route(Conversations(), GATEWAY, to=DEVICE.uid) == PEER_UNKNOWN


def test_an_offline_gateway_is_told_as_such() -> None:
    """Only to a device that may know it, and nothing is introduced."""
    known = Conversations()

    assert route(known, connected=False) == GATEWAY_OFFLINE
    assert len(known) == 0


def test_a_strangers_word_in_a_conversation_is_unknown() -> None:
    """Neither another device nor another addressee fits into a conversation."""
    known = Conversations()
    route(known)

    assert route(known, OTHER) == PEER_UNKNOWN
    assert route(known, to=new_uid()) == PEER_UNKNOWN
    assert route(known, GATEWAY, to=OTHER.uid) == PEER_UNKNOWN
    assert known.get(UID, OTHER.uid) is None


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (Code.POLICY_MISSING, Code.POLICY_MISSING),
        (Code.DEVICE_REVOKED, Code.DEVICE_REVOKED),
        (Code.USER_REVOKED, Code.USER_REVOKED),
        (Code.OBJECT_UNKNOWN, Code.PEER_UNKNOWN),
        (Code.OBJECT_REVOKED, Code.PEER_UNKNOWN),
        (Code.ACCESS_MISSING, Code.PEER_UNKNOWN),
        (Code.ACCESS_EXPIRED, Code.PEER_UNKNOWN),
    ],
)
def test_only_codes_about_the_caller_are_shown(code: Code, shown: Code) -> None:
    """What a refusal could tell about others is folded into one shape."""
    assert visible(Refuse(code, "why")).code == shown
    found = route(Conversations(), verdict=Refuse(code, "why"))
    assert found is not None
    assert found.code == shown


def test_a_right_lost_meanwhile_ends_the_conversation() -> None:
    """The verdict is asked for each message, also in an open conversation."""
    known = Conversations()
    route(known)

    refusal = route(known, verdict=Refuse(Code.POLICY_MISSING, "gone"))

    assert refusal is not None
    assert refusal.code == Code.POLICY_MISSING


def test_conversations_of_one_principal_are_bounded() -> None:
    """Past its bound a device opens no more, another one does, and idle ones make room."""
    known = Conversations(device_limit=2, gateway_limit=3)
    assert [route(known, uid=new_uid()) for _ in range(3)] == [None, None, TOO_MANY]
    assert route(known, OTHER, uid=new_uid()) is None
    assert route(known, OTHER, uid=new_uid()) == TOO_MANY

    assert route(known, uid=new_uid(), now=CONVERSATION_IDLE_S + 1) is None
    assert len(known) == 1


def test_a_conversation_with_an_open_relay_is_kept() -> None:
    """Silence on the control socket does not end a conversation whose relay is open."""
    known = Conversations()
    route(known)
    found = known.get(UID, DEVICE.uid)
    assert found is not None
    found.relays = 1

    route(known, uid=new_uid(), now=CONVERSATION_IDLE_S * 2)

    assert known.get(UID, DEVICE.uid) is found


def test_a_principal_can_be_forgotten() -> None:
    """All conversations of a revoked principal end, those of others stay."""
    known = Conversations()
    route(known)
    route(known, OTHER, uid=new_uid())

    known.forget_principal(DEVICE.uid)

    assert known.get(UID, GATEWAY.uid) is None
    assert len(known) == 1
