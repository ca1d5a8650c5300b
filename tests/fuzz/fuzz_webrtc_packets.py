"""Packets as the WebRTC libraries parse them behind our guards; only ValueError may come out."""

from __future__ import annotations

import contextlib
import struct

import aioice.stun
from aiortc import rtcsctptransport as sctp

from commander.tunnel.transports import webrtc_guards

NAME = "webrtc_packets"


def seeds() -> list[bytes]:
    """One packet of each chunk the library knows, and one STUN request."""
    packets = [sctp.serialize_packet(5000, 5000, 1, kind()) for kind in sctp.CHUNK_CLASSES]
    request = aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST)
    request.attributes["USERNAME"] = "abcd:efgh"
    request.attributes["PRIORITY"] = 1
    request.attributes["XOR-MAPPED-ADDRESS"] = ("192.0.2.1", 9)
    request.add_message_integrity(b"key")
    return [*packets, bytes(request)]


def fuzz(data: bytes) -> None:
    """Feed every guarded parser; SCTP once more with the checksum put right."""
    for parser in (webrtc_guards.parse_packet, webrtc_guards.parse_message):
        with contextlib.suppress(ValueError):
            parser(data)
    with contextlib.suppress(ValueError):
        webrtc_guards.decode_parameters(data)
    if len(data) >= 12:
        source, target, tag = struct.unpack_from("!HHL", data)
        whole = sctp.serialize_packet(source, target, tag, _AsItIs(body=data[12:]))
        webrtc_guards.install_guards()
        with contextlib.suppress(ValueError):
            sctp.parse_packet(whole)


class _AsItIs(sctp.Chunk):
    """Bytes in a chunk's place."""

    def __bytes__(self) -> bytes:
        return self.body
