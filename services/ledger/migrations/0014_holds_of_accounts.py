"""Holds by account, and which of them are offers of exchange, for lists.

Source: docs/spec/ledger-store.md, "Tables".
"""

from alembic import op
from icn.ledger.v1.state_pb2 import HoldLeaf
from sqlalchemy import text

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE holds ALTER COLUMN source SET NOT NULL, ALTER COLUMN destination SET NOT NULL",
    "CREATE INDEX holds_by_source ON holds (source, hold)",
    "CREATE INDEX holds_by_destination ON holds (destination, hold)",
    "CREATE INDEX offers ON holds (hold) WHERE is_offer",
)
NAMESPACE = 4


def upgrade() -> None:
    """Add the columns, and fill them from the leaves of the holds."""
    op.execute(
        "ALTER TABLE holds ADD COLUMN source bytea, ADD COLUMN destination bytea,"
        " ADD COLUMN is_offer boolean NOT NULL DEFAULT false"
    )
    connection = op.get_bind()
    leaves = connection.execute(
        text("SELECT value FROM leaves JOIN holds ON hold = identifier WHERE namespace = :namespace"),
        {"namespace": NAMESPACE},
    ).scalars()
    for leaf in map(HoldLeaf.FromString, leaves.all()):
        connection.execute(
            text(
                "UPDATE holds SET source = :source, destination = :destination, is_offer = :is_offer"
                " WHERE hold = :hold"
            ),
            {
                "hold": leaf.hold,
                "source": leaf.source,
                "destination": leaf.take_account or leaf.destination,
                "is_offer": bool(leaf.take_account),
            },
        )
    for statement in STATEMENTS:
        op.execute(statement)
