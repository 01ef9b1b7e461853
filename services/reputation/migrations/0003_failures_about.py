"""What a principal failed to do, found without reading all it did. Source: docs/spec/reputation.md."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Failures are few among many."""
    op.execute("CREATE INDEX evidence_failed ON evidence (dimension, about, number) WHERE NOT is_fulfilled")
