"""
Session descriptions, as text and as what travels; only InvalidInput may come out.

`fuzz` takes any bytes; `run_mutations` changes words, lines and fields of good ones.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter

from commander.errors import InvalidInput
from commander.tunnel.transports import sdp

NAME = "sdp"
RULES = sdp.CandidateRules(kinds=frozenset({"host", "srflx", "relay"}))

_WORDS = [
    "a=candidate:1 1 udp 1 10.0.0.1 9 typ host", "a=candidate:1 1 tcp 1 10.0.0.1 9 typ host tcptype active",
    "a=candidate:1 1 udp 1 224.0.0.1 9 typ host", "a=candidate:1 1 udp 1 0.0.0.0 0 typ host",
    "a=candidate:1 1 udp 1 name.local 9 typ host", "a=candidate:1 1 udp 99999999999 ::1 70000 typ prflx",
    "a=candidate:", "a=candidate", "a=fingerprint:md5 00:11", "a=fingerprint:sha-256 00:11",
    "a=setup:holdconn", "a=setup:", "a=ice-ufrag:", "a=ice-pwd:x", "a=sctp-port:0", "a=sctp-port:99999",
    "a=max-message-size:0", "a=max-message-size:-1", "a=max-message-size:99999999999999999999", "a=mid:1",
    "m=audio 9 UDP/TLS/RTP/SAVPF 0", "m=", "m=application", "c=IN IP4 x", "o=- - -", "v=1", "a=group:BUNDLE",
    "a=rtpmap:0 x/0", "a=ssrc:1 cname:", "a=fmtp:1", "=", "a=", "a=:", "", "\0", "\u0661", "\ud800", "a=ice-lite",
]  # fmt: skip


def sample(rng: random.Random) -> sdp.SessionDescription:
    """A valid description."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
    found: dict[bytes, sdp.Candidate] = {}
    for _ in range(rng.randint(1, sdp.MAX_CANDIDATES)):
        head = rng.choice([b"\x0a", b"\x20\x01\x0d\xb8" + rng.randbytes(8)])
        address = head + rng.randbytes(3) if len(head) == 1 else head + rng.randbytes(4)
        kind = rng.choice(sorted(RULES.kinds))
        found[address] = sdp.Candidate(
            kind, address, rng.randint(1, 65535), rng.randint(1, 2**31 - 1)
        )
    return sdp.SessionDescription(
        version=sdp.WIRE_VERSION,
        setup=rng.choice(["actpass", "active", "passive"]),
        ufrag="".join(rng.choices(letters, k=rng.randint(4, 32))),
        password="".join(rng.choices(letters, k=rng.randint(22, 64))),
        fingerprint=rng.randbytes(32),
        max_message_size=rng.randint(sdp.MIN_MESSAGE_BYTES, sdp.MAX_MESSAGE_BYTES),
        sctp_port=rng.randint(1, 65535),
        candidates=tuple(found.values()),
    )


def mutated_text(rng: random.Random) -> str:
    """A valid text with one to four changes of lines, words or characters."""
    text = sample(rng).render()
    for _ in range(rng.randint(1, 4)):
        lines = text.split("\r\n")
        at = rng.randrange(len(lines))
        match rng.randrange(7):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, rng.choice(_WORDS))
            case 2:
                lines[at] = rng.choice(_WORDS)
            case 3:
                lines.insert(at, lines[rng.randrange(len(lines))])
            case 4:
                lines[at] = " ".join(rng.sample(words := lines[at].split(" "), len(words)))
            case 5:
                lines[at] *= rng.choice([2, 400])
            case _:
                spot = rng.randrange(len(lines[at]) + 1)
                lines[at] = lines[at][:spot] + chr(rng.randrange(0x250)) + lines[at][spot + 1 :]
        text = "\r\n".join(lines)
    return text


def mutated_wire(rng: random.Random) -> bytes:
    """A valid message with one to four bytes changed, cut or put in."""
    data = bytearray(sample(rng).to_wire())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        match rng.randrange(4):
            case 0:
                data[at : at + 1] = rng.randbytes(1)
            case 1:
                del data[at : at + rng.randint(1, 8)]
            case 2:
                data[at:at] = rng.randbytes(rng.randint(1, 8))
            case _:
                del data[at:]
    return bytes(data)


def seeds() -> list[bytes]:
    """Good descriptions in both forms."""
    rng = random.Random(1)
    return [form for _ in range(8) for form in _both_forms(sample(rng))]


def _both_forms(description: sdp.SessionDescription) -> tuple[bytes, bytes]:
    return description.to_wire(), description.render().encode()


def fuzz(data: bytes) -> None:
    """Read the bytes in both forms; what is accepted must come back the same."""
    with contextlib.suppress(InvalidInput):
        assert sdp.from_wire(data, RULES).to_wire() == data
    with contextlib.suppress(InvalidInput):
        description = sdp.parse(data.decode("latin-1"), RULES)
        assert sdp.parse(description.render(), RULES) == description


def run_mutations(rounds: int, seed: int) -> Counter[str]:
    """Try so many of each; what raises anything else than InvalidInput ends the run."""
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    for _ in range(rounds):
        try:
            sdp.parse(mutated_text(rng), RULES)
            outcomes["text accepted"] += 1
        except InvalidInput:
            outcomes["text refused"] += 1
        try:
            sdp.from_wire(mutated_wire(rng), RULES)
            outcomes["wire accepted"] += 1
        except InvalidInput:
            outcomes["wire refused"] += 1
    return outcomes
