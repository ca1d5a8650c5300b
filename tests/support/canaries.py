"""
Marked secrets, and the search for them wherever they must not be.

A run plants values that all hold one random mark. The search knows the mark in every encoding
that software usually puts data in, so it finds a value also when it was cut, joined or packed.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MARK_LENGTH = 16
_CHUNK = 8 * 1024 * 1024
# Kernel pages in every process: not the program's memory, and not readable through /proc.
_UNREADABLE = ("[vvar]", "[vvar_vclock]", "[vsyscall]")


@dataclass(frozen=True)
class Finding:
    """A planted value that was found: which one, in which encoding, and where."""

    where: str
    name: str
    encoding: str
    offset: int

    def __str__(self) -> str:
        return f"{self.name} as {self.encoding} in {self.where} at {self.offset}"


class Canaries:
    """
    Values to plant in titles, hosts, passwords, tokens and SQL. All hold `mark`.

    The mark is lower-case letters and digits, so that it survives as a host name and an SQL word.
    """

    def __init__(self) -> None:
        # A letter first: names of hosts and of SQL columns want that.
        self.mark = "c" + secrets.token_hex(MARK_LENGTH)[: MARK_LENGTH - 1]

    def title(self, number: int = 1) -> str:
        """A record or folder title."""
        return f"Title {self.mark} {number}"

    def host(self, number: int = 1) -> str:
        """A host name; resolves nowhere."""
        return f"{self.mark}-{number}.invalid"

    def word(self, number: int = 1) -> str:
        """A name for a user, database, table or column."""
        return f"{self.mark}_{number}"

    def password(self, number: int = 1) -> str:
        """A password with characters that encoders escape."""
        return f'Pw/{self.mark}+"{number}"&é=%'

    def sql(self, number: int = 1) -> str:
        """A query whose text and answer both hold the mark."""
        return f"select '{self.mark}' as {self.word(number)}"

    def scanner(self) -> Scanner:
        """What finds the mark."""
        return Scanner({"mark": self.mark.encode()})


class Scanner:
    """
    Finds values, by name, in every usual encoding.

    Values shorter than eight bytes are refused: they would be found by accident.
    """

    def __init__(self, values: Mapping[str, bytes]) -> None:
        assert all(len(value) >= 8 for value in values.values()), "a canary is 8 bytes or more"
        self._patterns = [
            (name, encoding, pattern)
            for name, value in values.items()
            for encoding, pattern in encodings(value).items()
        ]
        self._longest = max(len(pattern) for _, _, pattern in self._patterns)

    def scan_bytes(self, data: bytes, where: str = "bytes", base: int = 0) -> list[Finding]:
        """The first place of each value and encoding in the data."""
        return [
            Finding(where, name, encoding, base + offset)
            for name, encoding, pattern in self._patterns
            if (offset := data.find(pattern)) >= 0
        ]

    def scan_file(self, path: Path) -> list[Finding]:
        """Search a file and its name; also with line breaks taken out, as wrapped base64 has them."""
        found = self.scan_bytes(os.fsencode(path.name), f"the name {path}")
        data = path.read_bytes()
        found += self.scan_bytes(data, str(path))
        if b"\n" in data:
            joined = data.translate(None, b"\r\n")
            found += self.scan_bytes(joined, f"{path} without line breaks")
        return _once(found)

    def scan_tree(self, directory: Path) -> list[Finding]:
        """Search every plain file, and every name, below a directory. Sockets and links are named only."""
        found: list[Finding] = []
        for path in sorted(directory.rglob("*")):
            if path.is_file() and not path.is_symlink():
                with contextlib.suppress(FileNotFoundError):
                    found += self.scan_file(path)
            else:
                found += self.scan_bytes(os.fsencode(path.name), f"the name {path}")
        return found

    def scan_process(self, pid: int) -> list[Finding]:
        """
        Search a living process: command line, environment, and all of its readable memory.

        Raises PermissionError unless it is ours or we are root. It should be stopped or
        idle meanwhile; memory that goes away during the search is passed over.
        """
        found: list[Finding] = []
        for name in ("cmdline", "environ"):
            found += self.scan_bytes(Path(f"/proc/{pid}/{name}").read_bytes(), f"{name} of {pid}")
        return found + self.scan_memory(pid)

    def scan_memory(self, pid: int) -> list[Finding]:
        """Search only the memory of a process; see `scan_process`."""
        found: list[Finding] = []
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for start, end, name in _regions(pid):
                where = f"memory of {pid} ({name or 'anonymous'} {start:x})"
                for offset, chunk in self._chunks(memory.fileno(), start, end):
                    found += self.scan_bytes(chunk, where, offset - start)
        return _once(found)

    def _chunks(self, handle: int, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Pieces of a region that overlap, so that no value is cut in two."""
        offset = start
        while offset < end:
            try:
                chunk = os.pread(handle, min(_CHUNK, end - offset), offset)
            except (OSError, OverflowError):
                return
            if not chunk:
                return
            yield offset, chunk
            if offset + len(chunk) >= end:
                return
            offset += max(len(chunk) - self._longest, 1)


