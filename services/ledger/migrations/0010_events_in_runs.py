"""A block's events in one row of the outbox, out of line and as they are.

Rows of single events stay. A release before this one cannot publish a run: it has no subject, which NATS
refuses, so its relay gives the lease away.

Source: docs/spec/events.md, "Outbox".
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Compressing a run would cost more than writing it."""
    op.execute("ALTER TABLE outbox ALTER COLUMN envelope SET STORAGE EXTERNAL")
