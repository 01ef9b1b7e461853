"""What marked postings moved, so that it is told apart from trade. Source: docs/spec/reputation.md."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Sums up to a height, so that those of any state are one row."""
    op.execute(
        """
        CREATE TABLE marked_sums (
            account bytea NOT NULL CHECK (octet_length(account) = 16),
            height bigint NOT NULL CHECK (height > 0),
            debited_minor numeric NOT NULL CHECK (debited_minor >= 0),
            credited_minor numeric NOT NULL CHECK (credited_minor >= 0),
            PRIMARY KEY (account, height)
        )
        """
    )
