from __future__ import annotations

import ipaddress
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from commander.tunnel.transports import sdp
from tests.fuzz import fuzz_sdp

PRINT = ":".join(["AB"] * 32)
LIBRARY_TEXT = "\r\n".join(
    [
        "v=0",
        "o=- 3968000000 3968000000 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=msid-semantic:WMS *",
        "m=application 54321 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 10.0.0.1",
        "a=mid:0",
        "a=sctp-port:5000",
        "a=max-message-size:262144",
        "a=candidate:abc 1 udp 2130706431 10.0.0.1 54321 typ host",
        "a=end-of-candidates",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdefghijklmnopqrstuv",
        f"a=fingerprint:sha-256 {PRINT}",
        f"a=fingerprint:sha-384 {PRINT}:{':'.join(['CD'] * 16)}",
        "a=setup:actpass",
        "",
    ]
)
CANDIDATE = "a=candidate:abc 1 udp 2130706431 10.0.0.1 54321 typ host"
OFFER = sdp.parse(LIBRARY_TEXT)


def with_line(old: str, new: str) -> str:
    assert old in LIBRARY_TEXT
    return LIBRARY_TEXT.replace(old, new)


def with_candidates(*lines: str) -> str:
    return with_line(CANDIDATE, "\r\n".join([CANDIDATE, *lines]))


def changed(**fields: object) -> bytes:
    """What a dishonest peer would send: our form, any values."""
    values = {name: getattr(OFFER, name) for name in OFFER.__struct_fields__} | fields
    return msgspec.msgpack.encode(list(values.values()))


def candidate(address: str, port: int = 9, kind: str = "host", priority: int = 1) -> list[object]:
    return [kind, ipaddress.ip_address(address).packed, port, priority]


def test_library_text_is_cut_down_to_the_template() -> None:
    """Only the fields of the template are left of what the library writes."""
    assert OFFER.kind == "offer"
    assert OFFER.ufrag == "abcd"
    assert OFFER.password == "abcdefghijklmnopqrstuv"
    assert OFFER.fingerprint == b"\xab" * 32
    assert OFFER.max_message_size == sdp.MAX_MESSAGE_BYTES
    assert OFFER.sctp_port == 5000
    assert [(c.kind, c.host, c.port) for c in OFFER.candidates] == [("host", "10.0.0.1", 54321)]


@given(seed=st.integers(0, 2**32))
def test_every_description_survives_both_forms(seed: int) -> None:
    """Text and wire form lead back to the same description."""
    description = fuzz_sdp.sample(random.Random(seed))

    assert sdp.parse(description.render(), fuzz_sdp.RULES) == description
    assert sdp.from_wire(description.to_wire(), fuzz_sdp.RULES) == description
    assert len(description.to_wire()) <= sdp.MAX_WIRE_BYTES
    assert len(description.render()) <= sdp.MAX_TEXT_BYTES


def test_truncated_text_is_refused() -> None:
    """No prefix of a text is a description, but for one that lacks only its last break."""
    for cut in range(len(LIBRARY_TEXT)):
        with pytest.raises(InvalidInput):
            sdp.parse(LIBRARY_TEXT[:cut])


def test_truncated_wire_is_refused() -> None:
    """No prefix of a wire form is a description."""
    for cut in range(len(OFFER.to_wire())):
        with pytest.raises(InvalidInput):
            sdp.from_wire(OFFER.to_wire()[:cut])


@given(data=st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    """Bytes that nobody wrote are InvalidInput."""
    with pytest.raises(InvalidInput):
        sdp.from_wire(data)


@given(text=st.text(max_size=300))
def test_random_text_is_refused(text: str) -> None:
    """Text that nobody wrote is InvalidInput."""
    with pytest.raises(InvalidInput):
        sdp.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        with_line(f"a=fingerprint:sha-256 {PRINT}\r\n", ""),
        with_line(f"sha-256 {PRINT}", f"sha-1 {':'.join(['AB'] * 20)}"),
        with_line(f"sha-256 {PRINT}", f"md5 {':'.join(['AB'] * 16)}"),
        with_line("a=setup:actpass", f"a=fingerprint:sha-256 {PRINT}\r\na=setup:actpass"),
        with_line(f"sha-256 {PRINT}", f"sha-256 {PRINT}:AB"),
        with_line(f"sha-256 {PRINT}", f"sha-256 {PRINT.lower()}"),
    ],
    ids=["missing", "sha-1 only", "md5", "twice", "too long", "lower case"],
)
def test_exactly_one_sha256_fingerprint_is_needed(text: str) -> None:
    """A weak, second, malformed or missing fingerprint refuses the description (B113)."""
    with pytest.raises(InvalidInput, match="fingerprint"):
        sdp.parse(text)


