"""A real browser without a window, driven over the DevTools protocol."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import quote

from websockets.sync.client import ClientConnection, connect

from tests.support.processes import Child
from tests.support.started import Started
from tests.support.waiting import DEADLINE_S, until

# Tests run as root, where its own sandbox is refused; it only ever opens pages of our tests.
_OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-address=127.0.0.1", "--remote-debugging-port=0",
)  # fmt: skip


class Browser(Started):
    """Chromium with a profile of its own, which the caller removes: helpers of it write to their end."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._child: Child | None = None
        self._port = 0

    def start(self) -> Self:
        """Start it and return when it takes commands."""
        popen = subprocess.Popen(
            [
                "chromium-headless-shell",
                *_OPTIONS,
                f"--user-data-dir={self._profile}",
                "about:blank",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._child = Child("browser", popen)
        found = self._child.wait_for_line(r"DevTools listening on ws://127\.0\.0\.1:(\d+)/")
        self._port = int(found[1])
        return self

    @contextmanager
    def open(self, url: str) -> Iterator[Page]:
        """Open a page in a tab of its own, which ends with the browser."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/json/new?{quote(url, safe='')}", method="PUT"
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            address = json.load(answer)["webSocketDebuggerUrl"]
        with connect(address, proxy=None) as connection:
            yield Page(connection)

    def close(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.stop()


class Page:
    """An open page."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._calls = 0

    def value(self, expression: str) -> object:
        """What an expression is in the page now."""
        self._calls += 1
        parameters = {"expression": expression, "returnByValue": True}
        call = {"id": self._calls, "method": "Runtime.evaluate", "params": parameters}
        self._connection.send(json.dumps(call))
        while (answer := json.loads(self._connection.recv(DEADLINE_S))).get("id") != self._calls:
            pass
        found: object = answer["result"]["result"].get("value")
        return found

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        until(lambda: self.value(expression), f"{expression} in the browser's page")
