"""What one process tells another about its tunnels; the JSON of `pam tunnel list` and `show`."""

from __future__ import annotations

import msgspec

from commander.errors import InvalidInput

# The list of 2,000 tunnels fits.
LINE_LIMIT = 8 * 1024 * 1024
OPEN = "open"
RESUMING = "resuming"
ENDED = "closed"


class StreamInfo(msgspec.Struct, frozen=True):
    """One open TCP connection of a tunnel; times in seconds since 1970 UTC."""

    stream: int
    program: str
    since: float
    bytes_in: int
    bytes_out: int
    pid: int = 0
    uid: int = -1
    """-1 when the system does not say."""
    state: str = ""
    address: str = ""
    """Where it came from; empty for a Unix socket."""


class LocalPort(msgspec.Struct, frozen=True):
    """A further local port, and the target's port that it leads to; 0 is the tunnel's own."""

    host: str
    port: int
    remote_port: int = 0


class LinkInfo(msgspec.Struct, frozen=True):
    """
    One live carrier of a tunnel; those of one `group` carry together. Bytes are sealed ones.

    `rtt_ms` is None before the first heartbeat.
    """

    path: str
    generation: int
    group: int
    since: float
    bytes_in: int
    bytes_out: int
    rtt_ms: float | None
    preferred: bool


class TunnelInfo(msgspec.Struct, frozen=True):
    """
    One tunnel as it is now.

    `bytes_in` flow from the target to the local client, `bytes_out` to the target.
    `rtt_ms` is None before the first heartbeat. `status` is open, resuming or closed.
    """

    tunnel: str
    conversation: str
    record: str
    title: str
    gateway: str
    remote: str
    local_host: str
    local_port: int
    status: str
    path: str
    generation: int
    since: float
    streams_open: int
    streams_total: int
    bytes_in: int
    bytes_out: int
    rtt_ms: float | None
    pid: int
    mode: str
    reason: str = ""
    streams: tuple[StreamInfo, ...] = ()
    name: str = ""
    """Its name in a tunnels file, and that file."""
    file: str = ""
    unix: str = ""
    """The Unix socket it listens at; then `local_host` is the same and `local_port` 0."""
    local_name: str = ""
    """Its name under `localhost` (--natural)."""
    also: tuple[LocalPort, ...] = ()
    """Further local ports."""
    refused: int = 0
    """Connections of other users, closed before a byte was forwarded."""
    refused_uids: tuple[int, ...] = ()
    links: tuple[LinkInfo, ...] = ()
    interrupted_s: float | None = None
    """For how long it has had no path, while it is resuming."""
    interruptions: int = 0
    """How often it lost its last path."""

    @property
    def is_live(self) -> bool:
        """Whether it carries connections, or will again."""
        return self.status in (OPEN, RESUMING)

    @property
    def status_text(self) -> str:
        """The status as people read it: `open`, `resuming (12 s)`."""
        if self.interrupted_s is None:
            return self.status
        return f"{self.status} ({int(self.interrupted_s)} s)"


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question to a process that hosts tunnels."""

    operation: str
    tunnel: str = ""
    reason: str = ""


class Told(msgspec.Struct, frozen=True):
    """Its answer: tunnels, or an error."""

    tunnels: tuple[TunnelInfo, ...] = ()
    code: str = ""
    message: str = ""


_ask: msgspec.json.Decoder[Ask] = msgspec.json.Decoder(Ask)
_told: msgspec.json.Decoder[Told] = msgspec.json.Decoder(Told)


def write_line(value: Ask | Told) -> bytes:
    """One line of JSON."""
    return msgspec.json.encode(value) + b"\n"


def read_ask(line: bytes) -> Ask:
    """Read a question. Raises InvalidInput."""
    try:
        return _ask.decode(line)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput(f"the question is malformed: {error}") from None


def read_told(line: bytes) -> Told:
    """Read an answer. Raises InvalidInput."""
    try:
        return _told.decode(line)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput(f"the answer is malformed: {error}") from None


def match_tunnels(wanted: str, tunnels: list[TunnelInfo]) -> list[TunnelInfo]:
    """
    Find tunnels by id (padding allowed), conversation, record UID or title, by their name in a
    tunnels file or under localhost, or by unique id prefix.

    An exact match wins over prefixes; a prefix has at least four characters.
    """
    bare = wanted.rstrip("=") or wanted
    for known in (
        lambda t: bare in (t.tunnel, t.conversation),
        lambda t: bare == t.record,
        lambda t: wanted == t.title,
        lambda t: wanted != "" and wanted in (t.name, t.local_name),
        lambda t: len(bare) >= 4 and t.tunnel.startswith(bare),
    ):
        found = [tunnel for tunnel in tunnels if known(tunnel)]
        if found:
            return found
    return []
