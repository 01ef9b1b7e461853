"""Who votes with a consensus key. Source: docs/spec/consensus-store.md."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.execute(
        """
        CREATE TABLE key_leases (
            public_key bytea PRIMARY KEY CHECK (octet_length(public_key) = 32),
            fence bigint NOT NULL,
            holder text NOT NULL,
            place text NOT NULL
        )
        """
    )
