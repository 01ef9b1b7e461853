"""The height of the permissions that a command was judged by. Source: docs/spec/marketplace.md, "Who may"."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Unknown for older commands, and for those that needed no judgement."""
    op.execute("ALTER TABLE commands ADD COLUMN judged_at_height bigint CHECK (judged_at_height >= 0)")
