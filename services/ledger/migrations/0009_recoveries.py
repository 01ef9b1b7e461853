"""Epochs that ended by a recovery certificate. Source: docs/spec/ledger-store.md, "Tables"."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE epoch_edges ADD COLUMN recovery bytea NOT NULL DEFAULT ''",
    "ALTER TABLE epoch_edges ALTER COLUMN recovery SET STORAGE EXTERNAL",
)


def upgrade() -> None:
    """Add the column."""
    for statement in STATEMENTS:
        op.execute(statement)
