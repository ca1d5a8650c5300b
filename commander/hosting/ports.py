"""The local port each record had last, so that tomorrow's endpoint is today's."""

from __future__ import annotations

import json
from pathlib import Path

from commander.errors import InvalidInput
from commander.files import make_private_directory, read_private, write_private

MAX_RECORDS = 10_000


class RememberedPorts:
    """Ports by record UID in a private JSON file; a damaged file counts as empty."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, record: str) -> int:
        """The port that a record had last, or 0."""
        return self._read().get(record, 0)

    def remember(self, record: str, port: int) -> None:
        """Keep a record's port; the oldest of more than 10,000 is forgotten."""
        ports = self._read()
        if ports.get(record) == port:
            return
        ports.pop(record, None)
        ports[record] = port
        while len(ports) > MAX_RECORDS:
            del ports[next(iter(ports))]
        make_private_directory(self._path.parent)
        write_private(self._path, json.dumps(ports).encode())

    def _read(self) -> dict[str, int]:
        try:
            content = json.loads(read_private(self._path, limit=1024 * 1024))
        except (FileNotFoundError, InvalidInput, ValueError):
            return {}
        if not isinstance(content, dict):
            return {}
        return {
            record: port
            for record, port in content.items()
            if isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65536
        }
