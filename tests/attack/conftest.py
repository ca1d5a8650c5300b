from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def private_path(tmp_path: Path) -> Path:
    """A directory that only this user may enter, as the product demands of its own."""
    tmp_path.chmod(0o700)
    return tmp_path
