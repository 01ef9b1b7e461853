"""The service's tables."""

from alembic import op
from icn_kit.inbox import create_inbox_statements
from icn_kit.outbox import create_outbox_statements

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    for statement in (*create_outbox_statements(), *create_inbox_statements()):
        op.execute(statement)
