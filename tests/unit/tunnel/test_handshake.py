from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import SealBroken
from commander.tunnel.codes import ProtocolViolation, Role
from commander.tunnel.handshake import MESSAGE_BYTES, Handshake
from commander.tunnel.keys import ConversationKeys
from commander.tunnel.path import Binding

BINDING = Binding(client=b"c" * 32, gateway=b"g" * 32)


def keys(secret: bytes = b"s" * 32) -> ConversationKeys:
    return ConversationKeys(
        secret, b"t" * 32, client_device="d", gateway="g", conversation_id="conversation"
    )


def end(
    role: Role, *, binding: Binding = BINDING, generation: int = 1, secret: bytes = b"s" * 32
) -> Handshake:
    return Handshake(role, keys(secret), binding, generation)


def run(client: Handshake, gateway: Handshake) -> None:
    proof_of_gateway = gateway.receive(client.greeting())
    proof_of_client = client.receive(gateway.greeting())
    assert proof_of_client is not None
    assert proof_of_gateway is not None
    assert client.receive(proof_of_gateway) is None
    assert gateway.receive(proof_of_client) is None


def test_two_ends_of_one_conversation_verify_each_other() -> None:
    """The control: equal keys, bindings and generations."""
    client, gateway = end(Role.CLIENT), end(Role.GATEWAY)
    before = client.is_verified, gateway.is_verified
    run(client, gateway)
    assert before == (False, False)
    assert (client.is_verified, gateway.is_verified) == (True, True)


@pytest.mark.parametrize(
    "make_gateway",
    [
        lambda: end(Role.GATEWAY, binding=Binding(b"x" * 32, BINDING.gateway)),
        lambda: end(Role.GATEWAY, binding=Binding(BINDING.client, b"x" * 32)),
        lambda: end(Role.GATEWAY, binding=Binding(BINDING.gateway, BINDING.client)),
        lambda: end(Role.GATEWAY, secret=b"S" * 32),
    ],
)
def test_a_middleman_or_a_stranger_is_found(make_gateway: Callable[[], Handshake]) -> None:
    """Another transport on one side, or another key, fails the proof."""
    with pytest.raises(SealBroken):
        run(end(Role.CLIENT), make_gateway())


def test_another_generation_is_refused() -> None:
    """An old path cannot be taken for a new one."""
    with pytest.raises(ProtocolViolation):
        run(end(Role.CLIENT), end(Role.GATEWAY, generation=2))


def test_reflected_messages_do_not_verify() -> None:
    """An end that only hears itself stays unverified."""
    client = end(Role.CLIENT)
    own_proof = client.receive(client.greeting())
    assert own_proof is not None
    with pytest.raises(SealBroken):
        client.receive(own_proof)


def test_a_recorded_hello_does_not_verify_again() -> None:
    """Fresh nonces make yesterday's proof worthless."""
    old_client, gateway = end(Role.CLIENT), end(Role.GATEWAY)
    proof = gateway.receive(old_client.greeting())
    assert proof is not None

    client = end(Role.CLIENT)
    client.receive(gateway.greeting())
    with pytest.raises(SealBroken):
        client.receive(proof)


def test_messages_out_of_turn_are_refused() -> None:
    """A proof before the greeting, a second greeting, anything after the end."""
    client, gateway = end(Role.CLIENT), end(Role.GATEWAY)
    proof = gateway.receive(client.greeting())
    assert proof is not None
    with pytest.raises(ProtocolViolation):
        client.receive(proof)
    client.receive(gateway.greeting())
    with pytest.raises(ProtocolViolation):
        client.receive(gateway.greeting())
    client.receive(proof)
    with pytest.raises(ProtocolViolation):
        client.receive(proof)


@given(st.one_of(st.binary(max_size=80), st.binary(min_size=36, max_size=36)))
def test_random_bytes_never_verify(noise: bytes) -> None:
    """Only the documented errors come out, and nobody is verified."""
    gateway = end(Role.GATEWAY)
    for message in (noise, b"\x01\x01\x00\x01" + noise[:32], b"\x01\x02\x00\x01" + noise[:32]):
        try:
            gateway.receive(message)
        except (ProtocolViolation, SealBroken):
            continue
    assert not gateway.is_verified


def test_every_truncation_is_refused() -> None:
    """A hello message has one length."""
    greeting = end(Role.CLIENT).greeting()
    assert len(greeting) == MESSAGE_BYTES
    for cut in range(MESSAGE_BYTES):
        with pytest.raises(ProtocolViolation):
            end(Role.GATEWAY).receive(greeting[:cut])
