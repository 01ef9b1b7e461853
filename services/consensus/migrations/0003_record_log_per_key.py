"""One row per consensus key: who has lost its log goes on with another key.

Source: docs/spec/consensus-store.md.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    # The row of an earlier release says no key: the one whose log it names takes it over at its next start.
    "ALTER TABLE record_log ADD COLUMN public_key bytea UNIQUE CHECK (octet_length(public_key) = 32)",
    "ALTER TABLE record_log DROP COLUMN is_the_row",
)


def upgrade() -> None:
    """Change the table."""
    for statement in STATEMENTS:
        op.execute(statement)
