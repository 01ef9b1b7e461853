"""Snapshots that are kept or under way, and the height of the one that the state was restored from.

Source: docs/spec/ledger-store.md, "Tables"; docs/spec/snapshot.md.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE TABLE snapshots (height bigint PRIMARY KEY, data bytea NOT NULL, digests bytea[] NOT NULL)",
    "CREATE TABLE snapshot_chunks (digest bytea PRIMARY KEY, data bytea NOT NULL)",
    # Keys and hashes do not compress.
    "ALTER TABLE snapshot_chunks ALTER COLUMN data SET STORAGE EXTERNAL",
    "ALTER TABLE chain ADD COLUMN snapshot_height bigint NOT NULL DEFAULT 0",
)


def upgrade() -> None:
    """Add the tables and the column; what is there was executed from genesis on."""
    for statement in STATEMENTS:
        op.execute(statement)