@pytest.mark.parametrize(
    "line",
    [
        "a=candidate:1 1 tcp 1 10.0.0.2 9 typ host tcptype active",
        "a=candidate:1 1 udp 1 2b7a8c.local 9 typ host",
        "a=candidate:1 2 udp 1 10.0.0.2 9 typ host",
        "a=candidate:1 1 udp 1 10.0.0.2 0 typ host",
        "a=candidate:1 1 udp 1 10.0.0.2 9 typ srflx raddr 0.0.0.0 rport 0",
        "a=candidate:1 1 udp 1 10.0.0.2 9 typ relay",
        "a=candidate:1 1 udp 1 10.0.0.2 9 typ prflx",
        "a=candidate:1 1 udp 1 224.0.0.1 9 typ host",
        "a=candidate:1 1 udp 1 ff02::1 9 typ host",
        "a=candidate:1 1 udp 1 0.0.0.0 9 typ host",
        "a=candidate:1 1 udp 1 0.1.2.3 9 typ host",
        "a=candidate:1 1 udp 1 :: 9 typ host",
        "a=candidate:1 1 udp 1 255.255.255.255 9 typ host",
        "a=candidate:1 1 udp 1 169.254.169.254 9 typ host",
        "a=candidate:1 1 udp 1 fe80::1 9 typ host",
        "a=candidate:1 1 udp 1 ::ffff:10.0.0.2 9 typ host",
        "a=candidate:1 1 udp 1 127.0.0.1 9 typ host",
        "a=candidate:1 1 udp 1 ::1 9 typ host",
        CANDIDATE,
    ],
)
def test_candidates_that_are_not_ours_to_use_are_dropped(line: str) -> None:
    """Well-formed candidates of other kinds are left out, and the rest goes on (B115)."""
    assert sdp.parse(with_candidates(line)) == OFFER


@pytest.mark.parametrize(
    "line",
    [
        "a=candidate:1 1 udp 1 10.0.0.2 70000 typ host",
        "a=candidate:1 1 udp 4294967296 10.0.0.2 9 typ host",
        "a=candidate:1 1 udp 1 host.example 9 typ host",
        "a=candidate:1 1 udp 1 10.0.0.999 9 typ host",
        "a=candidate:1 1 udp 1 10.0.0.2 9 typ",
        "a=candidate:1 1 udp 1 10.0.0.2 -9 typ host",
        "a=candidate:",
    ],
)
def test_malformed_candidate_refuses_the_description(line: str) -> None:
    """A candidate that no library writes is a sign of tampering, not something to skip."""
    with pytest.raises(InvalidInput, match="candidate"):
        sdp.parse(with_candidates(line))


def test_of_many_candidates_the_first_32_are_kept() -> None:
    """More candidates cost nothing but their text (B115)."""
    lines = [f"a=candidate:1 1 udp 1 10.0.1.{at} 9 typ host" for at in range(1, 100)]

    kept = sdp.parse(with_candidates(*lines)).candidates

    assert len(kept) == 32
    assert kept[31].host == "10.0.1.31"


def test_ten_thousand_candidates_are_refused_before_they_are_read() -> None:
    """The text is over its limit long before (B115)."""
    lines = [f"a=candidate:1 1 udp 1 10.0.0.2 {port} typ host" for port in range(1, 10_001)]

    with pytest.raises(InvalidInput, match="over 16384 bytes"):
        sdp.parse(with_candidates(*lines))


