from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.setting import Setting, running_setting


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """One product for the scenarios of a file."""
    with running_setting(tmp_path_factory.mktemp("product")) as setting:
        yield setting
