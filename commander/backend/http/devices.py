"""The Secrets Manager device API under /api/rest/sm/v1/; its format is `commander.ksm`'s."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from commander.authority.refusals import Code
from commander.backend.core import Core
from commander.backend.http.body import BodyReader, BodyRefused
from commander.backend.http.door import peer_of
from commander.backend.limits import DEVICE_BODY, source_of
from commander.backend.services.get_secret import get_secret
from commander.errors import CommanderError, Refused
from commander.ksm.errors import ErrorAnswer, ErrorCode, answer_for
from commander.ksm.request import PATH_PREFIX, open_request

DEVICE_PATH = PATH_PREFIX + "{endpoint}"
_LATER = frozenset(
    {
        "get_folders", "create_secret", "update_secret", "finalize_secret_update",
        "rollback_secret_update", "delete_secret", "create_folder", "update_folder",
        "delete_folder", "add_file",
    }
)  # fmt: skip
_RETRY_AFTER_S = 10


class DeviceEndpoint:
    """Answers POST /api/rest/sm/v1/<endpoint>."""

    def __init__(self, core: Core, bodies: BodyReader) -> None:
        self._core = core
        self._bodies = bodies

    async def answer(self, request: Request) -> Response:
        """Sealed under the device's key when all is well, else JSON in clear."""
        endpoint = request.path_params["endpoint"]
        if endpoint != "get_secret" or request.url.query:
            return _error(_unknown(endpoint))
        try:
            body = await self._bodies.read(request, DEVICE_BODY)
        except BodyRefused as error:
            return error.response
        try:
            return await self._open(request, body)
        except CommanderError as error:
            return _error(self._judge(error))
        finally:
            self._bodies.done(len(body))

    async def _open(self, request: Request, body: bytes) -> Response:
        core, address = self._core, peer_of(request)
        core.guards.open_devices.check(source_of(address), core.clock.now())
        opened = open_request(request.headers, body, [core.identity.ksm])
        payload = await get_secret(core, opened, address=address)
        return Response(opened.seal_answer(payload), media_type="application/octet-stream")

    def _judge(self, error: CommanderError) -> ErrorAnswer:
        if isinstance(error, Refused) and error.code == Code.TOO_MANY_REQUESTS:
            return ErrorAnswer(
                ErrorCode.THROTTLED, "too many requests", retry_after_s=_RETRY_AFTER_S
            )
        if isinstance(error, Refused) and error.code == Code.STORE_UNAVAILABLE:
            return ErrorAnswer(ErrorCode.SERVER_ERROR, "the server cannot answer now; try again")
        return answer_for(error, server_key_id=self._core.identity.ksm_key_id)


def _unknown(endpoint: str) -> ErrorAnswer:
    if endpoint in _LATER:
        return ErrorAnswer(
            ErrorCode.BAD_REQUEST, f"{endpoint} is not available: devices of this server only read"
        )
    return ErrorAnswer(ErrorCode.NOT_FOUND, "no such endpoint")


def _error(answer: ErrorAnswer) -> Response:
    return Response(answer.body(), answer.status, media_type="application/json")
