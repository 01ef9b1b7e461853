"""The peer: one call of a plpgsql function per transfer, under pgbench, tuned.

Source of what it does: `peer.sql`. Each call is a transaction of its own, durable when it returns, as whoever
keeps accounts in Postgres does it. Clients that commit at the same moment share a flush of the log.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from icn_localnet.postgres import DATABASE, PostgresServer

from benches.ledger.chain import FLOOR_MINOR, running_server
from benches.ledger.worker import Figures
from benches.processes import usage

FEW, MANY = (1, 2, 4, 8), (16, 32)
"""Numbers of clients that are tried: those of a service with a small pool, and those of one with a large."""
SETTINGS: Final[Mapping[str, str]] = {
    "max_connections": "48",
    "shared_buffers": "512MB",
    "wal_buffers": "64MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "60min",
}
"""All of it in memory, and no checkpoint while it is measured; ICN's server has its own small settings.
fsync, synchronous_commit and full_page_writes are on in both."""
ACCOUNTS_OPENED: Final = (
    "INSERT INTO accounts (account, floor_minor) SELECT number, %s FROM generate_series(1, %s) AS number"
)
SQL: Final = Path(__file__).parent / "peer.sql"
SCRIPT: Final = r"""
\set wanted random(1, 9000000000000000000)
\set payer random(1, :accounts)
\set step random(1, :accounts - 1)
\set payee 1 + (:payer + :step - 1) % :accounts
\set amount random(1, 1000)
SELECT transfer(:wanted, :payer, :payee, :amount, decode(repeat('9d', 32), 'hex'));
"""


class Peer:
    """A database with the function. Made by `peer`."""

    def __init__(self, server: PostgresServer, accounts: int) -> None:
        self._server = server
        self._accounts = accounts
        self._script = server.directory / "transfer.sql"
        self._script.write_text(SCRIPT)
        dsn = psycopg.conninfo.conninfo_to_dict(server.dsn())
        self._environment = {
            **os.environ,
            "PGHOST": str(dsn["host"]),
            "PGUSER": str(dsn["user"]),
            "PGPASSWORD": str(dsn["password"]),
            "PGDATABASE": DATABASE,
        }

    def measure(self, seconds: int, clients: int) -> Figures:
        """Transfers per second, and CPU-µs per transfer of the server and of pgbench. What connecting costs
        is measured apart and left out."""
        connected = self._run(clients, "--transactions=1")
        ran = self._run(clients, f"--time={seconds}")
        count = ran["count"] - connected["count"]
        if count <= 0:  # a busy machine may not have connected everybody in time
            return {"rate": 0.0, "database_us": 0.0, "client_us": 0.0}
        return {
            "rate": ran["rate"],
            "database_us": (ran["database"] - connected["database"]) / count * 1e6,
            "client_us": (ran["client"] - connected["client"]) / count * 1e6,
        }

    def _run(self, clients: int, until: str) -> Figures:
        """One run of pgbench: transfers, their rate, CPU-seconds of the server and of pgbench."""
        assert self._server.pid is not None, "it runs"
        before, own_before = usage(self._server.pid).cpu_seconds, _children_cpu_seconds()
        printed = subprocess.run(
            [
                str(self._server.binaries().directory / "pgbench"),
                "--no-vacuum",
                "--protocol=prepared",
                f"--client={clients}",
                f"--jobs={min(clients, os.cpu_count() or 1)}",
                until,
                f"--define=accounts={self._accounts}",
                f"--file={self._script}",
            ],
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert _said(r"number of failed transactions: (\d+)", printed) == 0, printed
        return {
            "count": _said(r"transactions actually processed: (\d+)", printed),
            "rate": _said(r"tps = ([0-9.]+) \(without", printed),
            "database": usage(self._server.pid).cpu_seconds - before,
            "client": _children_cpu_seconds() - own_before,
        }

    def best_of(self, seconds: int, counts: Sequence[int]) -> int:
        """The number of clients with which it is fastest."""
        return max(counts, key=lambda clients: self.measure(seconds, clients)["rate"])


@contextmanager
def peer(accounts: int) -> Iterator[Peer]:
    """The function over a server of its own, with so many accounts."""
    with running_server(SETTINGS) as server:
        server.create_database(DATABASE)
        with server.connect(DATABASE) as connection:
            connection.execute(SQL.read_text())
            connection.execute(ACCOUNTS_OPENED, [FLOOR_MINOR, accounts])
            connection.execute("VACUUM (ANALYZE)")
        yield Peer(server, accounts)


def _said(pattern: str, printed: str) -> float:
    """A number that pgbench printed; 0 where it left the line out, as it does when nothing was done."""
    found = re.search(pattern, printed)
    return 0.0 if found is None else float(found.group(1))


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
