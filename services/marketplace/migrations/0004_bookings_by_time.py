"""Bookings of all resources by start, for what comes next. Source: docs/spec/marketplace.md, "Bookings"."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Lists without a resource begin at a time."""
    op.execute("CREATE INDEX bookings_by_time ON bookings (start_at, id)")
