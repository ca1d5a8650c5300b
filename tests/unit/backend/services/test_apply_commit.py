from __future__ import annotations

import pytest

from commander.authority.refusals import Code
from commander.backend.limits import PARTS, STATEMENTS
from commander.backend.services.apply_commit import check_counts
from commander.errors import Refused
from commander.wire.calls import Commit
from tests.support.enterprise import Enterprise


def test_commit_has_a_bounded_number_of_parts() -> None:
    """Exactly the limit passes."""
    (statement, *_) = Enterprise().statements

    check_counts(Commit(statements=(statement,) * STATEMENTS, removed_clients=("x",) * PARTS))
    for large in (
        Commit(statements=(statement,) * (STATEMENTS + 1)),
        Commit(removed_clients=("x",) * (PARTS + 1)),
    ):
        with pytest.raises(Refused) as refused:
            check_counts(large)
        assert refused.value.code == Code.TOO_LARGE
