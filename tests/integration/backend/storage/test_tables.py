from __future__ import annotations

import pytest
from sqlalchemy import ForeignKeyConstraint

from commander.backend.storage.tables import metadata

pytestmark = pytest.mark.integration


def test_every_column_has_a_value_and_every_table_a_key() -> None:
    """No three-valued logic, and nothing that cannot be addressed."""
    for table in metadata.tables.values():
        assert list(table.primary_key), table.name
        assert not [column for column in table.columns if column.nullable], table.name


def test_revisions_belong_to_heads() -> None:
    """A revision without its object cannot be stored."""
    for name in ("record_revisions", "settings_revisions", "folder_revisions"):
        keys = metadata.tables[name].constraints
        assert [key for key in keys if isinstance(key, ForeignKeyConstraint)], name
