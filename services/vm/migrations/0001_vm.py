"""vm's tables: the code it was given, so that the ledger sends it once and not after each start."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    op.execute(
        """
        CREATE TABLE codes (
            sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
            code bytea NOT NULL
        )
        """
    )
