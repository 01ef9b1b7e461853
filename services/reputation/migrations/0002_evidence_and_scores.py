"""Evidence, memberships that seeds come from, and scores. Source: docs/spec/reputation.md, "Computation"."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Whoever numbers a piece locks its row: the pieces of a dimension appear in the order of their numbers.
    """
    CREATE TABLE dimensions (
        name text COLLATE "C" PRIMARY KEY,
        evidence_count bigint NOT NULL,
        as_of_ms bigint NOT NULL
    )
    """,
    """
    CREATE TABLE evidence (
        dimension text COLLATE "C" NOT NULL REFERENCES dimensions (name),
        number bigint NOT NULL,
        who bytea NOT NULL CHECK (octet_length(who) = 16),
        about bytea NOT NULL CHECK (octet_length(about) = 16 AND about <> who),
        is_fulfilled boolean NOT NULL,
        weight bigint NOT NULL CHECK (weight BETWEEN 1 AND 4294967295),
        occurred_at_ms bigint NOT NULL CHECK (occurred_at_ms >= 0),
        source text COLLATE "C" NOT NULL CHECK (length(source) BETWEEN 1 AND 256),
        PRIMARY KEY (dimension, number)
    )
    """,
    "CREATE UNIQUE INDEX evidence_by_name ON evidence (source, who, about, dimension)",
    "CREATE INDEX evidence_of_pair ON evidence (dimension, who, about, number)",
    "CREATE INDEX evidence_by_who ON evidence (dimension, who, number)",
    "CREATE INDEX evidence_by_about ON evidence (dimension, about, number)",
    "CREATE TABLE authorities (authority bytea PRIMARY KEY, height bigint NOT NULL)",
    """
    CREATE TABLE memberships (
        organization bytea NOT NULL,
        member bytea NOT NULL,
        is_active boolean NOT NULL,
        has_been_active boolean NOT NULL,
        height bigint NOT NULL,
        PRIMARY KEY (organization, member)
    )
    """,
    "CREATE INDEX memberships_by_height ON memberships (height)",
    """
    CREATE TABLE computations (
        dimension text COLLATE "C" PRIMARY KEY,
        evidence_count bigint NOT NULL,
        as_of_ms bigint NOT NULL,
        seeds bytea[] NOT NULL,
        seeds_height bigint NOT NULL,
        members bigint NOT NULL,
        pairs bigint NOT NULL
    )
    """,
    """
    CREATE TABLE scores (
        dimension text COLLATE "C" NOT NULL,
        principal bytea NOT NULL CHECK (octet_length(principal) = 16),
        score_nano bigint NOT NULL CHECK (score_nano BETWEEN 0 AND 1000000000),
        PRIMARY KEY (dimension, principal)
    )
    """,
    "CREATE INDEX scores_by_size ON scores (dimension, score_nano DESC, principal)",
    "CREATE INDEX scores_by_principal ON scores (principal, dimension)",
)


def upgrade() -> None:
    """Make every table."""
    for statement in STATEMENTS:
        op.execute(statement)
