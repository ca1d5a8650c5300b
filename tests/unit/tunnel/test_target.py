from __future__ import annotations

import errno
import socket

import pytest

from commander.tunnel.codes import ResetCode
from commander.tunnel.target import refusal_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), ResetCode.TARGET_REFUSED),
        (TimeoutError(), ResetCode.TARGET_TIMED_OUT),
        (OSError(errno.ETIMEDOUT, "timed out"), ResetCode.TARGET_TIMED_OUT),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), ResetCode.TARGET_NAME_UNKNOWN),
        (OSError(errno.EHOSTUNREACH, "no route"), ResetCode.TARGET_UNREACHABLE),
        (OSError(errno.ENETUNREACH, "no network"), ResetCode.TARGET_UNREACHABLE),
    ],
)
def test_every_failure_to_connect_has_a_code(error: OSError, code: ResetCode) -> None:
    """The client learns the kind of failure, and no address of the gateway's network."""
    refusal = refusal_of(error)
    assert refusal.reset_code is code
    assert refusal.message.startswith("the target")
