"""What a block leaves for ever in one row of its transactions, and one of its entries per account it moved.

No chain of an earlier release goes on (0006), so there are no rows to gather; a chain that began since is
refused rather than forgotten.

Source: docs/spec/ledger-store.md, "History"; docs/adr/0029-history-in-rows-of-a-block.md.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    DO $$ BEGIN
        IF EXISTS (SELECT FROM transactions) THEN
            RAISE 'this chain began before its release: begin anew from its snapshot or its blocks';
        END IF;
    END $$
    """,
    "DROP TABLE transactions, entries",
    """
    CREATE TABLE transactions (
        height bigint PRIMARY KEY,
        ids bytea NOT NULL,
        receipts bytea[] NOT NULL
    )
    """,
    # Out of line and as they are, so that an id is cut out without reading the others.
    "ALTER TABLE transactions ALTER COLUMN ids SET STORAGE EXTERNAL",
    "ALTER TABLE transactions ALTER COLUMN receipts SET STORAGE EXTERNAL",
    """
    CREATE TABLE transaction_places (
        id_head bigint NOT NULL,
        height bigint NOT NULL,
        index integer NOT NULL,
        PRIMARY KEY (id_head, height, index)
    )
    """,
    """
    CREATE TABLE entries (
        account bytea NOT NULL,
        height bigint NOT NULL,
        entries bytea NOT NULL,
        PRIMARY KEY (account, height)
    )
    """,
    "ALTER TABLE entries ALTER COLUMN entries SET STORAGE EXTERNAL",
    """
    CREATE TABLE entry_blocks (
        height bigint PRIMARY KEY,
        entries integer NOT NULL,
        accounts bytea[] NOT NULL
    )
    """,
    "ALTER TABLE entry_blocks ALTER COLUMN accounts SET STORAGE EXTERNAL",
)


def upgrade() -> None:
    """Make the tables anew."""
    for statement in STATEMENTS:
        op.execute(statement)
