"""
Errors of the Secrets Manager wire format: JSON in clear under 1,000 bytes, with any status but 200.

`ErrorAnswer` is what a server sends, `parse_error` what a client reads. Some SDKs read only
the first 1,000 bytes; so longer texts are cut.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass

import msgspec

from commander.errors import CommanderError, InvalidInput, NotFound, Refused, SealBroken
from commander.ksm import strict_json

MAX_ERROR_BYTES = 999
MAX_ERROR_ANSWER_BYTES = 16 * 1024
_MAX_MESSAGE = 200

# Identifiers of public keys that SDKs carry inside: only a client that used one of them
# can do anything with a "key" answer. Ours lie above (server_key_id in config.py).
BUILT_IN_KEY_IDS = range(1, 21)


class ErrorCode(enum.StrEnum):
    """The codes we send; SDKs know these and show others as text."""

    ACCESS_DENIED = "access_denied"
    BAD_REQUEST = "bad_request"
    KEY = "key"
    THROTTLED = "throttled"
    NOT_FOUND = "not_found"
    OUT_OF_SYNC = "out_of_sync"
    RECORD_NOT_FOUND = "record_uid_not_found"
    FOLDER_NOT_FOUND = "folder_uid_not_found"
    SERVER_ERROR = "server_error"


_STATUS = {
    ErrorCode.ACCESS_DENIED: 403,
    ErrorCode.BAD_REQUEST: 400,
    ErrorCode.KEY: 401,
    # 403 it must be: SDKs wait and try again only on that status.
    ErrorCode.THROTTLED: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.OUT_OF_SYNC: 400,
    ErrorCode.RECORD_NOT_FOUND: 400,
    ErrorCode.FOLDER_NOT_FOUND: 400,
    ErrorCode.SERVER_ERROR: 500,
}


_CODES = frozenset(ErrorCode)


class UnknownServerKey(SealBroken):
    """The transmission key was not sealed to any key of this server."""

    def __init__(self, key_id: int) -> None:
        super().__init__(f"request is sealed to server key {key_id}, which does not open it")
        self.key_id = key_id


class DeviceRefused(Refused):
    """
    A Secrets Manager server refused this device; `code` is the server's own code.

    A server raises it with an `ErrorCode`, and only to a device whose signature it verified.
    """


@dataclass(frozen=True)
class ErrorAnswer:
    """Status and body of an error; `key_id` and `retry_after_s` only where the code has them."""

    code: ErrorCode
    message: str
    key_id: int | None = None
    retry_after_s: int | None = None

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return _STATUS[self.code]

    def body(self) -> bytes:
        """The JSON text, always within the limit and plain ASCII."""
        message = self.message[:_MAX_MESSAGE]
        content: dict[str, object] = {"error": self.code.value, "message": message}
        if self.key_id is not None:
            content["key_id"] = self.key_id
        if self.retry_after_s is not None:
            content["retry_after"] = self.retry_after_s
        raw = json.dumps(content).encode()
        # Escapes make a message up to twelve times longer.
        if len(raw) > MAX_ERROR_BYTES:
            content["message"] = message.encode("ascii", "replace").decode()[: _MAX_MESSAGE // 2]
            raw = json.dumps(content).encode()
        assert len(raw) <= MAX_ERROR_BYTES
        return raw


def answer_for(error: CommanderError, *, server_key_id: int) -> ErrorAnswer:
    """
    Choose the answer to a request that failed.

    `key` goes only to a client that used a built-in key id, and so holds no key of ours:
    told `key` about a key of ours, some SDKs try again for ever. Crypto failures and
    unknown clients get one and the same text.
    """
    if isinstance(error, UnknownServerKey):
        if error.key_id in BUILT_IN_KEY_IDS:
            return ErrorAnswer(ErrorCode.KEY, "this server has its own key", key_id=server_key_id)
        return ErrorAnswer(ErrorCode.ACCESS_DENIED, "server key is not valid; get a new config")
    if isinstance(error, InvalidInput):
        return ErrorAnswer(ErrorCode.BAD_REQUEST, error.message)
    if isinstance(error, DeviceRefused) and error.code in _CODES:
        return ErrorAnswer(ErrorCode(error.code), error.message)
    if isinstance(error, (SealBroken, Refused, NotFound)):
        return ErrorAnswer(ErrorCode.ACCESS_DENIED, "signature or client is not valid")
    return ErrorAnswer(ErrorCode.SERVER_ERROR, "the server could not answer")


class _ErrorBody(msgspec.Struct, frozen=True):
    error: str | None = None
    result_code: str | None = None
    message: str | None = None
    additional_info: str | None = None
    key_id: int | None = None
    retry_after: float | None = None


def parse_error(status: int, body: bytes) -> DeviceRefused:
    """
    Read an error answer into the error to raise; a body of another form gives one too.

    Text from the server is cut and stripped of control characters.
    """
    try:
        found = strict_json.decode_object(
            body, _ErrorBody, what="error answer", limit=MAX_ERROR_ANSWER_BYTES
        )
    except InvalidInput:
        return DeviceRefused(f"server answered with status {status}", code=f"http-{status}")
    code = _plain(found.result_code or found.error or f"http-{status}", 64)
    message = _plain(found.message or found.additional_info or "no reason given", _MAX_MESSAGE)
    return DeviceRefused(f"server refused the device: {message} ({code})", code=code)


def _plain(text: str, limit: int) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:limit])
