from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput, SealBroken
from commander.tunnel.codes import Role
from commander.tunnel.keys import MAX_SIGNAL_BYTES, MAX_SIGNALS, ConversationKeys, Signalling

INPUTS: dict[str, Any] = {
    "conversation_secret": b"s" * 32,
    "tunnel_seed": b"t" * 32,
    "client_device": "device",
    "gateway": "gateway",
    "conversation_id": "conversation",
    "record": "record",
    "user": "user",
}
CHANGES: list[tuple[str, Any]] = [
    ("conversation_secret", b"S" * 32),
    ("tunnel_seed", b"T" * 32),
    ("client_device", "other"),
    ("gateway", "other"),
    ("conversation_id", "other"),
    ("record", "other"),
    ("user", "other"),
]


def make(**changes: Any) -> ConversationKeys:
    return ConversationKeys(**{**INPUTS, **changes})


def signals() -> tuple[Signalling, Signalling]:
    return make().signalling(Role.CLIENT), make().signalling(Role.GATEWAY)


def test_both_ends_derive_the_same_keys() -> None:
    """Equal inputs give equal keys."""
    assert make().frame_key(Role.CLIENT, 1) == make().frame_key(Role.CLIENT, 1)
    assert make().hello_key(Role.GATEWAY, 2) == make().hello_key(Role.GATEWAY, 2)


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_every_input_changes_every_key(name: str, value: Any) -> None:
    """Keys are bound to the seed, the secret and all identities."""
    ours, theirs = make(), make(**{name: value})
    assert ours.frame_key(Role.CLIENT, 1) != theirs.frame_key(Role.CLIENT, 1)
    assert ours.hello_key(Role.CLIENT, 1) != theirs.hello_key(Role.CLIENT, 1)
    with pytest.raises(SealBroken):
        theirs.signalling(Role.GATEWAY).open(ours.signalling(Role.CLIENT).seal(b"offer"))


def test_keys_differ_by_direction_generation_and_purpose() -> None:
    """No two uses share a key."""
    keys = make()
    all_keys = [
        make_key(role, generation)
        for make_key in (keys.hello_key, keys.frame_key)
        for role in Role
        for generation in (1, 2)
    ]
    assert len(set(all_keys)) == 8


@pytest.mark.parametrize("generation", [0, -1, 65536])
def test_generations_have_a_range(generation: int) -> None:
    """0 and what does not fit 16 bits are no generations."""
    with pytest.raises(InvalidInput):
        make().frame_key(Role.CLIENT, generation)


def test_sealer_and_opener_of_the_two_ends_fit() -> None:
    """Each end opens what the other seals, and not its own."""
    client, gateway = make(), make()
    sealed = client.sealer(Role.CLIENT, 1).seal(b"hi")
    assert gateway.opener(Role.GATEWAY, 1).open(sealed) == b"hi"
    with pytest.raises(SealBroken):
        client.opener(Role.CLIENT, 1).open(sealed)


def test_no_generation_is_sealed_twice() -> None:
    """A second sealer of one key would repeat nonces; the next generation is free."""
    keys = make()
    keys.sealer(Role.CLIENT, 1)
    with pytest.raises(InvalidInput):
        keys.sealer(Role.CLIENT, 1)
    keys.sealer(Role.CLIENT, 2)


def test_short_secrets_are_refused() -> None:
    """Keys are never derived from next to nothing."""
    with pytest.raises(InvalidInput):
        make(conversation_secret=b"short")
    with pytest.raises(InvalidInput):
        make(tunnel_seed=b"")


def test_wiped_keys_derive_no_more_of_the_same() -> None:
    """After `wipe` the old keys cannot be asked for."""
    keys = make()
    before = keys.frame_key(Role.CLIENT, 1)
    keys.wipe()
    assert keys.frame_key(Role.CLIENT, 1) != before


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=100)), max_size=20))
def test_signals_flow_both_ways_in_order(messages: list[tuple[bool, bytes]]) -> None:
    """Any interleaving of both directions opens."""
    client, gateway = signals()
    for is_client, body in messages:
        sender, receiver = (client, gateway) if is_client else (gateway, client)
        assert receiver.open(sender.seal(body)) == body


def test_reflected_repeated_and_reordered_signals_do_not_open() -> None:
    """Direction and number are part of the seal; the control opens."""
    client, gateway = signals()
    first, second = client.seal(b"1"), client.seal(b"2")
    for receiver, sealed in ((client, first), (gateway, second)):
        with pytest.raises(SealBroken):
            receiver.open(sealed)
    assert gateway.open(first) == b"1"
    with pytest.raises(SealBroken):
        gateway.open(first)
    assert gateway.open(second) == b"2"


def test_truncated_and_altered_signals_do_not_open() -> None:
    """No prefix and no flipped byte opens."""
    client, gateway = signals()
    sealed = client.seal(b"offer")
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        for bad in (sealed[:position], bytes(altered)):
            with pytest.raises(SealBroken):
                gateway.open(bad)
    assert gateway.open(sealed) == b"offer"


def test_signals_are_limited_in_size_and_number() -> None:
    """64 KiB and 200 messages, on both sides."""
    client, gateway = signals()
    with pytest.raises(InvalidInput):
        client.seal(bytes(MAX_SIGNAL_BYTES + 1))
    with pytest.raises(SealBroken):
        gateway.open(bytes(MAX_SIGNAL_BYTES + 22))
    for _ in range(MAX_SIGNALS):
        gateway.open(client.seal(b""))
    with pytest.raises(InvalidInput):
        client.seal(b"")
