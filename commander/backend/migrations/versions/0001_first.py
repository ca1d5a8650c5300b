"""The first schema: identity, log, accounts, vault objects, applications, audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""

    op.create_table(
        "accounts",
        sa.Column("user", sa.String(length=22), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("login_key", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_data_key", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_identity", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("user"),
        sa.UniqueConstraint("email", name="accounts_email"),
    )
    op.create_table(
        "application_keys",
        sa.Column("application", sa.String(length=22), nullable=False),
        sa.Column("folder", sa.String(length=22), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("application", "folder", "epoch"),
    )
    op.create_table(
        "applications",
        sa.Column("application", sa.String(length=22), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("change", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("application"),
    )
    op.create_table(
        "audit",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("record", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("producer", "sequence", name="audit_chain"),
    )
    op.create_index("audit_time", "audit", ["time_ms"], unique=False)
    op.create_table(
        "changes",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cursor", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "clients",
        sa.Column("client_id", sa.String(length=88), nullable=False),
        sa.Column("application", sa.String(length=22), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("voucher", sa.String(length=22), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("app_key", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("token_expires", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("access_expires", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_access", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_access", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ip_lock", sa.Boolean(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("client_id"),
    )
    op.create_index("clients_application", "clients", ["application"], unique=False)
    op.create_table(
        "folders",
        sa.Column("uid", sa.String(length=22), nullable=False),
        sa.Column("folder", sa.String(length=22), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("change", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("uid"),
    )
    op.create_index("folders_folder", "folders", ["folder", "change"], unique=False)
    op.create_table(
        "grants",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("object", sa.String(length=22), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recipient", sa.String(length=22), nullable=False),
        sa.Column("granter", sa.String(length=22), nullable=False),
        sa.Column("change", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "object", "epoch", "recipient", "granter"),
    )
    op.create_index("grants_recipient", "grants", ["recipient", "change"], unique=False)
    op.create_table(
        "invitations",
        sa.Column("voucher", sa.String(length=22), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("expires", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("voucher"),
    )
    op.create_table(
        "later_shares",
        sa.Column("folder", sa.String(length=22), nullable=False),
        sa.Column("user", sa.String(length=22), nullable=False),
        sa.Column("begins", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("folder", "user"),
    )
    op.create_table(
        "nonces",
        sa.Column("principal", sa.String(length=22), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("expires", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("principal", "nonce"),
    )
    op.create_index("nonces_expires", "nonces", ["expires"], unique=False)
    op.create_table(
        "records",
        sa.Column("uid", sa.String(length=22), nullable=False),
        sa.Column("folder", sa.String(length=22), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("change", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("uid"),
    )
    op.create_index("records_folder", "records", ["folder", "change"], unique=False)
    op.create_table(
        "server",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("uid", sa.String(length=22), nullable=False),
        sa.Column("sign_key", sa.LargeBinary(), nullable=False),
        sa.Column("box_key", sa.LargeBinary(), nullable=False),
        sa.Column("ksm_key_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ksm_key", sa.LargeBinary(), nullable=False),
        sa.Column("setup_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("user", sa.String(length=22), nullable=False),
        sa.Column("device", sa.String(length=22), nullable=False),
        sa.Column("device_key", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_used", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("sessions_device", "sessions", ["device"], unique=False)
    op.create_table(
        "settings",
        sa.Column("uid", sa.String(length=22), nullable=False),
        sa.Column("folder", sa.String(length=22), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("change", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("uid"),
    )
    op.create_index("settings_folder", "settings", ["folder", "change"], unique=False)
    op.create_table(
        "statements",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "folder_revisions",
        sa.Column("uid", sa.String(length=22), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["folders.uid"], name="folder_revisions_of"),
        sa.PrimaryKeyConstraint("uid", "revision"),
    )
    op.create_table(
        "record_revisions",
        sa.Column("uid", sa.String(length=22), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["records.uid"], name="record_revisions_of"),
        sa.PrimaryKeyConstraint("uid", "revision"),
    )
    op.create_table(
        "settings_revisions",
        sa.Column("uid", sa.String(length=22), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["settings.uid"], name="settings_revisions_of"),
        sa.PrimaryKeyConstraint("uid", "revision"),
    )
