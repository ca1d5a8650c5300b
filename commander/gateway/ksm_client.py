"""Asking the server's Secrets Manager interface, as any SDK does; one request per question."""

from __future__ import annotations

import httpx

from commander.api.tls import verified_context
from commander.errors import SealBroken, Tampered, Unreachable
from commander.gateway.limits import FETCH_S
from commander.ksm.config import DeviceConfig
from commander.ksm.errors import MAX_ERROR_ANSWER_BYTES, parse_error
from commander.ksm.payloads import GetSecretRequest, GetSecretResponse
from commander.ksm.request import MAX_ANSWER_BYTES, PATH_PREFIX, build_request

GET_SECRET = PATH_PREFIX + "get_secret"


class SecretsManagerClient:
    """
    Reads records with the gateway's device key; close it at the end.

    `get_secret` raises Unreachable, DeviceRefused with the server's code, Tampered for an answer
    that does not open, InvalidInput for one of another form.
    """

    def __init__(self, device: DeviceConfig, *, ca: str, proxy: str = "") -> None:
        self._device = device
        self._client = httpx.AsyncClient(
            base_url=f"https://{device.hostname}",
            verify=verified_context(ca),
            proxy=proxy or None,
            trust_env=False,
            follow_redirects=False,
            timeout=FETCH_S,
            headers={"accept-encoding": "identity", "user-agent": "commander"},
            limits=httpx.Limits(max_connections=8, max_keepalive_connections=2),
        )

    async def get_secret(self, question: GetSecretRequest) -> GetSecretResponse:
        """Ask for records."""
        device = self._device
        request = build_request(
            device.server_public_key,
            device.server_key_id,
            device.private_key,
            question.to_payload(),
        )
        status, body = await self._post(request.headers, request.body)
        if status != 200:
            raise parse_error(status, body[:MAX_ERROR_ANSWER_BYTES])
        try:
            return GetSecretResponse.parse(request.open_answer(body))
        except SealBroken:
            raise Tampered(
                f"the records that server {device.hostname} sent do not open",
                hint="something between here and the server alters answers",
            ) from None

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self._client.aclose()

    async def _post(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        try:
            async with self._client.stream(
                "POST", GET_SECRET, headers=headers, content=body
            ) as response:
                parts = bytearray()
                async for chunk in response.aiter_raw():
                    parts += chunk
                    if len(parts) > MAX_ANSWER_BYTES:
                        raise Unreachable("the server's answer is too large")
                return response.status_code, bytes(parts)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"server {self._device.hostname} did not answer: {type(error).__name__}"
            ) from error
