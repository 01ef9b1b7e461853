"""Blocks by their time, for what is asked of an instant. Source: docs/spec/ledger-store.md, "Tables"."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Times ascend with heights, so a new block goes to the index's last page."""
    op.execute("CREATE INDEX blocks_by_time ON blocks (time_ms)")
