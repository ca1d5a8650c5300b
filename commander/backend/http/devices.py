"""The Secrets Manager device API under /api/rest/sm/v1/; its format is `commander.ksm`'s."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from commander.authority.refusals import Code
from commander.backend.core import Core
from commander.backend.http.body import BodyReader, BodyRefused
from commander.backend.http.cors import open_to_pages, preflight
from commander.backend.http.door import peer_of
from commander.backend.http.paced import AnswerBudget, PacedAnswer
from commander.backend.limits import DEVICE_BODY, source_of
from commander.backend.services.devices import access
from commander.backend.services.devices.add_file import add_file
from commander.backend.services.devices.create_folder import create_folder
from commander.backend.services.devices.create_secret import create_secret
from commander.backend.services.devices.delete_folder import delete_folder
from commander.backend.services.devices.delete_secret import delete_secret
from commander.backend.services.devices.draft import DeviceCall, device_write
from commander.backend.services.devices.get_folders import get_folders
from commander.backend.services.devices.update_folder import update_folder
from commander.backend.services.devices.update_secret import (
    finalize_secret_update,
    rollback_secret_update,
    update_secret,
)
from commander.backend.services.get_secret import aside_when_large, get_secret
from commander.errors import CommanderError, InvalidInput, Refused
from commander.ksm import writes
from commander.ksm.errors import DeviceRefused, ErrorAnswer, ErrorCode, answer_for
from commander.ksm.payloads import GetSecretRequest
from commander.ksm.request import PATH_PREFIX, OpenedRequest, open_request

DEVICE_PATH = PATH_PREFIX + "{endpoint}"
# What a path does, and the one kind of signed content that may be asked for there.
WRITES: dict[str, tuple[type[Any], Callable[[Core, DeviceCall, Any], Awaitable[bytes]]]] = {
    "create_secret": (writes.CreateSecret, create_secret),
    "update_secret": (writes.UpdateSecret, update_secret),
    "finalize_secret_update": (writes.CompleteUpdate, finalize_secret_update),
    "rollback_secret_update": (writes.CompleteUpdate, rollback_secret_update),
    "delete_secret": (writes.DeleteSecrets, delete_secret),
    "create_folder": (writes.CreateFolder, create_folder),
    "update_folder": (writes.UpdateFolder, update_folder),
    "delete_folder": (writes.DeleteFolders, delete_folder),
    "add_file": (writes.AddFile, add_file),
}
ENDPOINTS = frozenset(WRITES) | {"get_secret", "get_folders"}
# A client that used up what it may at once gets its next twenty calls in that time.
_RETRY_AFTER_S = 2
_UNAVAILABLE = 503
_HOST = re.compile(
    r"[A-Za-z0-9.\-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:[0-9]{1,5})?", re.ASCII
)


class DeviceEndpoint:
    """Answers POST /api/rest/sm/v1/<endpoint>, and a browser that asks whether it may."""

    def __init__(self, core: Core, bodies: BodyReader, answers: AnswerBudget) -> None:
        self._core = core
        self._bodies = bodies
        self._answers = answers

    async def answer(self, request: Request) -> Response:
        """Sealed under the device's key when all is well, else JSON in clear."""
        if request.method == "OPTIONS":
            return preflight("POST")
        return open_to_pages(await self._answer(request))

    async def _answer(self, request: Request) -> Response:
        endpoint = request.path_params["endpoint"]
        if endpoint not in ENDPOINTS or request.url.query:
            return _error(ErrorAnswer(ErrorCode.NOT_FOUND, "no such endpoint"))
        try:
            body = await self._bodies.read(request, DEVICE_BODY)
        except BodyRefused as error:
            return _body_error(error)
        try:
            return await self._open(request, endpoint, body)
        except CommanderError as error:
            return _error(self._judge(error))
        finally:
            self._bodies.done(len(body))

    async def _open(self, request: Request, endpoint: str, body: bytes) -> Response:
        core, address = self._core, peer_of(request)
        core.guards.open_devices.check(source_of(address), core.clock.now())
        opened = open_request(request.headers, body, [core.identity.ksm])
        if endpoint == "get_secret":
            payload = await get_secret(core, opened, address=address, origin=_origin(request))
        elif endpoint == "get_folders":
            asked = GetSecretRequest.parse(opened.payload)
            client = await access.admit(core, opened, asked.client_id, address=address)
            payload = await get_folders(core, client)
        else:
            payload = await self._write(opened, endpoint, address, _origin(request))
        held = self._answers.hold(source_of(address), len(payload))
        if held is None:
            raise Refused("too many answers are being read", code=Code.TOO_MANY_REQUESTS)
        try:
            sealed = await aside_when_large(len(payload), partial(opened.seal_answer, payload))
        except BaseException:
            held.release()
            raise
        return PacedAnswer(sealed, held)

    async def _write(
        self, opened: OpenedRequest, endpoint: str, address: str, origin: str
    ) -> bytes:
        kind, service = WRITES[endpoint]
        content = writes.read_write(opened.payload)
        if not isinstance(content, kind):
            raise InvalidInput(f"the payload is not one of {endpoint}")
        client = await access.admit(self._core, opened, content.client_id, address=address)
        call = DeviceCall(client, device_write(client, opened), address, origin)
        return await service(self._core, call, content)

    def _judge(self, error: CommanderError) -> ErrorAnswer:
        if isinstance(error, Refused) and not isinstance(error, DeviceRefused):
            if error.code == Code.TOO_MANY_REQUESTS:
                return ErrorAnswer(
                    ErrorCode.THROTTLED, "too many requests", retry_after_s=_RETRY_AFTER_S
                )
            if error.code == Code.STORE_UNAVAILABLE:
                return ErrorAnswer(
                    ErrorCode.SERVER_ERROR, "the server cannot answer now; try again"
                )
        return answer_for(error, server_key_id=self._core.identity.ksm_key_id)


def _origin(request: Request) -> str:
    """Where the device reached us, to begin the addresses it is given."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise InvalidInput("the Host header is malformed")
    return f"https://{host}"


def _body_error(error: BodyRefused) -> Response:
    """The same status, in the form that SDKs show to their users."""
    status = error.response.status_code
    code = ErrorCode.SERVER_ERROR if status == _UNAVAILABLE else ErrorCode.BAD_REQUEST
    response = Response(ErrorAnswer(code, error.text).body(), status, media_type="application/json")
    for name in ("connection", "retry-after"):
        if name in error.response.headers:
            response.headers[name] = error.response.headers[name]
    return response


def _error(answer: ErrorAnswer) -> Response:
    return Response(answer.body(), answer.status, media_type="application/json")