@pytest.mark.parametrize(
    "text",
    [
        with_line("a=setup:actpass", "a=setup:holdconn"),
        with_line("a=ice-ufrag:abcd", "a=ice-ufrag:abc"),
        with_line("a=ice-ufrag:abcd", "a=ice-ufrag:ab cd"),
        with_line("a=ice-pwd:abcdefghijklmnopqrstuv", "a=ice-pwd:short"),
        with_line("a=sctp-port:5000", "a=sctp-port:0"),
        with_line("a=sctp-port:5000", "a=sctp-port:70000"),
        with_line("a=max-message-size:262144", "a=max-message-size:1024"),
        with_line("a=sctp-port:5000", "a=sctp-port:5000\r\na=sctp-port:5000"),
        with_line("a=mid:0", "a=mid:1"),
        with_line("a=mid:0", "a=rtpmap:0 PCMU/8000"),
        with_line("a=mid:0", "b=AS:1"),
        with_line("a=mid:0", "a=mid:0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0"),
        with_line("webrtc-datachannel", "5000"),
        with_line("s=-", "s=\u00e9"),
        with_line("v=0\r\n", "v=0\n"),
        with_line("v=0\r\n", "v=1\r\n"),
        with_line(CANDIDATE + "\r\n", ""),
        LIBRARY_TEXT.removesuffix("\r\n"),
        "",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
    ],
)
def test_lines_outside_the_template_are_refused(text: str) -> None:
    """Whatever the template does not know, or knows otherwise, refuses the description."""
    with pytest.raises(InvalidInput):
        sdp.parse(text)


def test_honest_wire_form_is_taken() -> None:
    """The control for the refusals below: unchanged values pass."""
    assert sdp.from_wire(changed()) == OFFER


@pytest.mark.parametrize(
    "data",
    [
        changed(version=2),
        changed(setup="holdconn"),
        changed(ufrag="abc"),
        changed(ufrag="abcd\n"),
        changed(password="a" * 65),
        changed(fingerprint=b"\0" * 31),
        changed(fingerprint=b"\0" * 33),
        changed(max_message_size=sdp.MAX_MESSAGE_BYTES + 1),
        changed(max_message_size=0),
        changed(sctp_port=0),
        changed(candidates=[]),
        changed(candidates=[candidate(f"10.0.0.{at}") for at in range(1, 34)]),
        changed(candidates=[candidate("10.0.0.1"), candidate("10.0.0.1")]),
        changed(candidates=[candidate("10.0.0.1", port=0)]),
        changed(candidates=[candidate("10.0.0.1", port=70000)]),
        changed(candidates=[candidate("10.0.0.1", priority=0)]),
        changed(candidates=[candidate("10.0.0.1", kind="prflx")]),
        changed(candidates=[candidate("10.0.0.1", kind="srflx")]),
        changed(candidates=[candidate("10.0.0.1", kind="relay")]),
        changed(candidates=[candidate("224.0.0.1")]),
        changed(candidates=[candidate("0.0.0.0")]),
        changed(candidates=[candidate("169.254.169.254")]),
        changed(candidates=[candidate("127.0.0.1")]),
        changed(candidates=[candidate("::ffff:10.0.0.1")]),
        changed(candidates=[["host", b"\x0a\0\0\0\x01", 9, 1]]),
        changed(more=1),
        OFFER.to_wire() + b"\0",
        OFFER.to_wire().replace(b"\xcd\x13\x88", b"\xce\0\0\x13\x88"),
        b"\x91" * 5000,
        b"\x91" * 4000,
    ],
)
def test_dishonest_wire_form_is_refused(data: bytes) -> None:
    """A peer's values out of range, of another kind or in another form are InvalidInput."""
    assert data != OFFER.to_wire()
    with pytest.raises(InvalidInput):
        sdp.from_wire(data)


def test_rules_open_further_kinds_and_loopback() -> None:
    """What is refused by default is taken where the owner allows it."""
    rules = sdp.CandidateRules(kinds=frozenset({"host", "srflx"}), loopback=True)
    data = changed(candidates=[candidate("127.0.0.1"), candidate("203.0.113.9", kind="srflx")])

    assert [item.host for item in sdp.from_wire(data, rules).candidates] == [
        "127.0.0.1",
        "203.0.113.9",
    ]


def test_binding_is_the_same_at_both_ends() -> None:
    """Each end names its own description first, and both hold the same values."""
    answer = msgspec.structs.replace(OFFER, setup="active", fingerprint=b"\xcd" * 32)

    assert sdp.binding(OFFER, answer) == sdp.binding(answer, OFFER)
    assert sdp.binding(OFFER, answer).client == b"\xab" * 32
    assert sdp.binding(OFFER, answer).gateway == b"\xcd" * 32


def test_binding_needs_offer_and_answer() -> None:
    """Two offers bind nothing."""
    with pytest.raises(InvalidInput, match="one offer and one answer"):
        sdp.binding(OFFER, OFFER)
