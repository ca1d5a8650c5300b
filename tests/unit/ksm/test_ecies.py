from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import SealBroken
from commander.ksm import ecies
from commander.ksm.keys import P256PrivateKey
from tests.support.vectors import flips, load

OWN = load("own/ksm")[0]
KEY = P256PrivateKey(bytes.fromhex(OWN["server"]))
SEALED = ecies.seal(KEY.public, b"a text")


def test_recorded_wrap_opens() -> None:
    """What was sealed when the format was born opens today."""
    assert ecies.open_sealed(KEY, bytes.fromhex(OWN["ecies"])).hex() == OWN["plaintext"]


@given(plaintext=st.binary(max_size=200))
def test_round_trip(plaintext: bytes) -> None:
    """What is sealed to a key, the key opens; the overhead is fixed."""
    sealed = ecies.seal(KEY.public, plaintext)

    assert ecies.open_sealed(KEY, sealed) == plaintext
    assert len(sealed) == len(plaintext) + ecies.OVERHEAD_BYTES


def test_transmission_key_has_125_bytes() -> None:
    """The size the protocol names for a wrapped 32-byte key."""
    assert len(ecies.seal(KEY.public, bytes(32))) == 125


def test_no_changed_byte_opens() -> None:
    """A change at any place is noticed, the point included."""
    for changed in list(flips(SEALED)):
        with pytest.raises(SealBroken):
            ecies.open_sealed(KEY, changed)


def test_no_prefix_opens() -> None:
    """A wrap cut at any place is refused the same way."""
    for cut in range(len(SEALED)):
        with pytest.raises(SealBroken, match=r"^seal does not verify$"):
            ecies.open_sealed(KEY, SEALED[:cut])


def test_another_key_does_not_open() -> None:
    """Only the recipient opens."""
    with pytest.raises(SealBroken):
        ecies.open_sealed(P256PrivateKey.generate(), SEALED)


@given(raw=st.binary(max_size=200))
def test_any_bytes_give_the_documented_error(raw: bytes) -> None:
    """Random bytes never fail otherwise, with a good point in front or without."""
    for data in (raw, KEY.public.raw + raw):
        with pytest.raises(SealBroken):
            ecies.open_sealed(KEY, data)
