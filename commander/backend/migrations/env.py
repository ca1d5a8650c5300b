"""Runs migrations on the connection that `backend.storage.schema` passes in."""

from __future__ import annotations

from alembic import context

from commander.backend.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # A migration that is killed half-way leaves the schema as it was.
    transactional_ddl=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
