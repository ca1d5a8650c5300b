"""
An evil router between device and gateway: it changes, repeats, moves, cuts and makes up messages.

Seeded, so a failure can be run again. Nothing it does may open a tunnel or make a reply that a
device takes for an acceptance; every run is followed by one that it leaves alone, which succeeds.
"""

from __future__ import annotations

import random

import pytest

from commander.authority.refusals import Code
from commander.codec import encode
from commander.crypto.signing import SigningKey
from commander.errors import InvalidInput, SealBroken
from commander.ids import new_uid
from commander.wire.commands import (
    Deliver,
    Reply,
    ReplyEnvelope,
    command_hash,
    open_reply,
    seal_reply,
)
from tests.support.gateway_world import Asked, Running, World

SEEDS = range(6)
ROUNDS = 25


def mutate(rng: random.Random, data: bytes) -> bytes:
    """One of the things that can be done to bytes."""
    at = rng.randrange(len(data))
    match rng.randrange(6):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return data + rng.randbytes(rng.randrange(1, 40))
        case 3:
            return data[:at] + rng.randbytes(8) + data[at + 8 :]
        case 4:
            return data[:at] + data[at + 1 :]
        case _:
            return rng.randbytes(len(data))


def twist(rng: random.Random, world: World, asked: Asked, older: Asked) -> Deliver:
    """A delivery that is not the one the device made."""
    message = asked.message
    other_sender = rng.choice([world.alice.device, new_uid(), older.message.sender + "x"])
    match rng.randrange(6):
        case 0 | 1:
            return Deliver(message.conversation, message.sender, mutate(rng, message.payload))
        case 2:
            return Deliver(new_uid(), message.sender, message.payload)
        case 3:
            return Deliver(message.conversation, other_sender, message.payload)
        case 4:
            return Deliver(message.conversation, message.sender, older.message.payload)
        case _:
            return older.message


async def ask_clean(running: Running) -> Reply:
    """A command that arrives as it was sent, from another user, so that limits play no part."""
    _, reply = await running.start(running.world.alice)
    return reply


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_twisted_command_opens_a_tunnel(world: World, seed: int) -> None:
    """Whatever is delivered instead of the command is refused, and the reply says so or does not open."""
    rng = random.Random(seed)
    running = await world.service()
    older = world.command()
    first = await running.ask(older)
    assert first.accepted

    for _ in range(ROUNDS):
        asked = world.command()
        twisted = twist(rng, world, asked, older)
        if twisted == asked.message:
            continue
        sent = await running.service.handle(twisted)
        try:
            reply = open_reply(
                sent.payload,
                world.gateway_key.public,
                secret=asked.command.secret,
                conversation=asked.message.conversation,
                command=asked.message.payload,
            )
        except (SealBroken, InvalidInput):
            continue
        # The bytes were the device's, under another name: a refusal, and the right one.
        assert (reply.accepted, reply.code) == (False, Code.COMMAND_MALFORMED)

    assert len(running.service.sessions) == 1
    assert (await ask_clean(running)).accepted
    await running.service.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_twisted_reply_is_taken(world: World, seed: int) -> None:
    """A device takes the gateway's own reply to its own command and nothing else."""
    rng = random.Random(100 + seed)
    running = await world.service()
    asked, other = world.command(), world.command(world.alice)
    own = (await running.service.handle(asked.message)).payload
    foreign = (await running.service.handle(other.message)).payload
    forged = Reply(
        asked.message.conversation, command_hash(asked.message.payload), True, "", "", b""
    )
    twisted = [
        foreign,
        seal_reply(forged, SigningKey.generate(), secret=asked.command.secret),
        seal_reply(forged, world.gateway_key, secret=None),
        seal_reply(forged, world.gateway_key, secret=bytes(32)),
        encode(ReplyEnvelope(False, encode(forged), bytes(64))),
        *(mutate(rng, own) for _ in range(ROUNDS)),
    ]

    for payload in twisted:
        if payload == own:
            continue
        with pytest.raises((SealBroken, InvalidInput)):
            open_reply(
                payload,
                world.gateway_key.public,
                secret=asked.command.secret,
                conversation=asked.message.conversation,
                command=asked.message.payload,
            )

    assert open_reply(
        own,
        world.gateway_key.public,
        secret=asked.command.secret,
        conversation=asked.message.conversation,
        command=asked.message.payload,
    ).accepted
    await running.service.close()


async def test_a_refusal_made_of_a_broken_command_opens_nothing(world: World) -> None:
    """For a command that does not open the reply is clear, signed, coded, and can only refuse."""
    running = await world.service()
    asked = world.command()
    broken = Deliver(asked.message.conversation, asked.message.sender, b"x" * 2000)

    sent = await running.service.handle(broken)

    reply = open_reply(
        sent.payload,
        world.gateway_key.public,
        secret=asked.command.secret,
        conversation=asked.message.conversation,
        command=broken.payload,
    )
    assert (reply.accepted, reply.code) == (False, "command-malformed")
    assert asked.command.secret not in sent.payload
