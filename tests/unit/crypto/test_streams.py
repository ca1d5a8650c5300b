"""Tests of commander/crypto/streams.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.crypto import aead, streams
from commander.crypto.streams import StreamOpener, StreamSealer
from commander.errors import SealBroken

KEY = bytes(range(32))
CONTENT = b"content of a file"


def sealed(*pieces: bytes) -> bytes:
    """The sealed form of pieces."""
    sealer = StreamSealer(KEY)
    return b"".join([*map(sealer.feed, pieces), sealer.finish()])


def opened(*pieces: bytes, key: bytes = KEY) -> bytes:
    """What pieces of a sealed form hold."""
    opener = StreamOpener(key)
    content = b"".join(map(opener.feed, pieces))
    opener.finish()
    return content


@given(st.lists(st.binary(max_size=40)), st.integers(0, 200), st.integers(0, 200))
def test_however_it_is_cut_it_is_the_form_of_aead(pieces: list[bytes], a: int, b: int) -> None:
    """Streams and whole texts open each other."""
    content = b"".join(pieces)
    data = sealed(*pieces)
    first, second = sorted((min(a, len(data)), min(b, len(data))))

    assert aead.open_sealed(KEY, data) == content
    assert opened(data[:first], data[first:second], data[second:]) == content
    assert opened(*(bytes([byte]) for byte in aead.seal(KEY, content))) == content


@pytest.mark.parametrize("cut", range(len(CONTENT) + 28))
def test_a_truncated_stream_is_refused(cut: int) -> None:
    """At every byte."""
    data = sealed(CONTENT)

    with pytest.raises(SealBroken):
        opened(data[:cut])


def test_another_key_and_a_changed_byte_are_refused() -> None:
    """All fail the same way."""
    data = sealed(CONTENT)
    for broken, key in ((data, bytes(32)), (data[:-1] + bytes([data[-1] ^ 1]), KEY)):
        with pytest.raises(SealBroken):
            opened(broken, key=key)
    with pytest.raises(SealBroken):
        StreamOpener(b"short")


def test_a_stream_over_the_limit_is_refused() -> None:
    """Before anything is decrypted."""

    class Long(bytes):
        def __len__(self) -> int:
            return streams.MAX_BYTES + 1

    with pytest.raises(SealBroken):
        StreamOpener(KEY).feed(Long(b"x"))
