"""Proofs of equivocation that this validator saw. Source: docs/spec/consensus-store.md."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.execute(
        """
        CREATE TABLE evidence (
            epoch bigint NOT NULL,
            seat integer NOT NULL,
            view bigint NOT NULL,
            proof bytea NOT NULL,
            PRIMARY KEY (epoch, seat)
        )
        """
    )
