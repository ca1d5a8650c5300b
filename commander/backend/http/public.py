"""What anyone may ask: whether the server is well, and who it says it is."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import commander
from commander.backend.core import Core
from commander.backend.storage import changes
from commander.errors import Refused
from commander.wire.calls import ServerInfo
from commander.wire.proofs import sign_server_info


class Health:
    """Answers GET /health."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._began = core.clock.monotonic()

    async def answer(self, request: Request) -> Response:
        """200 and "ok", or 503 while the store cannot be read."""
        uptime = int(self._core.clock.monotonic() - self._began)
        try:
            async with self._core.database.reading() as connection:
                await changes.cursor(connection)
        except Refused as error:
            return JSONResponse({"status": error.code, "uptime": uptime}, 503, {"retry-after": "5"})
        return JSONResponse({"status": "ok", "uptime": uptime})


class Info:
    """Answers GET /api/v1/server."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def answer(self, request: Request) -> Response:
        """The server's public keys and CA, signed by itself."""
        core, keys = self._core, self._core.identity
        info = ServerInfo(
            server=keys.uid,
            version=commander.__version__,
            ca=core.ca_pem,
            sign_key=keys.sign.public.raw,
            box_key=keys.box.public.raw,
            ksm_key_id=keys.ksm_key_id,
            ksm_key=keys.ksm.public.raw,
            has_enterprise=core.state.genesis is not None,
            time=core.now(),
            signature=b"",
        )
        signed = msgspec.structs.replace(info, signature=sign_server_info(keys.sign, info))
        return Response(msgspec.json.encode(signed), media_type="application/json")
