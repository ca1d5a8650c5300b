"""
The tunnels file: reading `tunnels.yaml` strictly. Every mistake is told with its line.

    version: 1
    tunnels:
      orders-db:
        record: Infrastructure/Orders DB
        port: 15432
      bastion: Build host

docs/tunnels-file.md is the reference. Pure: bytes in, `TunnelsFile` or InvalidInput out.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields

import yaml

from commander.errors import InvalidInput
from plugins.pam.tunnel.start_groups import OrderBroken, start_groups

MAX_BYTES = 64 * 1024
MAX_TUNNELS = 200
MAX_TOLD = 20
_MAX_DEPTH = 6
_MAX_TEXT = 1024
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}\Z")
_PORT = re.compile(r"[1-9][0-9]{0,4}\Z")
_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd]?)\Z")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PATHS = ("auto", "direct", "webrtc", "turn", "relay")
_ESCAPES = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Entry:
    """One tunnel of the file; empty texts and 0 mean that the file says nothing."""

    name: str
    line: int
    record: str = ""
    host: str = ""
    port: int = 0
    natural: bool = False
    unix: str = ""
    path: str = "auto"
    idle_timeout: int = 0
    target_host: str = ""
    target_port: int = 0
    reason: str = ""
    ticket: str = ""
    after: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """What its variables begin with: `orders-db` gives ORDERS_DB."""
        return self.name.upper().replace("-", "_")


@dataclass(frozen=True)
class TunnelsFile:
    """The tunnels in the order of the file, and the groups in which they are opened."""

    entries: tuple[Entry, ...]
    groups: tuple[tuple[Entry, ...], ...]


def parse_tunnels_file(data: bytes, name: str) -> TunnelsFile:
    """
    Read the file. Raises InvalidInput that names each mistake (up to 20) as `NAME:LINE: ...`.

    Plain YAML only: no anchors, aliases, tags or second documents, no key twice.
    """
    reader = _Reader(name)
    root = reader.compose(data)
    entries = reader.entries(root) if root is not None else ()
    if not reader.mistakes:
        reader.check_together(entries)
    if reader.mistakes:
        raise reader.failure()
    by_name = {entry.name: entry for entry in entries}
    levels = start_groups({entry.name: entry.after for entry in entries})
    return TunnelsFile(entries, tuple(tuple(by_name[n] for n in level) for level in levels))


class _Mistake(Exception):
    """A value that is not what its key takes."""


def _text(value: str) -> str:
    if not value or len(value) > _MAX_TEXT:
        raise _Mistake(f"must have 1 to {_MAX_TEXT} characters")
    if _ESCAPES.search(value):
        raise _Mistake("must not have control characters")
    return value


def _port(value: str) -> int:
    if not _PORT.match(value) or int(value) > 65535:
        raise _Mistake(f"{value[:20]!r} is not a port; ports are 1 to 65535")
    return int(value)


def _loopback(value: str) -> str:
    try:
        address = ipaddress.ip_address("127.0.0.1" if value == "localhost" else value)
    except ValueError:
        raise _Mistake(f"{value[:60]!r} is not an IP address; use 127.x.y.z or ::1") from None
    if not address.is_loopback:
        raise _Mistake(
            f"{address} can be reached by other machines; use 127.x.y.z or ::1, or pam tunnel start "
            "--allow-remote for one tunnel"
        )
    return str(address)


def _duration(value: str) -> int:
    found = _DURATION.match(value)
    if not found:
        raise _Mistake(f"{value[:20]!r} is not a time; write 90s, 15m, 8h or 30d")
    return int(found[1]) * _SECONDS[found[2]]


def _switch(value: str) -> bool:
    if value not in ("true", "false"):
        raise _Mistake(f"{value[:20]!r} is neither true nor false")
    return value == "true"


def _path(value: str) -> str:
    if value not in _PATHS:
        raise _Mistake(f"{value[:20]!r} is not a path{_near(value, _PATHS)}")
    return value


_VALUES: Mapping[str, Callable[[str], str | int | bool]] = {
    "record": _text, "host": _loopback, "port": _port, "natural": _switch, "unix": _text,
    "path": _path, "idle_timeout": _duration, "target_host": _text, "target_port": _port,
    "reason": _text, "ticket": _text,
}  # fmt: skip
_KEYS = (*_VALUES, "after")
assert {field.name for field in fields(Entry)} == {"name", "line", *_KEYS}


def _near(word: str, known: tuple[str, ...] | list[str]) -> str:
    near = difflib.get_close_matches(word[:60], known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"


class _Reader:
    """Reads nodes and collects mistakes, so that one run of the command tells all of them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.mistakes: list[tuple[int, str]] = []

    def tell(self, line: int, problem: str) -> None:
        """Remember a mistake; lines are counted from 1."""
        self.mistakes.append((line, problem))

    def failure(self) -> InvalidInput:
        """All mistakes in one error, in the order of the file."""
        told = [f"{self._name}:{line}: {problem}" for line, problem in sorted(self.mistakes)]
        more = len(told) - MAX_TOLD
        lines = told[:MAX_TOLD] + ([f"and {more} more"] if more > 0 else [])
        return InvalidInput("\n".join(lines), hint="docs/tunnels-file.md has all keys")

    def compose(self, data: bytes) -> yaml.MappingNode | None:
        """The root mapping, once the text is plain YAML of bounded size and depth."""
        if len(data) > MAX_BYTES:
            raise InvalidInput(f"{self._name} is larger than {MAX_BYTES} bytes")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.tell(data[: error.start].count(b"\n") + 1, "is not UTF-8")
            return None
        try:
            self._check_events(text)
            root = None if self.mistakes else yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.reader.ReaderError as error:
            self.tell(text[: error.position].count("\n") + 1, "has a character YAML does not allow")
            return None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.tell(
                mark.line + 1 if mark else 1, f"is not YAML: {error.problem or error.context}"
            )
            return None
        except ValueError:
            # yaml reads dates and numbers only when it constructs, but its scanner can still meet
            # a character number that does not exist.
            self.tell(1, "is not YAML")
            return None
        if self.mistakes:
            return None
        if not isinstance(root, yaml.MappingNode):
            self.tell(1, "must begin with `version: 1` and have `tunnels:`")
            return None
        return root

    def _check_events(self, text: str) -> None:
        depth = documents = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            assert event.start_mark is not None
            line = event.start_mark.line + 1
            documents += isinstance(event, yaml.DocumentStartEvent)
            if documents > 1:
                self.tell(line, "a second document begins; one file is one set of tunnels")
                return
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                self.tell(line, "anchors and aliases (& and *) are not allowed")
                return
            if getattr(event, "tag", None):
                self.tell(line, "tags (!) are not allowed")
                return
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _MAX_DEPTH:
                    self.tell(line, "is nested too deeply")
                    return
            depth -= isinstance(event, yaml.CollectionEndEvent)

    def entries(self, root: yaml.MappingNode) -> tuple[Entry, ...]:
        """Every tunnel that can be read."""
        pairs = self._pairs(root, ("version", "tunnels"), "a tunnels file")
        top = {key: node for key, _, node in pairs}
        version, tunnels = top.get("version"), top.get("tunnels")
        if version is None:
            self.tell(1, "has no version; begin it with `version: 1`")
        elif not isinstance(version, yaml.ScalarNode) or version.value != "1":
            self.tell(_line(version), "this version of Commander reads `version: 1` only")
        if tunnels is None:
            self.tell(1, "has no `tunnels:`")
            return ()
        if not isinstance(tunnels, yaml.MappingNode) or not tunnels.value:
            self.tell(_line(tunnels), "`tunnels` must hold at least one NAME: with its keys below")
            return ()
        if len(tunnels.value) > MAX_TUNNELS:
            self.tell(_line(tunnels), f"has more than {MAX_TUNNELS} tunnels")
            return ()
        return tuple(self._entry(*pair) for pair in self._pairs(tunnels, None, ""))

    def _pairs(
        self, node: yaml.MappingNode, known: tuple[str, ...] | None, what: str
    ) -> Iterator[tuple[str, int, yaml.Node]]:
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = _line(key)
            if not isinstance(key, yaml.ScalarNode):
                self.tell(line, "a key must be a word")
                continue
            name = key.value
            if name in seen:
                self.tell(line, f"{name[:60]!r} is there already, in line {seen[name]}")
            elif known is not None and name not in known:
                self.tell(line, f"{name[:60]!r} is not a key of {what}{_near(name, known)}")
            else:
                yield name, line, value
            seen.setdefault(name, line)

    def _entry(self, name: str, line: int, node: yaml.Node) -> Entry:
        if not _NAME.match(name):
            self.tell(line, f"{name[:60]!r} is not a name: a-z, 0-9 and -, at most 40 characters")
        values: dict[str, str | int | bool | tuple[str, ...]] = {}
        if isinstance(node, yaml.ScalarNode):
            self._value(values, "record", node)
        elif isinstance(node, yaml.MappingNode):
            for key, _, value in self._pairs(node, _KEYS, "a tunnel"):
                self._value(values, key, value)
        else:
            self.tell(line, f"{name} must be a record, or keys such as `record:` below it")
            values["record"] = "?"
        entry = Entry(name, line, **values)  # type: ignore[arg-type]  # by key, as _VALUES makes them
        self._check_alone(entry)
        return entry

    def _value(
        self, values: dict[str, str | int | bool | tuple[str, ...]], key: str, node: yaml.Node
    ) -> None:
        line = _line(node)
        if key == "after":
            values[key] = self._names(node)
            return
        if not isinstance(node, yaml.ScalarNode):
            self.tell(line, f"{key} takes one value")
            return
        try:
            values[key] = _VALUES[key](node.value)
        except _Mistake as mistake:
            self.tell(line, f"{key}: {mistake}")
            if key == "record":
                # It was given; that it is missing would be a second mistake.
                values[key] = node.value or "?"

    def _names(self, node: yaml.Node) -> tuple[str, ...]:
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(item, yaml.ScalarNode) for item in items):
            self.tell(_line(node), "after takes names of other tunnels of this file")
            return ()
        return tuple(str(item.value) for item in items)

    def _check_alone(self, entry: Entry) -> None:
        if not entry.record:
            self.tell(entry.line, f"{entry.name} names no record")
        if entry.unix and (entry.port or entry.host or entry.natural):
            self.tell(
                entry.line, f"{entry.name} has unix; then host, port and natural have no place"
            )
        if entry.natural and entry.host:
            self.tell(entry.line, f"{entry.name} has natural, which chooses the host itself")

    def check_together(self, entries: tuple[Entry, ...]) -> None:
        """What only shows when all tunnels are known: names, order, places taken twice."""
        names = [entry.name for entry in entries]
        places: dict[str, Entry] = {}
        for entry in entries:
            for other in entry.after:
                if other not in names:
                    self.tell(
                        entry.line, f"{entry.name} is after {other[:60]!r}{_near(other, names)}"
                    )
            place = entry.unix or (
                f"{entry.host or '127.0.0.1'}:{entry.port}" if entry.port else ""
            )
            if place and not entry.natural:
                first = places.setdefault(place, entry)
                if first is not entry:
                    self.tell(
                        entry.line, f"{entry.name} listens at {place}, as {first.name} does already"
                    )
        if self.mistakes:
            return
        try:
            start_groups({entry.name: entry.after for entry in entries})
        except OrderBroken as broken:
            line = next(entry.line for entry in entries if entry.name == broken.names[0])
            self.tell(line, f"{' after '.join(broken.names)}: none of them could be first")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
