"""How a Postgres of ours is configured: durable always, small in memory, silent when idle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
"""What makes a commit survive a crash. A server where one of them is otherwise is refused."""

SETTINGS: Mapping[str, str] = {
    **DURABLE,
    # Small memory: four of these run beside each other on one machine.
    "shared_buffers": "64MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "wal_buffers": "8MB",
    "max_connections": "24",
    "max_locks_per_transaction": "32",
    "effective_cache_size": "256MB",
    "huge_pages": "off",
    "jit": "off",
    "max_parallel_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "max_worker_processes": "2",
    # One writer of log: no replicas, no archive, hence the shortest records and two processes less.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_replication_slots": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "512MB",
    "min_wal_size": "64MB",
    "checkpoint_timeout": "15min",
    "wal_recycle": "on",
    # Idle costs nothing: the writers sleep as long as they may.
    "bgwriter_delay": "10s",
    "wal_writer_delay": "1s",
    "autovacuum": "on",
    "autovacuum_naptime": "5min",
    "autovacuum_max_workers": "1",
    "autovacuum_vacuum_cost_delay": "1ms",
    "update_process_title": "off",
    # Nothing but the socket.
    "listen_addresses": "",
    "password_encryption": "scram-sha-256",
    "unix_socket_permissions": "0700",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "datestyle": "ISO",
    "lc_messages": "C",
}
HOST_BASED_AUTHENTICATION = """\
local all all scram-sha-256
local replication icn_administrator scram-sha-256
"""
"""The second line lets pg_basebackup in, once the operator has set ``max_wal_senders`` (docs/backup.md)."""


class UnsafeSettings(RuntimeError):
    """The server would acknowledge what a crash can lose; it was stopped. The message names the setting."""


def configuration(settings: Mapping[str, str]) -> str:
    """Text of ``postgresql.conf``; what ``ALTER SYSTEM`` sets comes after it and counts."""
    lines = ["# Written at every start by icn_localnet."]
    lines += [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def refuse_unsafe(connection: psycopg.Connection[Any]) -> None:
    """Check the server's settings, also those that a role or a database would get.

    Raises:
        UnsafeSettings: see there.
    """
    for name, wanted in DURABLE.items():
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
        found = row[0] if row else "unknown"
        if found != wanted:
            raise UnsafeSettings(
                f"{name} is {found}, must be {wanted}: acknowledged transactions could be lost"
            )
    for (configuration,) in connection.execute("SELECT unnest(setconfig) FROM pg_db_role_setting"):
        name, _, value = str(configuration).partition("=")
        if value != DURABLE.get(name.lower(), value):
            raise UnsafeSettings(f"{name} is set to {value} for a role or database, must be on")
