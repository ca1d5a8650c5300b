from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from commander.api.retry import backoff
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.wire import calls
from commander.wire.known_server import KnownServer
from commander.wire.requests import (
    Answer,
    SignedRequest,
)

BOX = BoxPrivateKey.generate()
DEVICE = SigningKey(bytes(range(32)))
SERVER = KnownServer(
    "vault.example:8443", "u" * 22, SigningKey(bytes(32)).public.raw, BOX.public.raw, ""
)
STATE = calls.SessionState("user", "device", 9, 8)

Judge = Callable[[SignedRequest], Answer]


@given(seed=st.integers(), limit=st.floats(0.5, 60))
def test_backoff_grows_to_its_limit(seed: int, limit: float) -> None:
    """Each wait is in the upper half of its span; spans double up to the limit."""
    waits = backoff(Random(seed), first_s=0.2, limit_s=limit)
    span = 0.2

    for _ in range(12):
        wait = next(waits)
        assert span / 2 <= wait <= span
        span = min(span * 2, limit)
