from __future__ import annotations

import pytest

from commander.errors import InvalidInput, Refused, Unreachable
from commander.tunnel.transports.ice import (
    ALL_KINDS,
    RELAY_ONLY,
    find_options,
    ice_options,
    no_loopback,
    no_servers,
)
from commander.wire.calls import IceAnswer, IceServerRow

STUN = IceServerRow("stun:relay", "", "")
TURN = IceServerRow("turn:relay", "600:abc", "hidden-word")


def answer(*rows: IceServerRow, relay_only: bool = False) -> IceAnswer:
    return IceAnswer(rows, relay_only, 600)


def test_servers_come_through_with_their_credentials() -> None:
    """In the server's order; the password shows in no repr."""
    options = ice_options(answer(STUN, TURN))

    assert [str(server.url) for server in options.ice_servers] == [
        "stun:relay:3478",
        "turn:relay:3478",
    ]
    password = options.ice_servers[1].password
    assert password is not None
    assert password.reveal_text() == "hidden-word"
    assert "hidden-word" not in repr(options)
    assert options.rules is ALL_KINDS
    assert not options.relay_only


@pytest.mark.parametrize(("of_server", "of_user"), [(True, False), (False, True), (True, True)])
def test_either_side_can_ask_for_relays_only(of_server: bool, of_user: bool) -> None:
    """Then no other candidate is offered or taken; the server can't lift what was asked for."""
    options = ice_options(answer(STUN, TURN, relay_only=of_server), relay_only=of_user)

    assert options.relay_only
    assert options.rules is RELAY_ONLY


@pytest.mark.parametrize(
    "given",
    [
        answer(*[STUN] * 9),
        answer(IceServerRow("http://relay", "", "")),
        answer(IceServerRow("turn:relay", "", "x")),
        answer(IceServerRow("turn:relay", "x", "")),
        answer(IceServerRow("turn:relay", "x" * 129, "x")),
        answer(IceServerRow("turn:relay", "x", "\x1b[31m")),
        answer(IceServerRow("turn:169.254.169.254", "x", "x")),
        answer(STUN, relay_only=True),
    ],
    ids=["many", "url", "user", "password", "long", "escape", "metadata", "no relay"],
)
def test_an_answer_that_no_server_of_ours_gives_is_refused(given: IceAnswer) -> None:
    """The server is a stranger here."""
    with pytest.raises(InvalidInput):
        ice_options(given)


async def test_a_server_that_does_not_answer_leaves_no_path() -> None:
    """Without its word nobody knows whether addresses may be shown."""

    async def ask() -> IceAnswer:
        raise Refused("too many requests", code="too-many-requests", hint="slow down")

    with pytest.raises(Unreachable, match="no WebRTC path: too many requests"):
        await find_options(ask, relay_only=False, tls=None)


async def test_a_server_without_relays_leaves_the_ends_own_addresses() -> None:
    """Unless only a relay may be used: then there is no path, and why is told."""
    options = await find_options(no_servers, relay_only=False, tls=None)

    assert (options.ice_servers, options.kind) == ((), "webrtc")
    with pytest.raises(Unreachable, match="names no TURN relay") as caught:
        await find_options(no_servers, relay_only=True, tls=None)
    assert "--turn-url" in caught.value.hint


def test_loopback_is_not_offered() -> None:
    """Addresses of loopback stay at home; all others are offered in their order."""
    assert list(no_loopback(["192.0.2.7", "127.0.0.5", "2001:db8::7"])) == [
        "192.0.2.7",
        "2001:db8::7",
    ]
