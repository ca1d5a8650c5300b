from __future__ import annotations

import runpy
import textwrap
from dataclasses import fields
from pathlib import Path

from plugins.pam.tunnel.tunnels_file import Entry, parse_tunnels_file

ROOT = Path(__file__).resolve().parents[3]


def test_the_table_of_refusal_codes_is_current() -> None:
    """docs/refusal-codes.md is what scripts/refusal_codes.py writes."""
    rendered = runpy.run_path(str(ROOT / "scripts" / "refusal_codes.py"))["render"]()

    assert (ROOT / "docs" / "refusal-codes.md").read_text() == rendered


def test_every_room_has_a_page() -> None:
    """Each room explains itself in a README.md."""
    rooms = {path.parent for path in (ROOT / "commander").glob("*/__init__.py")}

    assert [room.name for room in sorted(rooms) if not (room / "README.md").exists()] == []


def test_the_page_of_metrics_is_current() -> None:
    """docs/metrics.md is what scripts/metrics_page.py writes: every metric with its meaning."""
    rendered = runpy.run_path(str(ROOT / "scripts" / "metrics_page.py"))["render"]()

    assert (ROOT / "docs" / "metrics.md").read_text() == rendered


def test_the_page_of_the_tunnels_file_has_a_file_and_all_keys() -> None:
    """Its example is read as it stands, and no key is left out."""
    page = (ROOT / "docs" / "tunnels-file.md").read_text()
    block = page.split("\n\n")[2]
    example = textwrap.dedent(block).encode()

    read = parse_tunnels_file(example, "example")

    assert [entry.name for entry in read.groups[1]] == ["wiki"]
    keys = {field.name for field in fields(Entry)} - {"name", "line"}
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []
