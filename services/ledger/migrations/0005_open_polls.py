"""Which polls still take ballots, by the time at which they close.

Source: docs/spec/ledger-store.md, "Tables".
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE TABLE open_polls (poll bytea PRIMARY KEY, close_time_ms bigint NOT NULL)",
    "CREATE INDEX open_polls_by_close ON open_polls (close_time_ms, poll)",
)


def upgrade() -> None:
    """Add the table; no release before this one opened polls."""
    for statement in STATEMENTS:
        op.execute(statement)
