"""The one place where a code of the server's becomes an error type of ours."""

from __future__ import annotations

from commander.authority.refusals import Code
from commander.errors import (
    BY_CODE,
    CommanderError,
    Conflict,
    InvalidInput,
    NotFound,
    NotLoggedIn,
    Refused,
    Unreachable,
)
from commander.wire.requests import Answer

MAX_TEXT = 500

_TYPES: dict[str, type[CommanderError]] = {
    Code.SESSION_UNKNOWN: NotLoggedIn,
    Code.SESSION_EXPIRED: NotLoggedIn,
    Code.OBJECT_UNKNOWN: NotFound,
    Code.OBJECT_REVOKED: NotFound,
    Code.RECORD_UNKNOWN: NotFound,
    Code.LOG_MOVED: Conflict,
    Code.REVISION_CONFLICT: Conflict,
    Code.STATEMENT_DUPLICATE: Conflict,
    Code.STATEMENT_CHAIN: Conflict,
    Code.SEAL_REVISION: Conflict,
    Code.REQUEST_MALFORMED: InvalidInput,
    Code.TOO_LARGE: InvalidInput,
    Code.STORE_UNAVAILABLE: Unreachable,
    Code.TOO_MANY_REQUESTS: Unreachable,
    Code.GATEWAY_OFFLINE: Unreachable,
    Code.PEER_UNKNOWN: Unreachable,
}
_HINTS: dict[str, str] = {
    Code.SESSION_UNKNOWN: "log in: commander login",
    Code.SESSION_EXPIRED: "log in: commander login",
    Code.REQUEST_STALE: "set this machine's clock; it differs from the server's by minutes",
}


def error_from(answer: Answer) -> CommanderError:
    """The error that a refusing answer stands for; its code stays the server's."""
    code = answer.code[:MAX_TEXT]
    message = answer.message[:MAX_TEXT] or f"the server refused: {code}"
    hint = answer.hint[:MAX_TEXT] or _HINTS.get(code, "")
    kind = _TYPES.get(code) or BY_CODE.get(code) or _other(code)
    return kind(message, hint=hint, code=code)


def _other(code: str) -> type[CommanderError]:
    return Refused if code in set(Code) else CommanderError
