"""Makes the ledger of a stopped validator anew from blocks: beside the old one, then in its place.

Source: docs/spec/ledger-store.md, "Rebuilding".
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import psycopg
from icn_kit.migrate import upgrade, versions_folder_of
from psycopg import sql

from icn_localnet import files, processes
from icn_localnet.network import Network
from icn_localnet.parts import VALIDATOR_PACKAGES
from icn_localnet.postgres import DATABASE, PostgresServer
from icn_localnet.processes import ProcessFailed
from icn_localnet.supervisor import locked
from icn_localnet.template import is_made, migrate_again

PACKAGE: Final = "icn_ledger"
SCHEMA: Final = "ledger"
REBUILT_SCHEMA: Final = "ledger_rebuilt"
"""Where it is made; nothing else uses the name."""
_REPLACED_SCHEMA: Final = "ledger_replaced"


class RebuildRefused(Exception):
    """The ledger is as it was; the message says why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def rebuild_ledger(
    network: Network,
    seat: int,
    *,
    archive: Path | None = None,
    may_replace: bool = False,
    tell: Callable[[str, int, int], None] = lambda _doing, _height, _last: None,
) -> dict[str, Any]:
    """Execute a validator's blocks again and put what comes of it in the place of its ledger.

    All or nothing: what interrupts it leaves the ledger that was there. Must be called on the main thread.

    Args:
        network: whose platform does not run.
        seat: of the validator.
        archive: begin with the blocks of this file (docs/spec/audit.md); what follows on them, and everything
            without a file, comes from the validator's own store.
        may_replace: whether a ledger that has executed blocks may be replaced.
        tell: told what is done ("verify" or "execute"), at which height of how many.

    Returns:
        height, transactions, state_root, named_height, named_state_root (`icn_ledger` has their meaning).

    Raises:
        AlreadyRunning: the platform runs.
        RebuildRefused: see there.
        ProcessFailed, PostgresUnavailable, UnsafeSettings, OSError: the server does not come up.
    """
    directory = network.validator_directory(seat)
    server = PostgresServer(directory / "postgres")
    with locked(network.directory):
        if not is_made(server):
            raise RebuildRefused(
                "NO_BLOCKS", f"validator-{seat} has no database; once started it has blocks from the others"
            )
        server.start()
        try:
            migrate_again(server, VALIDATOR_PACKAGES)
            with _schema_beside(server):
                document = {
                    "genesis": str(network.genesis_path),
                    "ledger_url": server.dsn(SCHEMA),
                    "consensus_url": server.dsn("consensus"),
                    "schema": REBUILT_SCHEMA,
                    "archive": "" if archive is None else str(archive.absolute()),
                    "may_replace": may_replace,
                }
                rebuilt = _execute_again(document, directory, tell)
                _put_in_place(server)
            return rebuilt
        finally:
            server.stop()


@contextlib.contextmanager
def _schema_beside(server: PostgresServer) -> Iterator[None]:
    """The ledger's tables in a schema of their own, which is gone at the end."""
    role, schema = sql.Identifier(SCHEMA), sql.Identifier(REBUILT_SCHEMA)
    drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema)
    with server.connect(DATABASE) as connection:
        connection.execute(drop)  # of one that was interrupted
        connection.execute(sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(schema, role))
        try:
            upgrade(server.dsn(SCHEMA), REBUILT_SCHEMA, versions_folder_of(PACKAGE))
            yield
        finally:
            with contextlib.suppress(psycopg.OperationalError):  # the server went away
                connection.execute(drop)


def _put_in_place(server: PostgresServer) -> None:
    old, new, aside = map(sql.Identifier, (SCHEMA, REBUILT_SCHEMA, _REPLACED_SCHEMA))
    with server.connect(DATABASE) as connection, connection.transaction():
        connection.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(old, aside))
        connection.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(new, old))
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(aside))


def _execute_again(
    document: Mapping[str, Any], directory: Path, tell: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Run `icn_localnet.executing_again`; its files are in the validator's directory."""
    configuration = directory / "rebuild.json"
    files.write_private(configuration, json.dumps(document, indent=1).encode(), may_replace=True)
    command = [sys.executable, "-m", "icn_localnet.executing_again", str(configuration)]
    said: dict[str, Any] = {}
    try:
        with contextlib.closing(processes.lines_of(command, log=directory / "rebuild.log")) as lines:
            for line in lines:
                said = json.loads(line)
                if "doing" in said:
                    tell(said["doing"], said["height"], said["last"])
    except ProcessFailed:
        if "refused" not in said:
            raise
        raise RebuildRefused(said["refused"]["reason"], said["refused"]["message"]) from None
    finally:
        configuration.unlink()
    rebuilt: dict[str, Any] = said["rebuilt"]
    return rebuilt
