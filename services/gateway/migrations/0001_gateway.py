"""Sessions: what is needed to recognize who has signed in, and nothing that could sign in."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    op.execute(
        """
        CREATE TABLE challenge_key (
            is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
            key bytea NOT NULL CHECK (octet_length(key) = 32)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE used_challenge (
            digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
            expire_time_ms bigint NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX used_challenge_by_expiry ON used_challenge (expire_time_ms)")
    for table, what in (("session", "token_hash"), ("sign_in_code", "code_hash")):
        op.execute(
            f"""
            CREATE TABLE {table} (
                {what} bytea PRIMARY KEY CHECK (octet_length({what}) = 32),
                principal bytea NOT NULL CHECK (octet_length(principal) = 16),
                keys_digest bytea NOT NULL CHECK (octet_length(keys_digest) = 32),
                expire_time_ms bigint NOT NULL
            )
            """
        )
        op.execute(f"CREATE INDEX {table}_by_principal ON {table} (principal, expire_time_ms)")
        op.execute(f"CREATE INDEX {table}_by_expiry ON {table} (expire_time_ms)")
