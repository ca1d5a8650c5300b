"""The client's side of a relay: whichever way the server offers, as a path."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

from commander.api.client import Api
from commander.api.relay import RelayOpener, RelayStream
from commander.tunnel.path import Path
from commander.tunnel.transports.stream_relay import StreamRelayPath
from commander.tunnel.transports.websocket import WebSocketPath

# What a server offers is remembered for as long as somebody talks to it.
_openers: WeakKeyDictionary[Api, RelayOpener] = WeakKeyDictionary()


async def open_relay_path(api: Api, environment: Mapping[str, str], conversation: str) -> Path:
    """Our side of a conversation's relay. Raises as `RelayOpener.open`."""
    opener = _openers.get(api)
    if opener is None:
        opener = _openers[api] = RelayOpener(api, environment)
    opened = await opener.open(conversation)
    if isinstance(opened, RelayStream):
        return StreamRelayPath(opened.transport, opened.early)
    return WebSocketPath(opened)
