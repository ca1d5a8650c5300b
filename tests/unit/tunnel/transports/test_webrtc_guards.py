from __future__ import annotations

import asyncio
import random
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

import pytest
from aiortc import RTCDataChannel, RTCDataChannelParameters
from aiortc import rtcsctptransport as sctp
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import CommanderError
from commander.tunnel.transports import webrtc_guards
from commander.tunnel.transports.channel import CHANNEL_ID
from commander.tunnel.transports.webrtc_drops import dropped
from commander.tunnel.transports.webrtc_guards import (
    ChannelViolation,
    decode_parameters,
    parse_message,
    parse_packet,
)
from tests.unit.tunnel.transports.associations import Pair
from tests.unit.tunnel.transports.stun_shapes import malformed_stun, stun_request

# B121 asks for 100 ms of loop lag, which a benchmark shows; here only a freeze fails, whatever else runs.
BUSY_S = 5.0
HIGHEST = 2**32


@pytest.fixture(autouse=True)
def guards() -> None:
    webrtc_guards.install_guards()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with Pair() as pair:
        yield pair


def count_of(kind: str) -> int:
    return dropped.totals[kind]


# --- Environment and installation ------------------------------------------------------------

GOOD_VERSIONS = {"aiortc": "1.16.0", "aioice": "0.13.0"}


def test_tested_versions_pass() -> None:
    """The control: what is pinned runs."""
    webrtc_guards.check_environment(GOOD_VERSIONS, optimize=0)


@pytest.mark.parametrize(
    "versions",
    [
        {**GOOD_VERSIONS, "aiortc": "1.17.0"},
        {**GOOD_VERSIONS, "aiortc": "1.160.0"},
        {**GOOD_VERSIONS, "aioice": "0.14.0"},
        {"aiortc": "1.16.0"},
    ],
)
def test_other_versions_are_refused(versions: dict[str, str]) -> None:
    """Guards reach into the libraries, so versions they do not know are not used."""
    with pytest.raises(CommanderError, match="does not run with") as caught:
        webrtc_guards.check_environment(versions, optimize=0)
    assert "pip install" in caught.value.hint


def test_optimized_python_is_refused() -> None:
    """Under -O the libraries' own checks are gone, so a process does not begin (B112)."""
    with pytest.raises(CommanderError, match="python -O"):
        webrtc_guards.check_environment(GOOD_VERSIONS, optimize=1)


@pytest.mark.parametrize(("switch", "status"), [("-O", b"failed"), ("-B", b"installed")])
def test_real_process_under_optimization_is_refused(switch: str, status: bytes) -> None:
    """The check looks at the real interpreter; without -O the same program installs (B112)."""
    program = (
        "from commander.tunnel.transports import webrtc_guards as guards\n"
        "from commander.errors import CommanderError\n"
        "try: guards.install_guards(); print('installed')\n"
        "except CommanderError as error: print(error.code)\n"
    )

    done = subprocess.run([sys.executable, switch, "-c", program], capture_output=True, check=True)

    assert done.stdout.strip() == status


