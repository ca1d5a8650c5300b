from __future__ import annotations

from pathlib import Path

import pytest

from commander.hosting import ports
from commander.hosting.ports import RememberedPorts


def test_a_record_keeps_its_port(tmp_path: Path) -> None:
    """What was remembered is there in the next process."""
    path = tmp_path / "home" / "ports.json"
    RememberedPorts(path).remember("r", 49153)
    RememberedPorts(path).remember("s", 49154)
    RememberedPorts(path).remember("r", 49153)

    assert RememberedPorts(path).get("r") == 49153
    assert RememberedPorts(path).get("other") == 0


@pytest.mark.parametrize("content", ["", "[]", "{", '{"r": "x"}', '{"r": true}', '{"r": 70000}'])
def test_a_damaged_file_counts_as_empty(tmp_path: Path, content: str) -> None:
    """A convenience never stops a tunnel."""
    path = tmp_path / "ports.json"
    path.write_text(content)
    path.chmod(0o600)

    assert RememberedPorts(path).get("r") == 0


def test_the_oldest_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file does not grow without end."""
    monkeypatch.setattr(ports, "MAX_RECORDS", 2)
    remembered = RememberedPorts(tmp_path / "home" / "ports.json")
    for index, name in enumerate("abc"):
        remembered.remember(name, 50000 + index)

    assert [remembered.get(name) for name in "abc"] == [0, 50001, 50002]
