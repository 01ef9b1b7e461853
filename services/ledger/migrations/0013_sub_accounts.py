"""Sub-accounts by parent, in the order in which they were opened.

Source: docs/spec/ledger-store.md, "Tables".
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; no release before this one knew sub-accounts."""
    op.execute("ALTER TABLE accounts ADD COLUMN parent bytea, ADD COLUMN number bigint")
    op.execute("CREATE INDEX accounts_by_parent ON accounts (parent, number) WHERE number IS NOT NULL")
