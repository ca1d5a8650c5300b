from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import SealBroken
from commander.tunnel.codes import Role
from commander.tunnel.seal import SEAL_BYTES, Opener, Sealer

KEY = bytes(range(32))


def pair(
    *, sender: Role = Role.CLIENT, generation: int = 1, conversation: str = "c", key: bytes = KEY
) -> tuple[Sealer, Opener]:
    return (
        Sealer(key, conversation, sender, generation),
        Opener(key, conversation, sender, generation),
    )


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_messages_open_in_the_order_of_sealing(messages: list[bytes]) -> None:
    """A sequence of sealed messages opens to the same sequence."""
    sealer, opener = pair()
    assert [opener.open(sealer.seal(message)) for message in messages] == messages


def test_a_seal_costs_26_bytes() -> None:
    """The published overhead is the real one."""
    sealer, _ = pair()
    assert len(sealer.seal(b"abc")) == 3 + SEAL_BYTES == 29


def test_a_repeated_message_does_not_open() -> None:
    """Replay is refused; the control, its first arrival, opens."""
    sealer, opener = pair()
    sealed = sealer.seal(b"once")
    assert opener.open(sealed) == b"once"

    with pytest.raises(SealBroken):
        opener.open(sealed)


def test_a_skipped_message_does_not_open() -> None:
    """A gap in the numbers is refused, so a lost message cannot go unnoticed."""
    sealer, opener = pair()
    sealer.seal(b"lost")
    with pytest.raises(SealBroken):
        opener.open(sealer.seal(b"next"))


@pytest.mark.parametrize(
    "opener",
    [
        Opener(KEY, "c", Role.GATEWAY, 1),
        Opener(KEY, "c", Role.CLIENT, 2),
        Opener(KEY, "d", Role.CLIENT, 1),
        Opener(bytes(32), "c", Role.CLIENT, 1),
    ],
)
def test_direction_generation_conversation_and_key_are_bound(opener: Opener) -> None:
    """A message opens nowhere but where it was sealed for."""
    sealer, control = pair()
    sealed = sealer.seal(b"text")
    assert control.open(sealed) == b"text"

    with pytest.raises(SealBroken):
        opener.open(sealed)


def test_every_flipped_bit_is_found() -> None:
    """No bit of header, text or tag can change."""
    sealer, _ = pair()
    sealed = sealer.seal(b"hello")
    for position in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[position // 8] ^= 1 << position % 8
        with pytest.raises(SealBroken):
            pair()[1].open(bytes(altered))


def test_every_truncation_is_found() -> None:
    """No prefix opens."""
    sealer, _ = pair()
    sealed = sealer.seal(b"hello")
    for cut in range(len(sealed)):
        with pytest.raises(SealBroken):
            pair()[1].open(sealed[:cut])


@given(st.binary(max_size=100))
def test_random_bytes_do_not_open(noise: bytes) -> None:
    """Noise gives the one documented error."""
    with pytest.raises(SealBroken):
        pair()[1].open(noise)


def test_the_opener_follows_a_ratchet() -> None:
    """After a re-key the same opener goes on, and the old key is of no use."""
    sealer, opener = pair()
    assert opener.open(sealer.seal(b"one")) == b"one"
    sealer.ratchet()
    assert opener.open(sealer.seal(b"two")) == b"two"
    sealer.ratchet()
    sealer.ratchet()
    assert opener.open(sealer.seal(b"three")) == b"three"


def test_keys_are_replaced_at_their_limits() -> None:
    """Message count and byte count each force a new key before they are passed."""
    sealer, opener = pair()
    sealer.max_key_messages = 2
    epochs = []
    for number in range(5):
        sealed = sealer.seal(b"%d" % number)
        epochs.append(int.from_bytes(sealed[2:4], "big"))
        assert opener.open(sealed) == b"%d" % number
    assert epochs == [0, 0, 1, 1, 2]

    sealer, opener = pair()
    sealer.max_key_bytes = 10
    for _ in range(3):
        assert opener.open(sealer.seal(b"123456")) == b"123456"
    assert int.from_bytes(sealer.seal(b"")[2:4], "big") == 2


def test_a_forged_epoch_does_not_move_the_opener() -> None:
    """An altered epoch fails and leaves the state as it was."""
    sealer, opener = pair()
    sealed = bytearray(sealer.seal(b"one"))
    sealed[3] += 1
    with pytest.raises(SealBroken):
        opener.open(bytes(sealed))

    sealed[3] -= 1
    assert opener.open(bytes(sealed)) == b"one"


def test_an_epoch_cannot_be_skipped_or_taken_back() -> None:
    """The epoch rises by one or stays."""
    sealer, opener = pair()
    opener.open(sealer.seal(b"one"))
    sealer.ratchet()
    opener.open(sealer.seal(b"two"))
    old, _ = pair()
    old.seal(b"")
    old.seal(b"")
    with pytest.raises(SealBroken):
        opener.open(old.seal(b"three"))


def test_a_used_up_generation_seals_no_more() -> None:
    """The number never wraps."""
    sealer, _ = pair()
    sealer._number = 1 << 48
    with pytest.raises(SealBroken):
        sealer.seal(b"")

    sealer, _ = pair()
    sealer.seal(b"")
    sealer._epoch = (1 << 16) - 1
    with pytest.raises(SealBroken):
        sealer.ratchet()
