"""An agreement lapses when the hold that pays for it is not there in time.

Source: docs/spec/marketplace.md, "Agreement".
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Block time at which an open agreement moves by itself.
    "ALTER TABLE agreements ADD COLUMN look_at_ms bigint NOT NULL DEFAULT 0",
    """
    UPDATE agreements SET look_at_ms = CASE
        WHEN delivery_state = 'fulfilled' OR EXISTS (
            SELECT 1 FROM holds WHERE holds.id = agreements.payment AND holds.placed_minor > 0
        ) THEN expires_at_ms
        ELSE least(made_at_ms + 600000, expires_at_ms)
    END WHERE state = 'open'
    """,
    "ALTER TABLE agreements ALTER COLUMN look_at_ms DROP DEFAULT",
    "ALTER TABLE agreements DROP CONSTRAINT agreements_state_check",
    """
    ALTER TABLE agreements ADD CONSTRAINT agreements_state_check
        CHECK (state IN ('open', 'settled', 'failed', 'disputed', 'waived', 'lapsed'))
    """,
    "DROP INDEX agreements_due",
    "CREATE INDEX agreements_due ON agreements (look_at_ms, id) WHERE state = 'open'",
    "CREATE INDEX agreements_lapsed ON agreements (offer, receiver) WHERE state = 'lapsed'",
)


def upgrade() -> None:
    """Add the time of the next look and the state."""
    for statement in STATEMENTS:
        op.execute(statement)
