"""Makes damaged inputs from good ones: small, repeatable from a seed, and no smarter than it must be."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

MAX_SIZE = 64 * 1024
_INTERESTING = (0x00, 0x01, 0x7F, 0x80, 0xC0, 0xC1, 0xFE, 0xFF)
_LENGTHS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


class Mutator:
    """Draws inputs from a seed and a corpus; the same seed and corpus give the same inputs."""

    def __init__(self, corpus: Sequence[bytes], seed: int) -> None:
        self._corpus = [*corpus] or [b""]
        self._rng = random.Random(seed)

    def inputs(self) -> Iterator[bytes]:
        """First the corpus as it is, then damaged pieces of it and plain noise, without end."""
        yield from self._corpus
        while True:
            yield self._next()[:MAX_SIZE]

    def _next(self) -> bytes:
        rng = self._rng
        if rng.random() < 0.1:
            return rng.randbytes(rng.randrange(1 << rng.randrange(1, 12)))
        data = bytearray(rng.choice(self._corpus))
        for _ in range(1 + rng.randrange(4)):
            rng.choice(self._damages())(data)
        return bytes(data)

    def _damages(self) -> tuple[Callable[[bytearray], None], ...]:
        return (
            self._flip_bit, self._set_byte, self._cut_end, self._cut_inside, self._repeat,
            self._insert, self._splice, self._set_length,
        )  # fmt: skip

    def _place(self, data: bytearray) -> int:
        return self._rng.randrange(len(data) + 1)

    def _flip_bit(self, data: bytearray) -> None:
        if data:
            data[self._rng.randrange(len(data))] ^= 1 << self._rng.randrange(8)

    def _set_byte(self, data: bytearray) -> None:
        if data:
            data[self._rng.randrange(len(data))] = self._rng.choice(_INTERESTING)

    def _cut_end(self, data: bytearray) -> None:
        del data[self._place(data) :]

    def _cut_inside(self, data: bytearray) -> None:
        start = self._place(data)
        del data[start : start + 1 + self._rng.randrange(16)]

    def _repeat(self, data: bytearray) -> None:
        start = self._place(data)
        piece = data[start : start + 1 + self._rng.randrange(32)]
        data[start:start] = piece * (1 + self._rng.randrange(8))

    def _insert(self, data: bytearray) -> None:
        start = self._place(data)
        data[start:start] = self._rng.randbytes(1 + self._rng.randrange(8))

    def _splice(self, data: bytearray) -> None:
        other = self._rng.choice(self._corpus)
        start = self._place(data)
        data[start:] = other[self._rng.randrange(len(other) + 1) :]

    def _set_length(self, data: bytearray) -> None:
        # A wrong length field is what parsers most often trust.
        size = self._rng.choice((1, 2, 4))
        value = self._rng.choice(_LENGTHS) & ((1 << 8 * size) - 1)
        start = self._place(data)
        data[start : start + size] = value.to_bytes(size, self._rng.choice(("big", "little")))
