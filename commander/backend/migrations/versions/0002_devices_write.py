"""What devices write: folders in their form, staged updates, attachments, the owner's public key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and the column."""

    op.add_column(
        "applications",
        sa.Column("owner_key", sa.LargeBinary(), nullable=False, server_default=sa.text("x''")),
    )
    op.create_table(
        "folder_copies",
        sa.Column("folder", sa.String(length=22), nullable=False),
        sa.Column("domain", sa.String(length=22), nullable=False),
        sa.Column("parent", sa.String(length=22), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("folder"),
    )
    op.create_index("folder_copies_domain", "folder_copies", ["domain"], unique=False)
    op.create_table(
        "staged_updates",
        sa.Column("record", sa.String(length=22), nullable=False),
        sa.Column("client_id", sa.String(length=88), nullable=False),
        sa.Column("expires", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("record", "client_id"),
    )
    op.create_index("staged_updates_expires", "staged_updates", ["expires"], unique=False)
    op.create_index("staged_updates_client", "staged_updates", ["client_id"], unique=False)
    op.create_table(
        "attachments",
        sa.Column("uid", sa.String(length=22), nullable=False),
        sa.Column("record", sa.String(length=22), nullable=False),
        sa.Column("link_key", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uploaded", sa.Boolean(), nullable=False),
        sa.Column("created", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("uid"),
    )
    op.create_index("attachments_record", "attachments", ["record"], unique=False)
    for table in ("folders", "records", "settings"):
        op.create_index(f"{table}_change", table, ["change"], unique=False)
