"""Which library carries WebRTC paths: aiortc, or wrtc where its owner asked for it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Final, Protocol, cast

from commander.errors import CommanderError, UsageError
from commander.tunnel.transports.ice import WebRtcOptions

if TYPE_CHECKING:
    from commander.tunnel.transports.channel import Negotiation

VARIABLE: Final = "COMMANDER_WEBRTC"
_MODULES: Final = {
    "aiortc": "commander.tunnel.transports.webrtc",
    "wrtc": "commander.tunnel.transports.webrtc_fast",
}
TESTED_WRTC: Final = "0.1."


class Engine(Protocol):
    """The two ways to begin a path; the modules `webrtc` and `webrtc_fast` fit it."""

    async def offer(self, options: WebRtcOptions) -> Negotiation:
        """Begin as the client."""
        ...

    async def accept(self, offer_wire: bytes, options: WebRtcOptions) -> Negotiation:
        """Answer as the gateway."""
        ...


def load_engine(environment: Mapping[str, str], options: WebRtcOptions) -> Engine:
    """
    The library to use for one attempt, loaded now: aiortc takes a second and 60 MiB.

    `COMMANDER_WEBRTC=wrtc` asks for the native one, which is passed over where only TURN over
    TLS is offered: it verifies certificates by authorities of its own. Raises UsageError for
    another word, CommanderError when wrtc is not installed.
    """
    name = choose_engine(environment.get(VARIABLE, ""), options)
    if name == "wrtc":
        _check_wrtc()
    return cast("Engine", importlib.import_module(_MODULES[name]))


def choose_engine(word: str, options: WebRtcOptions) -> str:
    """The name of the library that `word` stands for. Raises UsageError. Pure."""
    name = word or "aiortc"
    if name not in _MODULES:
        raise UsageError(f"{VARIABLE}={word[:40]!r} is no library", hint="use aiortc or wrtc")
    relays = {item.url.transport for item in options.ice_servers if item.url.is_turn}
    return "aiortc" if relays == {"tls"} else name


def _check_wrtc() -> None:
    try:
        found = metadata.version("wrtc")
    except metadata.PackageNotFoundError:
        found = ""
    if not found.startswith(TESTED_WRTC):
        raise CommanderError(
            f"{VARIABLE}=wrtc, but wrtc {found or 'is not installed'}: tested with {TESTED_WRTC}x",
            hint="pip install 'commander-pam[fast-webrtc]', or leave the variable out",
        )
