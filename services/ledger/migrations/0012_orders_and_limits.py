"""Orders by when they fall due and by account, and what was changed of limits, for lists.

Source: docs/spec/ledger-store.md, "Tables".
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE orders (
        standing_order bytea PRIMARY KEY,
        next_time_ms bigint NOT NULL,
        source bytea NOT NULL,
        destination bytea NOT NULL
    )
    """,
    "CREATE INDEX orders_by_time ON orders (next_time_ms, standing_order)",
    "CREATE INDEX orders_by_source ON orders (source, standing_order)",
    "CREATE INDEX orders_by_destination ON orders (destination, standing_order)",
    """
    CREATE TABLE limit_changes (
        height bigint NOT NULL,
        index integer NOT NULL,
        unit bytea NOT NULL,
        account bytea NOT NULL,
        change bytea NOT NULL,
        PRIMARY KEY (unit, height, index)
    )
    """,
    "CREATE INDEX limit_changes_by_account ON limit_changes (account, height, index)",
)


def upgrade() -> None:
    """Add the tables; no release before this one knew orders or policies."""
    for statement in STATEMENTS:
        op.execute(statement)
