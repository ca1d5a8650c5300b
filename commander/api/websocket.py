"""Opening signed WebSockets to a server, by the `websockets` library; imported only where used."""

from __future__ import annotations

from collections.abc import Mapping

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from commander.api.client import Api
from commander.api.proxy import choose_proxy
from commander.api.tls import shared_context
from commander.errors import NotAllowed, NotFound, NotLoggedIn, TimedOut, Unreachable
from commander.wire.calls import RELAY_PATH, RELAY_SUBPROTOCOL, ROUTER_PATH, ROUTER_SUBPROTOCOL
from commander.wire.commands import ROUTED_LIMIT

OPEN_S = 10.0
PING_S = 10.0
CLOSE_S = 2.0
MAX_QUEUE = 64
# A relay carries the tunnel's own frames: 64 KiB and their overhead.
RELAY_LIMIT = 128 * 1024


class _Connect(connect):
    """A connection attempt that follows no redirect: the header is signed for one path."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_router(api: Api, environment: Mapping[str, str]) -> ClientConnection:
    """The control WebSocket of this device or gateway. Raises as `open_websocket`."""
    return await open_websocket(
        api, environment, ROUTER_PATH, subprotocol=ROUTER_SUBPROTOCOL, limit=ROUTED_LIMIT
    )


async def open_relay(
    api: Api, environment: Mapping[str, str], conversation: str
) -> ClientConnection:
    """One side of a conversation's relay, for the tunnel's WebSocket transport."""
    path = RELAY_PATH + conversation
    return await open_websocket(
        api, environment, path, subprotocol=RELAY_SUBPROTOCOL, limit=RELAY_LIMIT
    )


async def open_websocket(
    api: Api, environment: Mapping[str, str], path: str, *, subprotocol: str, limit: int
) -> ClientConnection:
    """
    Open a WebSocket with a signed upgrade; messages over `limit` bytes close it.

    Raises Unreachable, TimedOut, or NotLoggedIn, NotAllowed, NotFound when the server refuses.
    """
    address = api.server.address
    try:
        return await _Connect(
            f"wss://{address}{path}",
            ssl=shared_context(api.server.ca),
            additional_headers=[api.upgrade_header(path)],
            subprotocols=[Subprotocol(subprotocol)],
            proxy=choose_proxy(environment, address) or None,
            compression=None,
            max_size=limit,
            max_queue=MAX_QUEUE,
            open_timeout=OPEN_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            close_timeout=CLOSE_S,
            user_agent_header=None,
        )
    except InvalidStatus as error:
        raise refusal(error.response.status_code, address) from None
    except TimeoutError as error:
        raise TimedOut(f"server {address} did not open the WebSocket in {OPEN_S:g} s") from error
    except (OSError, InvalidHandshake, EOFError) as error:
        raise Unreachable(
            f"no WebSocket to server {address}: {error}",
            hint="check that the server runs, and HTTPS_PROXY if you use one",
        ) from error


def refusal(
    status: int, address: str, *, what: str = "WebSocket"
) -> NotLoggedIn | NotAllowed | NotFound | Unreachable:
    """What a server's refusal of an upgrade means to the caller."""
    message = f"server {address} refused the {what} with status {status}"
    if status == 401:
        return NotLoggedIn(message, hint="log in: commander login")
    if status == 403:
        return NotAllowed(message)
    if status == 404:
        return NotFound(message)
    return Unreachable(message)
