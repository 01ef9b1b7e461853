"""The newest state in rows that are changed in place, and what each block replaced in one row per block.

Source: docs/spec/ledger-store.md, "How far back"; docs/adr/0011-newest-state-and-replaced-leaves.md.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE replaced (
        height bigint PRIMARY KEY,
        namespaces smallint[] NOT NULL,
        identifiers bytea[] NOT NULL,
        written_at bigint[] NOT NULL,
        leaf_values bytea[] NOT NULL
    )
    """,
    "ALTER TABLE replaced ALTER COLUMN identifiers SET STORAGE EXTERNAL",
    "ALTER TABLE replaced ALTER COLUMN leaf_values SET STORAGE EXTERNAL",
    """
    CREATE TABLE leaves_at_edges (
        namespace smallint NOT NULL,
        identifier bytea NOT NULL,
        epoch bigint NOT NULL,
        value bytea,
        PRIMARY KEY (namespace, identifier, epoch)
    )
    """,
    "CREATE INDEX leaves_at_edges_by_epoch ON leaves_at_edges (epoch)",
    """
    CREATE TABLE replacements AS
    SELECT namespace, identifier, height, CASE WHEN value IS NOT NULL THEN since END AS written_at, value
    FROM (
        SELECT namespace, identifier, height, lag(height) OVER older AS since, lag(value) OVER older AS value
        FROM leaves WINDOW older AS (PARTITION BY namespace, identifier ORDER BY height)
    ) AS version
    """,
    """
    INSERT INTO replaced (height, namespaces, identifiers, written_at, leaf_values)
    SELECT height, array_agg(namespace), array_agg(identifier), array_agg(written_at), array_agg(value)
    FROM replacements, horizon WHERE height > provable_from GROUP BY height
    """,
    """
    INSERT INTO leaves_at_edges (namespace, identifier, epoch, value)
    SELECT namespace, identifier, edge.epoch, value
    FROM replacements, horizon, LATERAL (
        SELECT epoch, executed_height FROM epoch_edges
        WHERE executed_height < replacements.height ORDER BY epoch DESC LIMIT 1
    ) AS edge
    WHERE height <= provable_from AND coalesce(written_at, 0) <= edge.executed_height
    ORDER BY height
    ON CONFLICT DO NOTHING
    """,
    "DROP TABLE replacements",
    # Rows of a fixed place need room beside them for their next version.
    """
    CREATE TABLE newest_leaves (
        namespace smallint NOT NULL,
        identifier bytea NOT NULL,
        height bigint NOT NULL,
        value bytea NOT NULL,
        PRIMARY KEY (namespace, identifier)
    ) WITH (fillfactor = 50)
    """,
    "ALTER TABLE newest_leaves ALTER COLUMN value SET STORAGE EXTERNAL",
    """
    INSERT INTO newest_leaves SELECT * FROM (
        SELECT DISTINCT ON (namespace, identifier) namespace, identifier, height, value
        FROM leaves ORDER BY namespace, identifier, height DESC
    ) AS newest WHERE value IS NOT NULL
    """,
    "DROP TABLE leaves",
    "ALTER TABLE newest_leaves RENAME TO leaves",
    """
    CREATE TABLE newest_pages (prefix bytea PRIMARY KEY, page bytea NOT NULL)
    WITH (fillfactor = 50, toast_tuple_target = 8160)
    """,
    "ALTER TABLE newest_pages ALTER COLUMN page SET STORAGE EXTERNAL",
    """
    INSERT INTO newest_pages SELECT * FROM (
        SELECT DISTINCT ON (prefix) prefix, page FROM tree_pages ORDER BY prefix, height DESC
    ) AS newest WHERE page IS NOT NULL
    """,
    "DROP TABLE tree_pages",
    "ALTER TABLE newest_pages RENAME TO tree_pages",
    "ALTER TABLE chain ADD COLUMN pages_height bigint NOT NULL DEFAULT 0",
    "UPDATE chain SET pages_height = executed_height",
)


def upgrade() -> None:
    """Turn versions into the newest state and what was replaced."""
    for statement in STATEMENTS:
        op.execute(statement)
