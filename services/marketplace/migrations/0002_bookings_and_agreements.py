"""Resources, bookings, offers, agreements. Source: docs/spec/marketplace.md."""

from alembic import op
from icn_kit.blobs import create_blob_statements
from icn_kit.permissions import create_permission_statements
from icn_kit.sealing import create_sealing_statements

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    # There already where an administrator has prepared the database; the role of a service may not add it.
    "CREATE EXTENSION IF NOT EXISTS btree_gist",
    """
    CREATE TABLE commands (
        id bytea PRIMARY KEY CHECK (octet_length(id) = 32),
        method text NOT NULL,
        principal bytea NOT NULL,
        body bytea NOT NULL,
        signatures bytea NOT NULL,
        response bytea,
        received_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE resources (
        id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
        number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        owner bytea NOT NULL,
        added_by bytea NOT NULL,
        title text NOT NULL,
        note text NOT NULL,
        specification text NOT NULL,
        audience bytea NOT NULL,
        open_minute integer NOT NULL,
        close_minute integer NOT NULL,
        utc_offset_minutes integer NOT NULL,
        minutes_min integer NOT NULL,
        minutes_max integer NOT NULL,
        ahead_days_max integer NOT NULL,
        photos bytea[] NOT NULL,
        added_at_ms bigint NOT NULL
    )
    """,
    "CREATE INDEX resources_by_owner ON resources (owner, number)",
    # The constraint is what makes bookings safe; locks only give the queue an order.
    """
    CREATE TABLE bookings (
        id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
        number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        resource bytea NOT NULL REFERENCES resources (id),
        booker bytea NOT NULL,
        start_at timestamptz NOT NULL,
        end_at timestamptz NOT NULL CHECK (end_at > start_at),
        state text NOT NULL CHECK (state IN ('booked', 'waiting', 'cancelled')),
        is_promoted boolean NOT NULL,
        made_at_ms bigint NOT NULL,
        CONSTRAINT bookings_never_overlap EXCLUDE USING gist
            (resource WITH =, tstzrange(start_at, end_at) WITH &&) WHERE (state = 'booked')
    )
    """,
    "CREATE INDEX bookings_by_start ON bookings (resource, start_at, id)",
    "CREATE INDEX bookings_by_booker ON bookings (booker, start_at, id)",
    "CREATE INDEX bookings_waiting ON bookings (resource, number) WHERE state = 'waiting'",
    """
    CREATE TABLE offers (
        id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
        number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        provider bytea NOT NULL,
        action text NOT NULL,
        title text NOT NULL,
        note text NOT NULL,
        specification text NOT NULL,
        quantity bigint NOT NULL,
        quantity_left bigint NOT NULL CHECK (quantity_left BETWEEN 0 AND quantity),
        measure text NOT NULL,
        price_minor bigint NOT NULL,
        unit bytea NOT NULL,
        account bytea NOT NULL,
        fulfil_within_ms bigint NOT NULL,
        expires_at_ms bigint NOT NULL,
        is_closed boolean NOT NULL,
        photos bytea[] NOT NULL,
        published_at_ms bigint NOT NULL
    )
    """,
    "CREATE INDEX offers_by_provider ON offers (provider, number)",
    "CREATE INDEX offers_by_account ON offers (account)",
    """
    CREATE TABLE agreements (
        id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
        number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        offer bytea NOT NULL REFERENCES offers (id),
        provider bytea NOT NULL,
        receiver bytea NOT NULL,
        action text NOT NULL,
        title text NOT NULL,
        quantity bigint NOT NULL,
        amount_minor bigint NOT NULL,
        unit bytea NOT NULL,
        account bytea NOT NULL,
        expires_at_ms bigint NOT NULL,
        delivery bytea NOT NULL UNIQUE,
        payment bytea NOT NULL UNIQUE,
        made_at_ms bigint NOT NULL,
        delivery_state text NOT NULL,
        payment_state text NOT NULL,
        state text NOT NULL CHECK (state IN ('open', 'settled', 'failed', 'disputed', 'waived')),
        return_owed_minor bigint NOT NULL,
        ended_at_ms bigint NOT NULL
    )
    """,
    "CREATE INDEX agreements_by_provider ON agreements (provider, number)",
    "CREATE INDEX agreements_by_receiver ON agreements (receiver, number)",
    "CREATE INDEX agreements_open ON agreements (offer, receiver) WHERE state = 'open'",
    "CREATE INDEX agreements_due ON agreements (expires_at_ms, id) WHERE state = 'open'",
    # A transfer gives back for one agreement only.
    """
    CREATE TABLE returns (
        transaction_id bytea PRIMARY KEY CHECK (octet_length(transaction_id) = 32),
        agreement bytea NOT NULL REFERENCES agreements (id),
        noted_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # A row without a placing is an expected hold: who tells of it and who accepts at the same time meet here.
    """
    CREATE TABLE holds (
        id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
        source bytea NOT NULL DEFAULT '',
        destination bytea NOT NULL DEFAULT '',
        placed_minor bigint NOT NULL DEFAULT 0,
        captured_minor bigint NOT NULL DEFAULT 0,
        captured_at_ms bigint NOT NULL DEFAULT 0,
        expires_at_ms bigint NOT NULL DEFAULT 0,
        release text CHECK (release IN ('voided', 'expired'))
    )
    """,
)


def upgrade() -> None:
    """Make every table."""
    for statement in (
        *STATEMENTS,
        *create_permission_statements(),
        *create_sealing_statements(),
        *create_blob_statements(),
    ):
        op.execute(statement)