def encodings(value: bytes) -> dict[str, bytes]:
    """
    The value as software usually writes it down, by name of the encoding.

    For base64 and base32, where the text depends on what stands before the value, every
    alignment is given without the characters that neighbours have a part in. Two encodings
    with the same bytes are given once.
    """
    text = value.decode("utf-8", errors="surrogateescape")
    candidates: dict[str, bytes] = {
        "raw": value,
        "reversed": value[::-1],
        "upper case": value.upper(),
        "lower case": value.lower(),
        "hex": value.hex().encode(),
        "HEX": value.hex().upper().encode(),
        "spaced hex": value.hex(" ").encode(),
        "\\x escapes": "".join(f"\\x{byte:02x}" for byte in value).encode(),
        "percent": urllib.parse.quote_from_bytes(value, safe="").encode(),
        "form": urllib.parse.quote_plus(value).encode(),
        "percent, all": "".join(f"%{byte:02X}" for byte in value).encode(),
        "percent, all, lower case": "".join(f"%{byte:02x}" for byte in value).encode(),
        "json": json.dumps(text)[1:-1].encode(errors="surrogateescape"),
        "json \\u": "".join(f"\\u{ord(character):04x}" for character in text).encode(),
        "decimal list": ", ".join(map(str, value)).encode(),
        "decimal list, packed": ",".join(map(str, value)).encode(),
        "repr": repr(value)[2:-1].encode(),
        "utf-16-le": text.encode("utf-16-le", errors="surrogatepass"),
        "utf-16-be": text.encode("utf-16-be", errors="surrogatepass"),
        "utf-32-le": text.encode("utf-32-le", errors="surrogatepass"),
    }
    candidates |= _base64_forms(value)
    found: dict[bytes, str] = {}
    for name, pattern in candidates.items():
        found.setdefault(pattern, name)
    return {name: pattern for pattern, name in found.items()}


def _base64_forms(value: bytes) -> dict[str, bytes]:
    forms: dict[str, bytes] = {}
    for shift in range(3):
        for name, encode in (
            ("base64", base64.b64encode),
            ("base64url", base64.urlsafe_b64encode),
        ):
            forms[f"{name}+{shift}"] = _inner(encode(bytes(shift) + value), shift, len(value), 6)
    for shift in range(5):
        encoded = base64.b32encode(bytes(shift) + value)
        forms[f"base32+{shift}"] = _inner(encoded, shift, len(value), 5)
    return forms


def _inner(encoded: bytes, shift: int, length: int, bits: int) -> bytes:
    """The characters that depend on the value alone, where each character carries `bits` bits."""
    first = -(-shift * 8 // bits)
    last = (shift + length) * 8 // bits
    return encoded[first:last]


def _regions(pid: int) -> Iterator[tuple[int, int, str]]:
    """Readable regions of a process: start, end, what is mapped there."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        addresses, rights, _, _, _, *name = line.split(maxsplit=5)
        label = name[0] if name else ""
        if rights.startswith("r") and label not in _UNREADABLE:
            start, _, end = addresses.partition("-")
            yield int(start, 16), int(end, 16), label


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for each place, value and encoding: the first."""
    kept: dict[tuple[str, str, str], Finding] = {}
    for finding in findings:
        kept.setdefault((finding.where, finding.name, finding.encoding), finding)
    return list(kept.values())
