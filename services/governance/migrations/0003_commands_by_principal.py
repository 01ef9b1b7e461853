"""How many commands a principal has sent lately is counted for every one of them."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.execute("CREATE INDEX commands_by_principal ON commands (principal, received_at)")
