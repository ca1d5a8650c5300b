"""
TCP over plain aiortc, to measure beside ours: one data channel for each connection, nothing else.

    plain_aiortc.py serve DIR TARGET_PORT [ADDRESS]     connects the target; until SIGTERM
    plain_aiortc.py connect DIR PORT                    listens on the port

No seal, no mux, no resume; 16 KiB messages and at most 1 MiB waiting, as anybody would write it first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from pathlib import Path

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

MESSAGE_BYTES = 16 * 1024
WAITING_BYTES = 1024 * 1024
END = "end"


async def pump_out(reader: asyncio.StreamReader, channel: RTCDataChannel) -> None:
    """Socket to channel; stops while too much waits."""
    low = asyncio.Event()
    channel.bufferedAmountLowThreshold = WAITING_BYTES // 2
    channel.on("bufferedamountlow", low.set)
    while data := await reader.read(MESSAGE_BYTES):
        channel.send(data)
        if channel.bufferedAmount > WAITING_BYTES:
            low.clear()
            await low.wait()
    channel.send(END)


def pump_in(channel: RTCDataChannel, writer: asyncio.StreamWriter) -> None:
    """Channel to socket; a reader that stops is not noticed, as there is nothing that would tell the peer."""

    def received(message: bytes | str) -> None:
        if isinstance(message, bytes):
            writer.write(message)
        elif writer.can_write_eof():
            with contextlib.suppress(OSError, RuntimeError):
                writer.write_eof()

    channel.on("message", received)
    channel.on("close", writer.close)


async def carry(
    channel: RTCDataChannel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One connection to its end."""
    pump_in(channel, writer)
    with contextlib.suppress(OSError):
        await pump_out(reader, channel)
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    channel.close()


async def serve(directory: Path, target_port: int, address: str) -> None:
    """Answer offers that come over a local socket."""
    connections: list[RTCPeerConnection] = []
    tasks: set[asyncio.Task[None]] = set()

    async def begin(channel: RTCDataChannel) -> None:
        early: list[bytes | str] = []
        channel.on("message", early.append)
        reader, writer = await asyncio.open_connection("127.0.0.1", target_port)
        channel.remove_all_listeners("message")
        for message in early:
            if isinstance(message, bytes):
                writer.write(message)
            else:
                writer.write_eof()
        await carry(channel, reader, writer)

    def opened(channel: RTCDataChannel) -> None:
        task = asyncio.get_running_loop().create_task(begin(channel))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connections.append(connection)
        connection.on("datachannel", opened)
        offer = json.loads(await reader.readline())
        await connection.setRemoteDescription(RTCSessionDescription(**offer))
        await connection.setLocalDescription(await connection.createAnswer())
        local = connection.localDescription
        writer.write(json.dumps({"sdp": local.sdp, "type": local.type}).encode() + b"\n")
        await writer.drain()

    server = await asyncio.start_server(answer, address, 0, limit=1 << 20)
    leave_address(directory, f"{address} {server.sockets[0].getsockname()[1]}")
    await server.serve_forever()


def leave_address(directory: Path, address: str) -> None:
    """Tell the other end where to bring its offer."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "address.new").write_text(address)
    (directory / "address.new").rename(directory / "address")


def wait_for_address(directory: Path) -> list[str]:
    """Where the serving end takes offers."""
    while not (directory / "address").exists():
        time.sleep(0.05)
    return (directory / "address").read_text().split()


async def connect(host: str, signalling: int, port: int) -> None:
    """Offer, and listen once the peers are connected."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    first = connection.createDataChannel("first")
    is_open = asyncio.Event()
    first.on("open", is_open.set)
    await connection.setLocalDescription(await connection.createOffer())
    reader, writer = await asyncio.open_connection(host, signalling, limit=1 << 20)
    local = connection.localDescription
    writer.write(json.dumps({"sdp": local.sdp, "type": local.type}).encode() + b"\n")
    await connection.setRemoteDescription(
        RTCSessionDescription(**json.loads(await reader.readline()))
    )
    await is_open.wait()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = connection.createDataChannel("tcp")
        ready = asyncio.Event()
        channel.on("open", ready.set)
        await ready.wait()
        await carry(channel, reader, writer)

    server = await asyncio.start_server(accepted, "127.0.0.1", port)
    await server.serve_forever()


def main(words: list[str]) -> int:
    """Play one end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    directory = Path(words[1])
    with contextlib.suppress(KeyboardInterrupt):
        if words[0] == "serve":
            asyncio.run(serve(directory, int(words[2]), words[3] if words[3:] else "127.0.0.1"))
        else:
            host, signalling = wait_for_address(directory)
            asyncio.run(connect(host, int(signalling), int(words[2])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
