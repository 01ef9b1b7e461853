"""Commands taken, DID logs, credentials, status lists, permission tuples."""

from alembic import op
from icn_kit.permissions import create_permission_statements

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE commands (
        id bytea PRIMARY KEY CHECK (octet_length(id) = 32),
        principal bytea NOT NULL CHECK (octet_length(principal) = 16),
        method text NOT NULL,
        body bytea NOT NULL,
        signatures bytea NOT NULL,
        response bytea NOT NULL,
        taken_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE did_entries (
        principal bytea NOT NULL CHECK (octet_length(principal) = 16),
        number integer NOT NULL CHECK (number >= 1),
        did text NOT NULL,
        scid text NOT NULL,
        line bytea NOT NULL,
        command bytea NOT NULL UNIQUE REFERENCES commands,
        PRIMARY KEY (principal, number)
    )
    """,
    "CREATE UNIQUE INDEX did_entries_by_scid ON did_entries (scid, number)",
    """
    CREATE TABLE credentials (
        id bytea PRIMARY KEY CHECK (octet_length(id) = 16),
        position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        organization bytea NOT NULL CHECK (octet_length(organization) = 16),
        subject bytea NOT NULL CHECK (octet_length(subject) = 16),
        kind smallint NOT NULL CHECK (kind IN (1, 2)),
        office text NOT NULL CHECK ((office = '') = (kind = 1)),
        valid_from_ms bigint NOT NULL,
        valid_until_ms bigint,
        list_index integer NOT NULL,
        published_ms bigint NOT NULL,
        revoked_ms bigint,
        is_membership_ended boolean NOT NULL DEFAULT false,
        document bytea NOT NULL,
        command bytea NOT NULL UNIQUE REFERENCES commands,
        UNIQUE (organization, list_index)
    )
    """,
    "CREATE INDEX credentials_by_organization ON credentials (organization, position)",
    "CREATE INDEX credentials_by_subject ON credentials (subject, position)",
    """
    CREATE INDEX credentials_in_office ON credentials (organization, subject, office)
    WHERE kind = 2 AND revoked_ms IS NULL AND NOT is_membership_ended
    """,
    """
    CREATE TABLE status_lists (
        organization bytea PRIMARY KEY CHECK (octet_length(organization) = 16),
        bits bytea NOT NULL,
        document bytea NOT NULL,
        command bytea NOT NULL UNIQUE REFERENCES commands
    )
    """,
)


def upgrade() -> None:
    """Make every table."""
    for statement in (*STATEMENTS, *create_permission_statements()):
        op.execute(statement)
