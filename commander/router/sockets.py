"""Glue to a WebSocket: authorise before the upgrade, close for certain, read one message."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from commander import tasks
from commander.authority.refusals import Code
from commander.errors import InvalidInput, Refused
from commander.router.limits import CLOSE_S
from commander.router.ports import Gatekeeper, Principal
from commander.wire.requests import HEADER, read_header

# What a server may put into the scope's extensions so that a stalled peer can be cut off:
# a close handshake needs a peer that reads.
ABORT_EXTENSION = "commander.abort"
SOCKET_ENDED = (WebSocketDisconnect, RuntimeError, OSError)
"""What sending on or closing a socket raises when the peer or our own close was first."""


def peer_address(websocket: WebSocket) -> str:
    """The peer's address as the server saw it; no header can change it."""
    return websocket.client.host if websocket.client else ""


async def authorise(
    websocket: WebSocket, gatekeeper: Gatekeeper, *, subprotocol: str, refused: Counter[str]
) -> Principal | None:
    """
    Judge an upgrade before it happens; on refusal the answer is sent, its code counted in
    `refused`, and None returned.

    A browser sends an Origin and none of ours does, so an Origin is refused: no web page can
    make a user's machine connect here.
    """
    try:
        if "origin" in websocket.headers:
            raise Refused("upgrades from web pages are refused", code=Code.REQUEST_MALFORMED)
        if websocket.scope["subprotocols"] != [subprotocol]:
            raise Refused(f"the subprotocol has to be {subprotocol}", code=Code.REQUEST_MALFORMED)
        if websocket.scope["query_string"]:
            raise Refused("a query has no meaning here", code=Code.REQUEST_MALFORMED)
        request = read_header(_only_header(websocket))
        return await gatekeeper.authenticate(
            request, method="GET", path=websocket.scope["path"], address=peer_address(websocket)
        )
    except Refused as error:
        refused[error.code] += 1
        await deny(websocket, error.code, error.message, error.hint)
    except InvalidInput as error:
        refused[Code.REQUEST_MALFORMED] += 1
        await deny(websocket, Code.REQUEST_MALFORMED, error.message)
    return None


def _only_header(websocket: WebSocket) -> str:
    values = websocket.headers.getlist(HEADER)
    if len(values) != 1:
        raise InvalidInput(f"the upgrade needs one header {HEADER}")
    return values[0]


_STATUS = {
    Code.REQUEST_MALFORMED: 400,
    Code.REQUEST_SIGNATURE: 401,
    Code.REQUEST_STALE: 401,
    Code.REQUEST_REPLAYED: 401,
    Code.SESSION_UNKNOWN: 401,
    Code.SESSION_EXPIRED: 401,
    Code.PEER_UNKNOWN: 404,
    Code.TOO_MANY_REQUESTS: 429,
    Code.STORE_UNAVAILABLE: 503,
}


def status_of(code: str) -> int:
    """The HTTP status that goes with a refusal."""
    return next((status for known, status in _STATUS.items() if known.value == code), 403)


async def deny(websocket: WebSocket, code: str, message: str, hint: str = "") -> None:
    """Refuse an upgrade with a coded JSON body."""
    status = status_of(code)
    body = {"code": str(code), "message": message, "hint": hint}
    try:
        await websocket.send_denial_response(JSONResponse(body, status_code=status))
    except SOCKET_ENDED:
        return


async def read_message(websocket: WebSocket) -> bytes | None:
    """The next message, None for a text message. Raises WebSocketDisconnect at the end."""
    event = await websocket.receive()
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code", 1005))
    data: bytes | None = event.get("bytes")
    return data


def shut(websocket: WebSocket, code: int, reason: str) -> asyncio.Task[None]:
    """Close a socket in the background, cutting the connection when the peer does not follow."""
    return tasks.spawn(_shut(websocket, code, reason), name="router-shut")


async def _shut(websocket: WebSocket, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await websocket.close(code, reason)
    except TimeoutError:
        abort: Callable[[], None] | None = websocket.scope.get("extensions", {}).get(
            ABORT_EXTENSION
        )
        if abort is not None:
            abort()
    except SOCKET_ENDED:
        return
