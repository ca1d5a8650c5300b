"""Reads the files under tests/vectors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).resolve().parent.parent / "vectors"


def load(name: str) -> Any:
    """One JSON file, named by its path under tests/vectors without the ending."""
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def wycheproof(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every (group, case) of a Wycheproof file."""
    for group in load(f"wycheproof/{name}")["testGroups"]:
        for case in group["tests"]:
            yield group, case


def flips(data: bytes) -> Iterator[bytes]:
    """The data with each byte changed in turn."""
    for index in range(len(data)):
        yield data[:index] + bytes([data[index] ^ 0x01]) + data[index + 1 :]
