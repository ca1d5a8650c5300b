from __future__ import annotations

from commander.errors import InvalidInput
from commander.tunnel.codes import CloseCode, ProtocolViolation, ResetCode, Role, StreamRefused


def test_the_numbers_on_the_wire_are_fixed() -> None:
    """A number never changes its meaning; new ones are added at the end."""
    assert [code.label for code in ResetCode] == [
        "other", "aborted", "target-refused", "target-unreachable", "target-timed-out",
        "target-name-unknown", "not-allowed", "too-many-streams", "tunnel-closed", "internal",
    ]  # fmt: skip
    assert [code.label for code in CloseCode] == [
        "other", "stopped", "going-away", "protocol-error", "hello-failed", "path-lost", "idle",
        "expired", "revoked", "limit", "internal",
    ]  # fmt: skip
    assert [int(code) for code in ResetCode] == list(range(10))
    assert [int(code) for code in CloseCode] == list(range(11))


def test_numbers_of_a_later_version_are_other() -> None:
    """Unknown is not an error."""
    assert ResetCode.of(2) is ResetCode.TARGET_REFUSED
    assert ResetCode.of(1000) is ResetCode.OTHER
    assert CloseCode.of(8) is CloseCode.REVOKED
    assert CloseCode.of(1000) is CloseCode.OTHER


def test_each_role_has_the_other_as_its_peer() -> None:
    """There are two ends."""
    assert Role.CLIENT.peer is Role.GATEWAY
    assert Role.GATEWAY.peer is Role.CLIENT


def test_errors_carry_their_codes() -> None:
    """What a caller decides by."""
    refused = StreamRefused(ResetCode.NOT_ALLOWED, "not this one", hint="ask")
    assert (refused.reset_code, refused.code, refused.hint) == (
        ResetCode.NOT_ALLOWED,
        "stream-refused",
        "ask",
    )
    assert isinstance(ProtocolViolation("x"), InvalidInput)
    assert ProtocolViolation("x").code == "tunnel-protocol"
