"""Final blocks, and which record log they were made with. Source: docs/spec/consensus-store.md."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE final_blocks (
        height bigint PRIMARY KEY CHECK (height > 0),
        hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
        epoch bigint NOT NULL,
        view bigint NOT NULL,
        block bytea NOT NULL,
        finalization bytea NOT NULL,
        descendant_headers bytea[] NOT NULL
    )
    """,
    # Signatures and hashes do not compress, and pages are cut by length, which is at hand only uncompressed.
    "ALTER TABLE final_blocks ALTER COLUMN block SET STORAGE EXTERNAL",
    """
    CREATE TABLE record_log (
        is_the_row boolean PRIMARY KEY DEFAULT true CHECK (is_the_row),
        log_id bytea NOT NULL CHECK (octet_length(log_id) = 16),
        sequence bigint NOT NULL
    )
    """,
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
