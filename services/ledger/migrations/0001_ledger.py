"""The ledger's tables. Source: docs/spec/ledger-store.md."""

from alembic import op
from icn_kit.outbox import create_outbox_statements

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE chain (
        is_the_row boolean PRIMARY KEY DEFAULT true CHECK (is_the_row),
        genesis_hash bytea NOT NULL,
        executed_height bigint NOT NULL,
        log_frontier bytea NOT NULL,
        descendant_headers bytea[] NOT NULL
    )
    """,
    # A row of its own, so that pruning and executing do not wait for each other.
    """
    CREATE TABLE horizon (
        is_the_row boolean PRIMARY KEY DEFAULT true CHECK (is_the_row),
        provable_from bigint NOT NULL
    )
    """,
    "INSERT INTO horizon (provable_from) VALUES (0)",
    """
    CREATE TABLE blocks (
        height bigint PRIMARY KEY,
        hash bytea NOT NULL,
        header bytea NOT NULL,
        time_ms bigint NOT NULL,
        epoch bigint NOT NULL,
        state_root bytea NOT NULL,
        receipts_root bytea NOT NULL,
        log_root bytea NOT NULL,
        has_changed_state boolean NOT NULL,
        next_expiry_time_ms bigint NOT NULL,
        transaction_count integer NOT NULL,
        finalization bytea NOT NULL
    )
    """,
    """
    CREATE TABLE transactions (
        height bigint NOT NULL,
        index integer NOT NULL,
        id bytea NOT NULL,
        receipt bytea NOT NULL,
        PRIMARY KEY (height, index)
    )
    """,
    "CREATE UNIQUE INDEX transactions_by_id ON transactions (id)",
    """
    CREATE TABLE entries (
        height bigint NOT NULL,
        index integer NOT NULL,
        transaction_index integer NOT NULL,
        account bytea NOT NULL,
        counter_account bytea NOT NULL,
        amount_minor bigint NOT NULL,
        balance_minor bigint NOT NULL,
        memo_hash bytea NOT NULL,
        PRIMARY KEY (height, index)
    )
    """,
    "CREATE INDEX entries_by_account ON entries (account, height, index)",
    """
    CREATE TABLE leaves (
        namespace smallint NOT NULL,
        identifier bytea NOT NULL,
        height bigint NOT NULL,
        value bytea,
        PRIMARY KEY (namespace, identifier, height)
    )
    """,
    "CREATE INDEX leaves_by_height ON leaves (height)",
    # Keys and hashes do not compress; trying costs time on every version of an organization's controller.
    "ALTER TABLE leaves ALTER COLUMN value SET STORAGE EXTERNAL",
    """
    CREATE TABLE tree_pages (
        prefix bytea NOT NULL,
        height bigint NOT NULL,
        page bytea,
        PRIMARY KEY (prefix, height)
    )
    """,
    "CREATE INDEX tree_pages_by_height ON tree_pages (height)",
    "ALTER TABLE tree_pages ALTER COLUMN page SET STORAGE EXTERNAL",
    "CREATE TABLE accounts (account bytea PRIMARY KEY, owner bytea NOT NULL)",
    "CREATE INDEX accounts_by_owner ON accounts (owner, account)",
    "CREATE TABLE units (unit bytea PRIMARY KEY)",
    "CREATE TABLE holds (hold bytea PRIMARY KEY, expire_time_ms bigint NOT NULL)",
    "CREATE INDEX holds_by_expiry ON holds (expire_time_ms, hold)",
    """
    CREATE TABLE epoch_edges (
        epoch bigint PRIMARY KEY,
        height bigint NOT NULL,
        executed_height bigint NOT NULL,
        header bytea NOT NULL,
        descendant_headers bytea[] NOT NULL,
        finalization bytea NOT NULL,
        next_validator_set bytea NOT NULL
    )
    """,
)


def upgrade() -> None:
    """Make every table."""
    for statement in (*STATEMENTS, *create_outbox_statements()):
        op.execute(statement)