def test_self_test_notices_a_missing_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library function put back is found before anything is fed to it."""
    webrtc_guards.self_test()
    monkeypatch.setattr(sctp, "decode_params", list)

    assert not webrtc_guards.is_installed()
    with pytest.raises(CommanderError, match="not in place"):
        webrtc_guards.self_test()


def test_self_test_leaves_no_trace_in_the_counters() -> None:
    """What the self-test feeds is not an attack."""
    before = dict(dropped.totals)

    webrtc_guards.self_test()

    assert dict(dropped.totals) == before


# --- Parsers ----------------------------------------------------------------------------------


@given(parameters=st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=40)), max_size=8))
def test_parameters_survive_the_round_trip(parameters: list[tuple[int, bytes]]) -> None:
    """What the library encodes, the guarded decoder reads."""
    assert decode_parameters(sctp.encode_params(parameters)) == parameters


@pytest.mark.parametrize("length", [0, 1, 2, 3, 9, 65535])
def test_parameter_length_outside_its_body_is_refused(length: int) -> None:
    """A length below its own header or past the end is a ValueError."""
    with pytest.raises(ValueError, match="invalid length"):
        decode_parameters(struct.pack("!HH", 1, length) + bytes(4))


@given(body=st.binary(max_size=200))
def test_any_parameter_bytes_end(body: bytes) -> None:
    """Whatever the bytes, the decoder makes progress and returns or refuses."""
    try:
        found = decode_parameters(body)
    except ValueError:
        return
    assert len(found) <= len(body) // 4


@given(kind=st.integers(0, 255), body=st.binary(max_size=24))
def test_any_chunk_is_parsed_or_refused(kind: int, body: bytes) -> None:
    """No chunk body, however short, lets another error out than ValueError."""
    chunk = sctp.Chunk(body=body)
    chunk.type = kind
    packet = sctp.serialize_packet(5000, 5000, 1, chunk)
    try:
        parse_packet(packet)
    except ValueError:
        return


STUN = bytes(stun_request(PRIORITY=1, USERNAME="ab:cd", ICE_CONTROLLING=5, USE_CANDIDATE=None))


def test_truncated_stun_is_refused() -> None:
    """No prefix of a message is a message."""
    for cut in range(len(STUN)):
        with pytest.raises(ValueError):  # noqa: PT011  the type is the promise
            parse_message(STUN[:cut])


@given(attributes=st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=12)), max_size=5))
def test_any_stun_attributes_are_parsed_or_refused(attributes: list[tuple[int, bytes]]) -> None:
    """No attribute, however short, lets another error out than ValueError."""
    try:
        parse_message(malformed_stun(*attributes))
    except ValueError:
        return


# --- SCTP ------------------------------------------------------------------------------------


async def test_message_of_an_honest_peer_arrives(pair: Pair) -> None:
    """The control for everything below, at the largest size our peers send."""
    pair.far_channel.send(b"x" * 16_384)
    await pair.proves_alive()

    assert pair.messages[0] == b"x" * 16_384
    assert pair.victim.violation == ""


@pytest.mark.parametrize("kind", [sctp.HeartbeatChunk.type, sctp.ErrorChunk.type, 130, 6])
@pytest.mark.parametrize("length", [0, 3, 9])
async def test_bad_parameter_length_does_not_hold_the_loop(
    pair: Pair, kind: int, length: int
) -> None:
    """A parameter that cannot be is a packet ignored at once (B121)."""
    busy = await pair.inject(kind, struct.pack("!HH", 1, length))

    assert busy < BUSY_S
    await pair.proves_alive()


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 192])
@pytest.mark.parametrize("size", [1, 2, 3])
async def test_short_chunk_is_ignored(pair: Pair, kind: int, size: int) -> None:
    """A chunk too short for its fields does not end the association (B122)."""
    before = count_of("sctp-malformed")

    busy = await pair.inject(kind, bytes(size))

    assert busy < BUSY_S
    assert count_of("sctp-malformed") == before + 1
    await pair.proves_alive()


def sack(cumulative: int, *gaps: tuple[int, int]) -> bytes:
    body = struct.pack("!LLHH", cumulative % HIGHEST, 100_000, len(gaps), 0)
    return body + b"".join(struct.pack("!HH", *gap) for gap in gaps)


@pytest.mark.parametrize(
    "forge",
    [
        lambda last: sack(last, *[(1, 65535)] * 250),
        lambda last: sack(last, (1, 65535)),
        lambda last: sack(last, (9, 3)),
        lambda last: sack(last + 100_000),
        lambda last: sack(last + 2**31 - 1),
    ],
    ids=["all gaps", "one wide gap", "backward gap", "unsent", "far future"],
)
async def test_dishonest_sack_is_ignored(pair: Pair, forge: Callable[[int], bytes]) -> None:
    """A SACK of what was never sent costs nothing and ends nothing (B122)."""
    before = count_of("sctp-sack")
    busy = await pair.inject(sctp.SackChunk.type, forge(pair.victim._last_sacked_tsn))

    assert busy < BUSY_S
    assert count_of("sctp-sack") == before + 1
    await pair.proves_alive()
    pair.channel.send(b"and back")


async def test_far_future_number_is_dropped_as_lost(pair: Pair) -> None:
    """Data far ahead of its turn is not kept, and the turn goes on (B122)."""
    before = count_of("sctp-ahead")

    busy = await pair.inject_data(b"late", ahead=webrtc_guards.MAX_AHEAD_CHUNKS)

    assert busy < BUSY_S
    assert count_of("sctp-ahead") == before + 1
    await pair.proves_alive()


async def test_data_ahead_of_its_turn_is_kept_in_bounds(pair: Pair) -> None:
    """With one packet missing, what a peer makes us keep is bounded in bytes (B123)."""
    slowest = 0.0
    for ahead in range(1, 2 * webrtc_guards.MAX_AHEAD_CHUNKS):
        slowest = max(slowest, await pair.inject_data(bytes(1160), ahead=ahead))

    kept = pair.victim._get_inbound_stream(CHANNEL_ID).reassembly
    assert len(kept) <= webrtc_guards.MAX_AHEAD_CHUNKS
    assert sum(len(chunk.user_data) for chunk in kept) <= webrtc_guards.MAX_BUFFERED_BYTES + 1160
    assert slowest < BUSY_S
    assert pair.victim.violation == ""


async def expect_violation(pair: Pair, reason: str) -> None:
    async with asyncio.timeout(10):
        await pair.is_closed.wait()
    assert pair.victim.violation == reason
    assert pair.channel.readyState == "closed"


@pytest.mark.parametrize("size", [1160, 4])
async def test_message_without_end_closes_the_association(pair: Pair, size: int) -> None:
    """Fragments that never make a message end at the limit of bytes or of fragments (B123)."""
    taken = 0
    flags = sctp.SCTP_DATA_FIRST_FRAG
    while not pair.victim.violation:
        await pair.inject_data(bytes(size), flags=flags)
        flags = 0
        taken += size
        assert taken <= webrtc_guards.MAX_MESSAGE_BYTES + size

    await expect_violation(pair, "message too long")


async def test_message_over_the_limit_closes_the_association(pair: Pair) -> None:
    """The library would take any size (B123)."""
    pair.peer._remote_max_message_size = 0
    pair.far_channel.send(bytes(webrtc_guards.MAX_MESSAGE_BYTES + 1))

    await expect_violation(pair, "message too long")


@pytest.mark.parametrize("stream", [1, 2, 65534, 65535])
async def test_second_stream_closes_the_association(pair: Pair, stream: int) -> None:
    """There is one stream; no table grows by naming others (B123, B124)."""
    await pair.inject_data(b"x", stream=stream)

    await expect_violation(pair, "data on a second channel")
    assert len(pair.victim._inbound_streams) <= 1


async def test_opening_a_channel_inside_closes_the_association(pair: Pair) -> None:
    """Nothing is negotiated inside: an open message on our stream is a breach (B123, B124)."""
    body = struct.pack("!BBHLHH", sctp.DATA_CHANNEL_OPEN, 0, 0, 0, 5, 0) + b"other"
    await pair.inject_data(body, protocol=sctp.WEBRTC_DCEP)

    await expect_violation(pair, "message that is not binary")


async def test_second_channel_of_a_library_peer_closes_the_association(pair: Pair) -> None:
    """The same, as an unmodified library does it (B124)."""
    RTCDataChannel(pair.peer, RTCDataChannelParameters(label="second"))

    await expect_violation(pair, "data on a second channel")


@pytest.mark.parametrize("message", ["text", "", b""], ids=["text", "empty text", "empty"])
async def test_message_that_is_not_binary_closes_the_association(
    pair: Pair, message: str | bytes
) -> None:
    """Sealed messages are binary and never empty (B124)."""
    pair.far_channel.send(message)

    await expect_violation(pair, "message that is not binary")
    assert pair.messages == []


@pytest.mark.parametrize(
    ("flags", "payload"), [(sctp.SCTP_DATA_UNORDERED | 3, b"x"), (3, b"")], ids=["unordered", "no"]
)
async def test_unordered_or_empty_data_closes_the_association(
    pair: Pair, flags: int, payload: bytes
) -> None:
    """Our channel is ordered, and RFC 9260 section 3.3.1 forbids DATA without data."""
    await pair.inject_data(payload, flags=flags)

    await expect_violation(pair, "unordered or empty fragment")


async def test_skipping_messages_closes_the_association(pair: Pair) -> None:
    """A reliable channel has nothing to skip, and no stream is made by FORWARD TSN."""
    streams = b"".join(struct.pack("!HH", number, 0) for number in range(300))
    await pair.inject(192, struct.pack("!L", pair.next_number) + streams)

    await expect_violation(pair, "messages skipped on a reliable channel")


async def test_packet_that_breaks_the_library_closes_the_association(pair: Pair) -> None:
    """An error inside the library ends this association, silently, and nothing else."""
    init = struct.pack("!LLHHL", 1, 100_000, 1, 1, 1)
    await pair.inject_chunks([(1, 0, init), (1, 0, init)])

    await expect_violation(pair, "broken packet")


async def test_after_a_violation_nothing_is_heard(pair: Pair) -> None:
    """A closed association stays closed, whatever the peer sends."""
    await pair.inject_data(b"x", stream=1)
    await pair.inject_data(b"y")

    assert pair.messages == []
    assert pair.channel.readyState == "closed"


async def test_data_before_the_association_is_a_violation() -> None:
    """An association that has not begun has no turn to count from."""
    pair = Pair()
    with pytest.raises(ChannelViolation):
        pair.victim._is_too_far_ahead(1)


async def test_every_second_packet_is_acknowledged(pair: Pair) -> None:
    """Once a transfer runs, SACKs are half as many as packets, and all data arrives."""
    for _ in range(64):
        pair.far_channel.send(bytes(16_000))
    await pair.proves_alive()

    victim, peer = pair.wires
    assert pair.messages[:-1] == [bytes(16_000)] * 64
    assert victim.packets_sent < 0.6 * peer.packets_sent


async def test_last_packet_is_acknowledged_soon(pair: Pair) -> None:
    """A SACK that waits for a second packet goes out by itself."""
    pair.victim._packets_taken = webrtc_guards.EAGER_SACKS
    await pair.proves_alive()

    async with asyncio.timeout(10):
        while pair.peer._sent_queue:
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(6))
async def test_all_arrives_in_order_over_a_bad_network(
    pair: Pair, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one packet in thirty lost or overtaken both ways, no message is lost or changed."""
    monkeypatch.setattr(sctp, "SCTP_RTO_MIN", 0.02)
    rng = random.Random(seed)
    for end in (pair.victim, pair.peer):
        end._rto = 0.05
    for wire in pair.wires:
        wire.is_spoiled = lambda: rng.random() < 1 / 30
    sent = [rng.randbytes(rng.choice([1, 1160, 5000, 16_384])) for _ in range(200)]

    for message in sent:
        pair.far_channel.send(message)
        pair.channel.send(message)
    async with asyncio.timeout(60):
        while len(pair.messages) < len(sent) or pair.peer._sent_queue or pair.victim._sent_queue:
            await asyncio.sleep(0.01)

    assert pair.messages == sent
    assert pair.far_messages == sent
    assert all(wire.packets_spoiled > 10 for wire in pair.wires)
    assert pair.victim.violation == pair.peer.violation == ""
