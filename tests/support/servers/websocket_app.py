"""A web application whose page talks to it over a WebSocket, as terminals and notebooks in a browser do."""

from __future__ import annotations

import threading
from http import HTTPStatus
from types import TracebackType
from typing import Self

from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

# The title tells what came back, so that a test need not look into the page.
PAGE = """<!doctype html><title>waiting</title><script>
const socket = new WebSocket(`ws://${location.host}/echo`);
socket.onopen = () => socket.send("x".repeat(100000));
socket.onmessage = event => { document.title = `echoed ${event.data.length}`; };
socket.onclose = () => { document.title = "closed"; };
</script>
"""


class WebSocketApp:
    """The server in a thread: `/` is the page, `/echo` its socket."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self._server: Server = serve(_echo, host, 0, process_request=_page)
        self.port = int(self._server.socket.getsockname()[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="websocket app")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()


def _page(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/echo":
        return None
    status = HTTPStatus.OK if request.path == "/" else HTTPStatus.NOT_FOUND
    response = connection.respond(status, PAGE)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "text/html; charset=utf-8"
    return response


def _echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)
