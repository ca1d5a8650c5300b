"""
PAM settings: the second part of a record, under the record key, with a seal of its own.

For a resource (pamMachine, pamDatabase, ...) it names configuration, credentials and tunnel
settings; for a PAM configuration record it holds the gateway and the switches. Stored as JSON;
a gateway refuses settings it can't parse, a client keeps them untouched.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from commander.errors import InvalidInput

LIMIT = 48 * 1024
Switch = Literal["on", "off", "default"]
SWITCHES = (
    "connections", "tunneling", "rotation", "remote_browser_isolation",
    "graphical_recording", "text_recording",
)  # fmt: skip
# What "default" means, as people know it: rotation is on, the rest is off.
SWITCH_DEFAULTS = {name: name == "rotation" for name in SWITCHES}


PATHS = ("direct", "relay", "webrtc", "turn")
"""Kinds of path that a record or configuration may name; none named allows all."""


def parse_paths(text: str) -> tuple[str, ...]:
    """Kinds from `relay,direct`; none from `all` or nothing. Raises InvalidInput."""
    if text in ("", "all"):
        return ()
    kinds = tuple(dict.fromkeys(text.split(",")))
    unknown = [kind for kind in kinds if kind not in PATHS]
    if unknown:
        raise InvalidInput(
            f"{unknown[0][:40]!r} is no kind of path",
            hint=f"name some of {', '.join(PATHS)} with commas between, or all",
        )
    return tuple(kind for kind in PATHS if kind in kinds)


Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
MAX_PORT_PAIRS = 16


class PortPair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A further port of the same target; `local` 0: automatic."""

    remote: Port
    local: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0


class TunnelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`remote_port` 0: the record's own; `local_port` 0: automatic."""

    enabled: bool = False
    remote_port: int = 0
    local_port: int = 0
    reuse_port: bool = True
    ports: Annotated[tuple[PortPair, ...], msgspec.Meta(max_length=MAX_PORT_PAIRS)] = ()
    """Opened beside the main one, by the same tunnel."""
    remote_clients: bool = False
    """Whether a user may let other machines use the local end (`--allow-remote`)."""

    def further_ports(self) -> frozenset[int]:
        """The remote ports of the pairs."""
        return frozenset(pair.remote for pair in self.ports)


class ResourceSettings(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="resource"
):
    """PAM settings of a resource."""

    configuration: str = ""
    administrative_credential: str = ""
    launch_credential: str = ""
    protocol: str = ""
    connection: dict[str, str | int | bool] = {}
    allow_supply_host: bool = False
    tunnel: TunnelSettings = TunnelSettings()
    paths: tuple[str, ...] = ()

    def linked_records(self) -> tuple[str, ...]:
        """UIDs whose use-right the author must have."""
        return tuple(uid for uid in (self.administrative_credential, self.launch_credential) if uid)


class ConfigurationSettings(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="configuration"
):
    """PAM settings of a PAM configuration record."""

    gateway: str
    environment: str = "local"
    connections: Switch = "default"
    tunneling: Switch = "default"
    rotation: Switch = "default"
    remote_browser_isolation: Switch = "default"
    graphical_recording: Switch = "default"
    text_recording: Switch = "default"
    network_id: str = ""
    network_cidr: str = ""
    port_mappings: tuple[str, ...] = ()
    schedule: str = ""
    paths: tuple[str, ...] = ()

    def is_on(self, switch: str) -> bool:
        """Tell whether a feature is on, `default` resolved."""
        value = getattr(self, switch)
        return SWITCH_DEFAULTS[switch] if value == "default" else value == "on"


PamSettings = ResourceSettings | ConfigurationSettings
_decoder: msgspec.json.Decoder[PamSettings] = msgspec.json.Decoder(PamSettings)
_encoder = msgspec.json.Encoder(order="deterministic")


def parse_settings(data: bytes) -> PamSettings:
    """Read settings. Raises InvalidInput."""
    if len(data) > LIMIT:
        raise InvalidInput("the PAM settings are too large")
    try:
        return _decoder.decode(data.rstrip(b" "))
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput(f"the PAM settings are malformed: {error}") from None


def serialize_settings(settings: PamSettings) -> bytes:
    """Write settings as padded JSON."""
    raw = _encoder.encode(settings)
    return raw + b" " * (-len(raw) % 256)
