from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from commander.backend.turn import CREDENTIAL_LIFE_S, Relays, mint, read_secret
from commander.errors import InvalidInput
from commander.secret import Secret
from commander.wire.ice import MAX_SERVERS, parse_ice_url

SECRET = Secret("a secret of some length")
STUN = parse_ice_url("stun:relay.example.org")
TURN = parse_ice_url("turn:relay.example.org")
TURNS = parse_ice_url("turns:relay.example.org")


def test_without_relays_the_answer_is_empty() -> None:
    """A server of which nobody configured anything names no servers."""
    answer = Relays().answer(now=1000)

    assert (answer.servers, answer.relay_only) == ((), False)


def test_credentials_are_those_that_coturn_computes() -> None:
    """Base64 of HMAC-SHA1 over "EXPIRY:USER", for ten minutes; STUN needs none."""
    answer = Relays((STUN, TURN), SECRET).answer(now=1000, user="abc")

    stun, turn = answer.servers
    username = f"{1000 + CREDENTIAL_LIFE_S}:abc"
    digest = hmac.new(b"a secret of some length", username.encode(), hashlib.sha1).digest()
    assert (stun.username, stun.password) == ("", "")
    assert (turn.username, turn.password) == (username, base64.b64encode(digest).decode())
    assert mint(SECRET, username) == turn.password
    assert answer.expires == 1600


def test_each_answer_has_a_user_of_its_own() -> None:
    """So that the relay's quota counts one attempt, and the relay cannot tell who it serves."""
    relays = Relays((TURN, TURNS), SECRET)

    users = [relays.answer(now=1).servers[0].username for _ in range(50)]

    assert len(set(users)) == 50
    assert len({server.username for server in relays.answer(now=1).servers}) == 1


def test_the_secret_is_not_shown() -> None:
    """Not even in a traceback of the settings."""
    assert "some length" not in repr(Relays((TURN,), SECRET))


@pytest.mark.parametrize(
    ("urls", "secret", "relay_only"),
    [
        ((TURN,), None, False),
        ((STUN,), None, True),
        ((), SECRET, True),
        ((STUN,) * (MAX_SERVERS + 1), None, False),
    ],
    ids=["no secret", "no relay", "nothing", "too many"],
)
def test_settings_that_cannot_work_are_refused(
    urls: tuple[object, ...], secret: Secret | None, relay_only: bool
) -> None:
    """At the start, not at the first tunnel."""
    with pytest.raises(InvalidInput):
        Relays(urls, secret, relay_only)  # type: ignore[arg-type]  # the table mixes both kinds


@pytest.mark.parametrize(
    "data", [b"", b"short", b"two words in here", b"has#comment-sign", b"x" * 1025, b"\xff" * 32]
)
def test_a_secret_that_coturn_would_read_otherwise_is_refused(data: bytes) -> None:
    """Its configuration ends a value at a space or a comment."""
    with pytest.raises(InvalidInput):
        read_secret(data)


def test_a_line_break_after_the_secret_is_not_part_of_it() -> None:
    """Editors add one."""
    assert read_secret(b"0123456789abcdef\n") == Secret("0123456789abcdef")
