"""Asking the server's Secrets Manager interface, as any SDK does; one request per question."""

from __future__ import annotations

from commander.api.connections import BROKEN, FAILED, Connections, read_body
from commander.api.tls import verified_context
from commander.errors import SealBroken, Tampered, Unreachable
from commander.gateway.limits import FETCH_S
from commander.ksm.config import DeviceConfig
from commander.ksm.errors import MAX_ERROR_ANSWER_BYTES, parse_error
from commander.ksm.payloads import GetSecretRequest, GetSecretResponse
from commander.ksm.request import MAX_ANSWER_BYTES, PATH_PREFIX, OutgoingRequest, build_request

GET_SECRET = PATH_PREFIX + "get_secret"


class SecretsManagerClient:
    """
    Reads records with the gateway's device key; close it at the end.

    `get_secret` raises Unreachable, DeviceRefused with the server's code, Tampered for an answer
    that does not open, InvalidInput for one of another form.
    """

    def __init__(self, device: DeviceConfig, *, ca: str, proxy: str = "") -> None:
        self._device = device
        self._connections = Connections(device.hostname, verified_context(ca), proxy=proxy)

    async def get_secret(self, question: GetSecretRequest) -> GetSecretResponse:
        """Ask for records."""
        hostname = self._device.hostname
        try:
            try:
                request, status, body = await self._ask(question)
            except BROKEN:
                # The server was restarted, or gave the connection up: reading may be repeated.
                request, status, body = await self._ask(question)
        except FAILED as error:
            raise Unreachable(
                f"server {hostname} did not answer: {type(error).__name__}"
            ) from error
        if body is None:
            raise Unreachable("the server's answer is too large")
        if status != 200:
            raise parse_error(status, body[:MAX_ERROR_ANSWER_BYTES])
        try:
            return GetSecretResponse.parse(request.open_answer(body))
        except SealBroken:
            raise Tampered(
                f"the records that server {hostname} sent do not open",
                hint="something between here and the server alters answers",
            ) from None

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self._connections.close()

    async def _ask(self, question: GetSecretRequest) -> tuple[OutgoingRequest, int, bytes | None]:
        """Ask once, with a key of its own."""
        device = self._device
        request = build_request(
            device.server_public_key,
            device.server_key_id,
            device.private_key,
            question.to_payload(),
        )
        async with self._connections.request(
            "POST", GET_SECRET, headers=request.headers, body=request.body, step_s=FETCH_S
        ) as response:
            return request, response.status, await read_body(response, MAX_ANSWER_BYTES)
