"""What lists of memberships and duties are made by, and what the seats have done in the epoch under way.

Source: docs/spec/ledger-store.md, "Tables".
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE memberships (
        member bytea NOT NULL,
        organization bytea NOT NULL,
        PRIMARY KEY (member, organization)
    )
    """,
    """
    CREATE TABLE duties (
        epoch bigint NOT NULL,
        organization bytea NOT NULL,
        PRIMARY KEY (epoch, organization)
    )
    """,
    "CREATE INDEX duties_by_organization ON duties (organization, epoch)",
    "ALTER TABLE chain ADD COLUMN duty_epoch bigint NOT NULL DEFAULT 0",
    "ALTER TABLE chain ADD COLUMN duty_counts bigint[] NOT NULL DEFAULT '{}'",
)


def upgrade() -> None:
    """Add tables and columns; what an earlier release wrote stays as it is."""
    for statement in STATEMENTS:
        op.execute(statement)
