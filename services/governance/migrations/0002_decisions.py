"""Organizations, proposals, ballots, decisions. Source: docs/spec/governance.md."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    # What was signed is kept with its answer: a repeat gets the first, and anybody can see later who asked.
    """
    CREATE TABLE commands (
        id bytea PRIMARY KEY CHECK (octet_length(id) = 32),
        method text NOT NULL,
        principal bytea NOT NULL,
        body bytea NOT NULL,
        signatures bytea NOT NULL,
        answer bytea,
        received_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE organizations (
        organization bytea PRIMARY KEY CHECK (octet_length(organization) = 16),
        display_name text NOT NULL DEFAULT '',
        kind text NOT NULL DEFAULT '',
        description text NOT NULL DEFAULT '',
        contact text NOT NULL DEFAULT '',
        website text NOT NULL DEFAULT '',
        registered_by bytea NOT NULL DEFAULT '',
        update_time_ms bigint NOT NULL DEFAULT 0,
        is_authority boolean NOT NULL DEFAULT false
    )
    """,
    "CREATE INDEX organizations_by_kind ON organizations (kind, organization)",
    """
    CREATE TABLE memberships (
        organization bytea NOT NULL,
        member bytea NOT NULL,
        status smallint NOT NULL,
        height bigint NOT NULL,
        leaf bytea NOT NULL,
        PRIMARY KEY (organization, member)
    )
    """,
    "CREATE INDEX memberships_by_member ON memberships (member, organization)",
    """
    CREATE TABLE offices (
        organization bytea NOT NULL,
        member bytea NOT NULL,
        office text NOT NULL,
        PRIMARY KEY (organization, member, office)
    )
    """,
    """
    CREATE TABLE proposals (
        proposal bytea PRIMARY KEY CHECK (octet_length(proposal) = 16),
        position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        organization bytea NOT NULL,
        proposer bytea NOT NULL,
        state smallint NOT NULL,
        draft bytea NOT NULL,
        create_time_ms bigint NOT NULL,
        document bytea NOT NULL DEFAULT '',
        document_digest bytea NOT NULL DEFAULT '',
        close_time_ms bigint NOT NULL DEFAULT 0,
        opening_time_ms bigint NOT NULL DEFAULT 0,
        ballots integer NOT NULL DEFAULT 0,
        result bytea,
        result_digest bytea,
        is_complete boolean,
        is_carried boolean,
        winners integer[],
        decision_id bytea NOT NULL DEFAULT '',
        enact_height bigint NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX proposals_by_organization ON proposals (organization, position)",
    "CREATE INDEX proposals_by_state ON proposals (state, position)",
    """
    CREATE TABLE documents (
        proposal bytea NOT NULL REFERENCES proposals,
        digest bytea NOT NULL CHECK (octet_length(digest) = 32),
        document bytea NOT NULL,
        PRIMARY KEY (proposal, digest)
    )
    """,
    """
    CREATE TABLE lots (
        proposal bytea NOT NULL REFERENCES proposals,
        teller bytea NOT NULL,
        commitment bytea NOT NULL DEFAULT '',
        secret bytea NOT NULL DEFAULT '',
        PRIMARY KEY (proposal, teller)
    )
    """,
    """
    CREATE TABLE openings (
        proposal bytea NOT NULL REFERENCES proposals,
        voter bytea NOT NULL,
        commitment bytea NOT NULL CHECK (octet_length(commitment) = 32),
        salt bytea NOT NULL,
        ballot bytea NOT NULL,
        position bigint GENERATED ALWAYS AS IDENTITY,
        PRIMARY KEY (proposal, voter, commitment)
    )
    """,
    """
    CREATE TABLE ballots (
        proposal bytea NOT NULL REFERENCES proposals,
        voter bytea NOT NULL,
        commitment bytea NOT NULL,
        leaf bytea NOT NULL,
        PRIMARY KEY (proposal, voter)
    )
    """,
    """
    CREATE TABLE decisions (
        decision_id bytea PRIMARY KEY CHECK (octet_length(decision_id) = 32),
        position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        authority bytea NOT NULL,
        body bytea NOT NULL,
        text bytea NOT NULL,
        expire_time_ms bigint NOT NULL,
        create_time_ms bigint NOT NULL,
        enact_height bigint NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX decisions_by_authority ON decisions (authority, position)",
    "CREATE INDEX decisions_waiting ON decisions (position) WHERE enact_height = 0",
    """
    CREATE TABLE countersignatures (
        decision_id bytea NOT NULL REFERENCES decisions,
        signer bytea NOT NULL,
        countersignature bytea NOT NULL,
        PRIMARY KEY (decision_id, signer)
    )
    """,
)


def upgrade() -> None:
    """Make every table."""
    for statement in STATEMENTS:
        op.execute(statement)
