"""When code was stored, so that what is oldest goes first when there is too much."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give every row its time."""
    op.execute("ALTER TABLE codes ADD COLUMN stored_at timestamptz NOT NULL DEFAULT clock_timestamp()")
    op.execute("CREATE INDEX codes_by_age ON codes (stored_at)")
