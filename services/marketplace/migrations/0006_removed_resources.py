"""Resources can be removed. Source: docs/spec/marketplace.md, "Limits"."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    # 0: it is there.
    "ALTER TABLE resources ADD COLUMN removed_at_ms bigint NOT NULL DEFAULT 0",
    "ALTER TABLE resources ALTER COLUMN removed_at_ms DROP DEFAULT",
    "CREATE INDEX offers_kept ON offers (provider, expires_at_ms) WHERE NOT is_closed",
)


def upgrade() -> None:
    """Add the time of removal, and an index to count offers by."""
    for statement in STATEMENTS:
        op.execute(statement)
