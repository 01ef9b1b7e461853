"""Pages of the state tree stay in their row: out of line each took two or three rows with an index.

Rows written before stay where they are. Source: docs/spec/ledger-store.md.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Raise the size above which values are moved out of line to the most that Postgres allows."""
    op.execute("ALTER TABLE tree_pages SET (toast_tuple_target = 8160)")
