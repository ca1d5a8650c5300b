from __future__ import annotations

from pathlib import Path

import pytest

from scripts.lib.bench import page

TEXT = "# Performance\n\n<!-- figures: wan: begin -->\n\nold\n\n<!-- figures: wan: end -->\n\nWhat it means.\n"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "performance.md"
    path.write_text(TEXT)
    return path


def test_a_part_is_written_between_its_own_marks(document: Path) -> None:
    """The new figures take the place of the old ones; the prose around them stays."""
    page.write("wan", "## Far away\n\nnew\n", document)

    assert document.read_text() == TEXT.replace("old", "## Far away\n\nnew")


def test_a_part_without_marks_is_added_and_then_found(document: Path) -> None:
    """The first time a part goes to the end; the second time it replaces itself."""
    page.write("many", "first", document)
    page.write("many", "second", document)

    assert document.read_text().startswith(TEXT.strip())
    assert "first" not in document.read_text()
    assert document.read_text().count("figures: many: begin") == 1


def test_percentiles_are_values_that_were_seen() -> None:
    """p99 of few values is the largest of them, never one in between."""
    assert page.percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert page.percentile([3.0, 1.0, 2.0], 0.99) == 3.0
