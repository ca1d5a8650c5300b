"""Who is at the other end of a local connection, as the kernel knows it (Linux)."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import sys
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Address = tuple[str, int]

_TABLES: Final = ("tcp", "tcp6")
_COLUMNS: Final = 10
_SEEN_PROCESSES: Final = 8
_NEW_PROCESSES: Final = 256
_FEW_PROCESSES: Final = 8
_REST: Final = 50
_MAX_DESCRIPTORS: Final = 256
# About a millisecond: a process with thousands of descriptors must not slow its own connections.
_MAX_LINKS: Final = 1000
_SERVER_DESCRIPTORS: Final = 4096
_MAX_NAME: Final = 64
_MAX_COMM: Final = 1024
_WORD_BYTES: Final = 4

# sock_diag(7), linux/inet_diag.h: nlmsghdr, inet_diag_req_v2, and uid and inode of inet_diag_msg.
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_DIAG_HEADER: Final = struct.Struct("=IHHII")
_DIAG_REQUEST: Final = struct.Struct("=BBBBI2s2s16s16sI8s")
_DIAG_ANSWER: Final = struct.Struct("=4x48x12xII")
_KERNEL_TIME: Final = struct.pack("ll", 1, 0)
_KERNEL_SENDER: Final = 0
_MAX_NUMBER: Final = (1 << 32) - 1
_CREDENTIALS: Final = struct.Struct("3i")


@dataclass(frozen=True)
class Socket:
    """What the kernel's table says about one TCP socket; inode 0 means no process holds it."""

    uid: int
    inode: int


@dataclass(frozen=True)
class Peer:
    """
    The owner of a local connection; `uid` is None when nobody can be seen.

    A Unix socket tells the process, a TCP one only its socket, by which the process is found.
    """

    address: Address
    uid: int | None
    inode: int = 0
    pid: int = 0


@dataclass(frozen=True)
class Program:
    """The process behind a connection; pid 0 and no name when it is not seen."""

    pid: int = 0
    name: str = ""


def find_socket(table: Iterable[str], local: Address, remote: Address) -> Socket | None:
    """
    Find the socket with these ends in the lines of /proc/net/tcp or tcp6 (proc(5)).

    An IPv4 address also matches its IPv6-mapped form, as clients with IPv6 sockets show it.
    """
    wanted = {
        (ours, theirs)
        for ours in _kernel_forms(local)
        for theirs in _kernel_forms(remote)
        if len(ours) == len(theirs)
    }
    for line in table:
        columns = line.split()
        if len(columns) < _COLUMNS or (columns[1], columns[2]) not in wanted:
            continue
        if columns[7].isdecimal() and columns[9].isdecimal():
            return Socket(int(columns[7]), int(columns[9]))
    return None


def _kernel_forms(address: Address) -> list[str]:
    parsed = ipaddress.ip_address(address[0])
    forms = [parsed.packed]
    if parsed.version == 4:
        forms.append(b"\0" * 10 + b"\xff\xff" + parsed.packed)
    return [f"{_as_words(packed)}:{address[1]:04X}" for packed in forms]


def _as_words(packed: bytes) -> str:
    # The kernel prints each 32-bit word of the address in the machine's own order.
    words = [packed[at : at + _WORD_BYTES] for at in range(0, len(packed), _WORD_BYTES)]
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def can_identify(proc: Path = Path("/proc")) -> bool:
    """Tell whether this system shows the owners of its connections."""
    return (proc / "self/net/tcp").exists()


def identify(local: Address, remote: Address, *, proc: Path = Path("/proc")) -> Peer:
    """
    Identify who connected from `remote` to our `local`; `uid` is None when nobody is seen.

    Asks the kernel for this one connection, or reads its tables where that is not possible.
    A socket that its process has closed already counts as unseen: its uid is not reliable
    on all kernels.
    """
    found = _ask_kernel(remote, local) or _read_tables(remote, local, proc)
    if found is None or found.inode == 0:
        return Peer(remote, None)
    return Peer(remote, found.uid, found.inode)


def identify_unix(connection: socket.socket) -> Peer:
    """
    Identify who connected to a Unix socket (SO_PEERCRED).

    Where the system cannot say, the socket's mode has let only our own user in. Raises OSError.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return Peer(("", 0), os.geteuid())
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return Peer(("", 0), uid, pid=pid)


class ProgramFinder:
    """
    Names the program at the other end of a connection; best effort, only for logs and audit.

    Fast enough for the event loop: it looks at processes that connected before and at the newest
    ones, and gives up on the rest. Where that takes milliseconds and finds nothing, as beside a
    browser, few processes are looked at until it was a fiftieth of the time that went by.
    """

    def __init__(
        self, *, proc: Path = Path("/proc"), monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._proc = proc
        self._monotonic = monotonic
        self._seen: deque[int] = deque(maxlen=_SEEN_PROCESSES)
        self._rests_until = 0.0

    def find(self, peer: Peer) -> Program:
        """The program, or an empty one when it is not seen."""
        if peer.pid:
            return Program(peer.pid, _program(peer.pid, self._proc))
        if not peer.inode:
            return Program()
        began = self._monotonic()
        most = _NEW_PROCESSES if began >= self._rests_until else _FEW_PROCESSES
        found = self._search(f"socket:[{peer.inode}]", most)
        if not found and most == _NEW_PROCESSES:
            now = self._monotonic()
            self._rests_until = now + _REST * (now - began)
        return Program(found, _program(found, self._proc)) if found else Program()

    def _search(self, wanted: str, most: int) -> int:
        left = _MAX_LINKS
        for pid in self._likely(most):
            folder = f"{self._proc}/{pid}/fd"
            if pid not in self._seen and _size(folder) > _SERVER_DESCRIPTORS:
                # A server: even to list what it has open takes milliseconds.
                continue
            looked, found = _look(folder, wanted, left)
            left -= looked
            if found:
                if pid in self._seen:
                    self._seen.remove(pid)
                self._seen.append(pid)
                return pid
            if left <= 0:
                break
        return 0

    def _likely(self, most: int) -> Iterator[int]:
        yield from reversed(tuple(self._seen))
        try:
            pids = sorted(int(name) for name in os.listdir(self._proc) if name.isdecimal())
        except OSError:
            return
        # Numbers begin again at some point: those above the last one given are the oldest.
        at = bisect_right(pids, _last_pid(self._proc))
        newest = [*reversed(pids[:at]), *reversed(pids[at:])]
        yield from (pid for pid in newest[:most] if pid not in self._seen)


class _Kernel(threading.local):
    """
    One netlink socket for each thread, kept open: two system calls for a question instead of four.

    Questions are numbered, so that an answer which came too late is never taken for the next one.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._number = 0

    def ask(self, question: bytes) -> bytes:
        """The payload of the answer, empty for an error such as "not found". Raises OSError."""
        if self._socket is None:
            self._socket = _open_netlink()
        self._number = self._number % _MAX_NUMBER + 1
        length = _DIAG_HEADER.size + len(question)
        header = _DIAG_HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, self._number, 0)
        try:
            self._socket.sendto(header + question, (0, 0))
            while True:
                answer, (sender, _) = self._socket.recvfrom(4096)
                _, kind, _, number, _ = _DIAG_HEADER.unpack_from(answer.ljust(_DIAG_HEADER.size))
                if number == self._number and sender == _KERNEL_SENDER:
                    break
        except OSError:
            self._socket.close()
            self._socket = None
            raise
        return answer[_DIAG_HEADER.size :] if kind == _SOCK_DIAG_BY_FAMILY else b""


_kernel = _Kernel()


def _open_netlink() -> socket.socket:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    # The kernel answers while it is asked; Python's own time limit would ask it once more each time.
    netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _KERNEL_TIME)
    return netlink


def _ask_kernel(local: Address, remote: Address) -> Socket | None:
    """One exact look-up by sock_diag(7), in microseconds however many connections there are."""
    if sys.platform != "linux":
        return None
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    try:
        answer = _kernel.ask(
            _DIAG_REQUEST.pack(
                family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF,
                local[1].to_bytes(2, "big"), remote[1].to_bytes(2, "big"),
                socket.inet_pton(family, local[0]), socket.inet_pton(family, remote[0]),
                0, b"\xff" * 8,
            )
        )  # fmt: skip
    except OSError:
        return None
    if len(answer) < _DIAG_ANSWER.size:
        return None
    uid, inode = _DIAG_ANSWER.unpack_from(answer)
    return Socket(uid, inode)


def _read_tables(local: Address, remote: Address, proc: Path) -> Socket | None:
    for name in _TABLES:
        try:
            with (proc / "self/net" / name).open(encoding="ascii", errors="replace") as table:
                found = find_socket(table, local, remote)
        except OSError:
            continue
        if found is not None:
            return found
    return None


def _last_pid(proc: Path) -> int:
    """The number of the process that started last; the highest there is where nobody tells."""
    try:
        return int((proc / "loadavg").read_text(encoding="ascii").split()[-1])
    except (OSError, ValueError, IndexError):
        return sys.maxsize


def _size(folder: str) -> int:
    """How many descriptors a process has (Linux 6.2); 0 before, and when it may not be seen."""
    try:
        return os.stat(folder).st_size
    except OSError:
        return 0


def _look(folder: str, wanted: str, limit: int) -> tuple[int, bool]:
    """
    Look for a socket among the descriptors of a process: how many were looked at, and whether it
    is one of them.

    A new connection has the lowest free number: mostly the last one, in a process with few the
    first hole. So the newest are looked at, and of the rest as many as the limit lets.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return 1, False
    looked = 1
    for name in names[: -_MAX_DESCRIPTORS - 1 : -1][: max(0, limit)]:
        looked += 1
        try:
            if os.readlink(f"{folder}/{name}") == wanted:
                return looked, True
        except OSError:
            continue
    return looked, False


def _program(pid: int, proc: Path) -> str:
    try:
        with open(f"{proc}/{pid}/comm", "rb", buffering=0) as comm:
            raw = comm.read(_MAX_COMM).decode("utf-8", "replace").strip()
    except OSError:
        return ""
    return "".join(char if char.isprintable() else "?" for char in raw[:_MAX_NAME])
