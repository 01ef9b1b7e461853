"""The validator sets that the state names, and which of them it named for the next epoch after each block.

No chain of an earlier release goes on: its state at height 0 is another one.

Source: docs/spec/ledger-store.md, "Tables".
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE TABLE validator_sets (hash bytea PRIMARY KEY, data bytea NOT NULL)",
    "ALTER TABLE validator_sets ALTER COLUMN data SET STORAGE EXTERNAL",
    "ALTER TABLE blocks ADD COLUMN next_validator_set_hash bytea NOT NULL DEFAULT ''",
)


def upgrade() -> None:
    """Add the table and the column."""
    for statement in STATEMENTS:
        op.execute(statement)
