from __future__ import annotations

from collections.abc import Callable

from commander.api.error_map import error_from
from commander.authority.refusals import Code
from commander.crypto.box import BoxPrivateKey
from commander.crypto.signing import SigningKey
from commander.errors import (
    CommanderError,
)
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


def test_every_code_has_an_error() -> None:
    """No published code falls through to a plain failure, and long texts are cut."""
    for code in Code:
        error = error_from(Answer(False, b"", code, "m" * 10_000, ""))
        assert type(error) is not CommanderError
        assert len(error.message) <= 500
