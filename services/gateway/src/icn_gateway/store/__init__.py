"""The gateway's own tables in the host's Postgres."""
