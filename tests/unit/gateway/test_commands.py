from __future__ import annotations

import random

import pytest

from commander.authority.refusals import Code
from commander.crypto.box import BoxPrivateKey
from commander.errors import Refused
from commander.gateway.commands import NonceMemory, open_sealed_command
from commander.gateway.limits import NONCE_KEEP_S
from tests.support.gateway_world import World

KEY = BoxPrivateKey.generate()


def open_it(data: bytes, key: BoxPrivateKey = KEY) -> None:
    """Open bytes that nobody sealed."""
    open_sealed_command(data, key, gateway="g", conversation="c", sender="d")


def test_random_bytes_are_malformed() -> None:
    """Whatever comes, there is one code and no other error."""
    rng = random.Random(11)

    for size in [0, 1, 1136, 1137, 1138, *(rng.randrange(4000) for _ in range(200))]:
        with pytest.raises(Refused) as caught:
            open_it(rng.randbytes(size))
        assert caught.value.code == Code.COMMAND_MALFORMED


def test_every_truncation_and_flip_is_malformed(world: World) -> None:
    """No part of a sealed command opens, and none with a bit changed."""
    message = world.command().message
    rng = random.Random(12)
    cuts = [message.payload[:cut] for cut in rng.sample(range(len(message.payload)), 60)]
    for _ in range(60):
        at = rng.randrange(len(message.payload))
        flipped = bytes([message.payload[at] ^ 1 << rng.randrange(8)])
        cuts.append(message.payload[:at] + flipped + message.payload[at + 1 :])

    for data in cuts:
        with pytest.raises(Refused) as caught:
            open_sealed_command(
                data, world.gateway_box, gateway=world.gateway,
                conversation=message.conversation, sender=message.sender,
            )  # fmt: skip
        assert caught.value.code == Code.COMMAND_MALFORMED


@pytest.mark.parametrize("what", ["gateway", "conversation", "sender"])
def test_the_routers_word_has_to_fit(world: World, what: str) -> None:
    """A command moved to another conversation, sender or gateway does not open."""
    asked = world.command()
    context = {
        "gateway": world.gateway,
        "conversation": asked.message.conversation,
        "sender": asked.message.sender,
    }
    opened = open_sealed_command(asked.message.payload, world.gateway_box, **context)
    assert opened.command == asked.command

    context[what] = world.command().message.conversation

    with pytest.raises(Refused) as caught:
        open_sealed_command(asked.message.payload, world.gateway_box, **context)
    assert caught.value.code == Code.COMMAND_MALFORMED


def test_a_giant_is_malformed(world: World) -> None:
    """Size is looked at before anything is opened."""
    with pytest.raises(Refused) as caught:
        open_it(bytes(10_000_000), world.gateway_box)

    assert caught.value.code == Code.COMMAND_MALFORMED


def test_nonces_are_forgotten_and_stay_refused() -> None:
    """After its time a nonce costs no memory, and its command is still no good."""
    memory = NonceMemory()
    memory.take(b"one", issued_at=1000, expires_at=1060, now=1000)
    with pytest.raises(Refused):
        memory.take(b"one", issued_at=1000, expires_at=1060, now=1001)
    later = 1060.0 + NONCE_KEEP_S

    memory.take(b"two", issued_at=int(later), expires_at=int(later) + 60, now=later)

    with pytest.raises(Refused) as caught:
        memory.take(b"one", issued_at=1000, expires_at=1060, now=later)
    assert caught.value.code == Code.COMMAND_REPLAYED


def test_nonces_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of good commands is refused before it fills memory."""
    monkeypatch.setattr("commander.gateway.commands.MAX_NONCES", 2)
    memory = NonceMemory()
    for nonce in (b"1", b"2"):
        memory.take(nonce, issued_at=1000, expires_at=1060, now=1000)

    with pytest.raises(Refused) as caught:
        memory.take(b"3", issued_at=1000, expires_at=1060, now=1000)

    assert caught.value.code == Code.LIMIT_REACHED
