"""
What two ends tell each other to open a data channel: a handful of checked fields.

A session description (RFC 8866, 8839, 8841, 8842) is a page of free text that WebRTC
libraries parse leniently. Here it is cut down to a template: ICE user fragment and
password, one SHA-256 certificate fingerprint, the DTLS role, at most 32 UDP candidates,
the SCTP port and the largest message. Only these travel (sealed, as msgpack), and each
end writes the text for its library anew, so no byte of a peer's text reaches a parser.

Does no IO and does not know the library.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from commander.errors import InvalidInput
from commander.tunnel.path import Binding

MAX_TEXT_BYTES: Final = 16 * 1024
MAX_WIRE_BYTES: Final = 4 * 1024
MAX_LINE_CHARACTERS: Final = 512
MAX_CANDIDATES: Final = 32
MAX_MESSAGE_BYTES: Final = 64 * 1024
"""What we announce as our largest message; a peer's larger figure is cut down to it."""
MIN_MESSAGE_BYTES: Final = 16 * 1024
SCTP_PORT: Final = 5000
WIRE_VERSION: Final = 1

CandidateKind = Literal["host", "srflx", "relay"]
SetupRole = Literal["actpass", "active", "passive"]
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Candidate(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One UDP address where an end may be reached; the address is 4 or 16 bytes."""

    kind: CandidateKind
    address: Annotated[bytes, Meta(min_length=4, max_length=16)]
    port: Annotated[int, Meta(ge=1, le=65535)]
    priority: Annotated[int, Meta(ge=1, le=2**31 - 1)]

    @property
    def host(self) -> str:
        """The address as people and libraries write it."""
        return str(ipaddress.ip_address(self.address))


@dataclass(frozen=True)
class CandidateRules:
    """
    Which candidates may be used at all.

    `loopback` is for two ends on one machine and for tests: from a peer elsewhere such a
    candidate would point our checks at our own services.
    """

    kinds: frozenset[CandidateKind] = frozenset({"host"})
    loopback: bool = False

    def refusal(self, kind: str, address: IpAddress) -> str:
        """Why a candidate may not be used; empty when it may."""
        if kind not in self.kinds:
            return f"candidate type {kind} is not allowed here"
        if address.is_loopback:
            return "" if self.loopback else "loopback address"
        return _unusable(address)


HOST_ONLY: Final = CandidateRules()


def _unusable(address: IpAddress) -> str:
    if address.is_multicast:
        return "multicast address"
    if address.is_unspecified or (address.version == 4 and address.packed[0] == 0):
        return "unspecified address"
    # 169.254.169.254 is where clouds keep a machine's credentials.
    if address.is_link_local:
        return "link-local address"
    # A mapped address is an IPv4 address in disguise, which other rules would not see.
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return "mapped address"
    return "reserved address" if address.is_reserved else ""


class SessionDescription(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """
    All that one end needs to know of the other; every field is checked by `parse` and `from_wire`.

    The client offers ("actpass"), the gateway answers ("active").
    """

    version: Annotated[int, Meta(ge=WIRE_VERSION, le=WIRE_VERSION)]
    setup: SetupRole
    ufrag: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9+/]{4,32}\Z")]
    password: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9+/]{22,64}\Z")]
    fingerprint: Annotated[bytes, Meta(min_length=32, max_length=32)]
    max_message_size: Annotated[int, Meta(ge=MIN_MESSAGE_BYTES, le=MAX_MESSAGE_BYTES)]
    sctp_port: Annotated[int, Meta(ge=1, le=65535)]
    candidates: Annotated[tuple[Candidate, ...], Meta(min_length=1, max_length=MAX_CANDIDATES)]

    @property
    def kind(self) -> Literal["offer", "answer"]:
        """An offer leaves the DTLS role open, an answer chooses it."""
        return "offer" if self.setup == "actpass" else "answer"

    def to_wire(self) -> bytes:
        """Serialize for the sealed conversation; at most `MAX_WIRE_BYTES`."""
        return msgspec.msgpack.encode(self)

    def render(self) -> str:
        """Write the whole description for our own library; the text depends on our fields only."""
        session = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0"]
        media = [
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            "a=mid:0",
            f"a=sctp-port:{self.sctp_port}",
            f"a=max-message-size:{self.max_message_size}",
            *(_candidate_line(at, item) for at, item in enumerate(self.candidates, 1)),
            "a=end-of-candidates",
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.password}",
            f"a=fingerprint:sha-256 {self.fingerprint.hex(':').upper()}",
            f"a=setup:{self.setup}",
        ]
        return "\r\n".join([*session, *media, ""])


def _candidate_line(foundation: int, item: Candidate) -> str:
    return f"a=candidate:{foundation} 1 udp {item.priority} {item.host} {item.port} typ {item.kind}"


_wire_decoder = msgspec.msgpack.Decoder(SessionDescription)


def from_wire(data: bytes, rules: CandidateRules = HOST_ONLY) -> SessionDescription:
    """
    Read what a peer sent; one form only, and every candidate must be usable.

    Raises InvalidInput.
    """
    if len(data) > MAX_WIRE_BYTES:
        raise InvalidInput(f"session description of {len(data)} bytes is over {MAX_WIRE_BYTES}")
    try:
        description = _wire_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("session description breaks its format") from error
    for candidate in description.candidates:
        _check_candidate(candidate, rules)
    if len(set(description.candidates)) != len(description.candidates):
        raise InvalidInput("session description names a candidate twice")
    if description.to_wire() != data:
        raise InvalidInput("session description is not in its canonical form")
    return description


def _check_candidate(candidate: Candidate, rules: CandidateRules) -> None:
    if len(candidate.address) not in (4, 16):
        raise InvalidInput(f"candidate address of {len(candidate.address)} bytes")
    refusal = rules.refusal(candidate.kind, ipaddress.ip_address(candidate.address))
    if refusal:
        raise InvalidInput(f"candidate {candidate.host} is refused: {refusal}")


def binding(one: SessionDescription, other: SessionDescription) -> Binding:
    """
    Both certificates' fingerprints, for HELLO; the order of the arguments does not matter.

    Raises InvalidInput when the two are not one offer and one answer.
    """
    if {one.kind, other.kind} != {"offer", "answer"}:
        raise InvalidInput("a binding needs one offer and one answer")
    offer, answer = (one, other) if one.kind == "offer" else (other, one)
    return Binding(client=offer.fingerprint, gateway=answer.fingerprint)


# --- Text ---------------------------------------------------------------------------------

_SESSION_LINES: Final = (
    re.compile(r"v=0"),
    re.compile(r"o=- [0-9]{1,20} [0-9]{1,20} IN IP[46] [0-9A-Fa-f.:]{2,45}"),
    re.compile(r"s=-"),
    re.compile(r"t=0 0"),
)
_MEDIA_LINE: Final = re.compile(r"m=application [0-9]{1,5} UDP/DTLS/SCTP webrtc-datachannel")
_CONNECTION_LINE: Final = re.compile(r"c=IN IP[46] [0-9A-Fa-f.:]{2,45}")
_FINGERPRINT: Final = re.compile(r"(sha-256|sha-384|sha-512) ([0-9A-F]{2}(?::[0-9A-F]{2}){31,63})")

# Attributes that every library writes and nobody here needs: checked, then dropped.
_DROPPED: Final = {
    "group": re.compile(r"BUNDLE 0"),
    "msid-semantic": re.compile(r" ?WMS(?: \*)?"),
    "extmap-allow-mixed": re.compile(r""),
    "cryptex": re.compile(r""),
    "mid": re.compile(r"0"),
    "end-of-candidates": re.compile(r""),
    "ice-options": re.compile(r"[a-z0-9 ]{1,40}"),
}
_KEPT: Final = {
    "ice-ufrag": re.compile(r"[A-Za-z0-9+/]{4,32}"),
    "ice-pwd": re.compile(r"[A-Za-z0-9+/]{22,64}"),
    "setup": re.compile(r"actpass|active|passive"),
    "sctp-port": re.compile(r"[1-9][0-9]{0,4}"),
    "max-message-size": re.compile(r"[1-9][0-9]{0,9}"),
}
_CANDIDATE: Final = re.compile(
    r"([A-Za-z0-9+/]{1,32}) ([0-9]{1,3}) ([A-Za-z]{1,8}) ([0-9]{1,10})"
    r" ([0-9A-Za-z.:-]{1,64}) ([0-9]{1,5}) typ ([a-z]{1,10})((?: [\x21-\x7e]{1,64}){0,16})"
)


def parse(text: str, rules: CandidateRules = HOST_ONLY) -> SessionDescription:
    """
    Read a whole description as our library writes it; strict, and bounded before it is split.

    Lines outside the template are refused. Candidates that are well formed but not ours to
    use (TCP, .local names, port 0, a second component, types or addresses the rules leave
    out) are dropped, and of the rest the first 32 are kept.

    Raises InvalidInput.
    """
    session, media = _split(text)
    _check_session(session)
    fields: dict[str, str] = {}
    fingerprints: dict[str, bytes] = {}
    candidates: list[Candidate] = []
    for name, value in (*_attributes(session), *_attributes(media)):
        if name == "candidate":
            _add_candidate(candidates, value, rules)
        elif name == "fingerprint":
            _add_fingerprint(fingerprints, value)
        elif name in _KEPT:
            _add_field(fields, name, value)
        elif name not in _DROPPED or not _DROPPED[name].fullmatch(value):
            raise InvalidInput(f"attribute {name!r} is not part of the template")
    return _build(fields, fingerprints, candidates)


def _split(text: str) -> tuple[list[str], list[str]]:
    if len(text) > MAX_TEXT_BYTES:
        raise InvalidInput(f"session description is over {MAX_TEXT_BYTES} bytes")
    lines = text.split("\r\n")
    if lines.pop() != "":
        raise InvalidInput("session description does not end with a line break")
    for line in lines:
        if len(line) > MAX_LINE_CHARACTERS or not (line.isascii() and line.isprintable()):
            raise InvalidInput("session description has a line that is too long or not plain text")
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")]
    if len(starts) != 1 or not _MEDIA_LINE.fullmatch(lines[starts[0]]):
        raise InvalidInput("session description needs exactly one data channel section")
    return lines[: starts[0]], lines[starts[0] + 1 :]


def _check_session(lines: list[str]) -> None:
    if len(lines) < len(_SESSION_LINES):
        raise InvalidInput("session description lacks its first lines")
    for form in _SESSION_LINES:
        if not form.fullmatch(lines.pop(0)):
            raise InvalidInput("session description does not begin as the template does")


def _attributes(lines: list[str]) -> list[tuple[str, str]]:
    found = []
    for at, line in enumerate(lines):
        if at == 0 and _CONNECTION_LINE.fullmatch(line):
            continue
        if not line.startswith("a="):
            raise InvalidInput("session description has a line outside the template")
        name, _, value = line[2:].partition(":")
        found.append((name, value))
    return found


def _add_field(fields: dict[str, str], name: str, value: str) -> None:
    if name in fields:
        raise InvalidInput(f"attribute {name!r} is given twice")
    if not _KEPT[name].fullmatch(value):
        raise InvalidInput(f"attribute {name!r} is malformed")
    fields[name] = value


def _add_fingerprint(found: dict[str, bytes], value: str) -> None:
    match = _FINGERPRINT.fullmatch(value)
    if match is None:
        raise InvalidInput("fingerprint is malformed or of a hash that is not accepted")
    if match[1] in found:
        raise InvalidInput(f"{match[1]} fingerprint is given twice")
    found[match[1]] = bytes.fromhex(match[2].replace(":", ""))


def _add_candidate(found: list[Candidate], value: str, rules: CandidateRules) -> None:
    match = _CANDIDATE.fullmatch(value)
    if match is None:
        raise InvalidInput("candidate is malformed")
    _, component, transport, priority, host, port, kind, _ = match.groups()
    number = int(port)
    if number > 65535 or not 1 <= int(priority) < 2**31:
        raise InvalidInput("candidate has a port or priority out of range")
    if component != "1" or transport.lower() != "udp" or number == 0 or host.endswith(".local"):
        return
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise InvalidInput("candidate has an address that is no IP literal") from error
    if rules.refusal(kind, address) or len(found) >= MAX_CANDIDATES:
        return
    item = msgspec.convert((kind, address.packed, number, int(priority)), Candidate)
    if item not in found:
        found.append(item)


def _build(
    fields: dict[str, str], fingerprints: dict[str, bytes], candidates: list[Candidate]
) -> SessionDescription:
    missing = [name for name in _KEPT if name not in fields]
    if missing:
        raise InvalidInput(f"session description lacks {', '.join(missing)}")
    if len(fingerprints.get("sha-256", b"")) != 32:
        raise InvalidInput("session description needs one sha-256 fingerprint of 32 bytes")
    if not candidates:
        raise InvalidInput("session description has no candidate that may be used")
    values = (
        WIRE_VERSION,
        fields["setup"],
        fields["ice-ufrag"],
        fields["ice-pwd"],
        fingerprints["sha-256"],
        min(int(fields["max-message-size"]), MAX_MESSAGE_BYTES),
        int(fields["sctp-port"]),
        candidates,
    )
    try:
        return msgspec.convert(values, SessionDescription)
    except msgspec.ValidationError as error:
        raise InvalidInput("session description has a value out of range") from error
