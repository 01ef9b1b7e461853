"""`icn validators postgres`: Postgres' own programs on a validator's database. Source: docs/backup.md."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from icn_client.cli.common import DataOption
from icn_client.cli.output import Refused, UsageError

_EXAMPLES = """\b
Examples:
  icn validators postgres 2 psql -c "SELECT pg_current_wal_lsn()"
  icn validators postgres 2 pg_basebackup --no-slot --pgdata=/backup/base
  icn validators postgres --data /srv/icn 2 pg_verifybackup /backup/base
"""


def register(group: typer.Typer) -> None:
    """Add the command to `icn validators`."""
    settings = {"ignore_unknown_options": True, "allow_interspersed_args": False}
    group.command("postgres", epilog=_EXAMPLES, context_settings=settings)(postgres)


def postgres(
    validator: Annotated[int, typer.Argument(metavar="N", min=0, help="Which validator, from 0.")],
    command: Annotated[
        list[str], typer.Argument(metavar="PROGRAM…", help="A program of Postgres, and what it is told.")
    ],
    data: DataOption = None,
) -> None:
    """Run one of Postgres' own programs, such as psql or pg_basebackup, as the administrator of a validator's
    database.

    Options of ours stand before N. The exit status is the program's.
    """
    from icn_localnet.network import Network, NetworkInvalid
    from icn_localnet.postgres import PostgresServer
    from icn_localnet.supervisor import StartFailures

    from icn_client import platforms

    directory = (data if data is not None else platforms.data_directory()).absolute()
    try:
        network = Network.load(directory)
        if validator >= len(network.validators):
            raise UsageError(f"N: {validator}, the platform has {len(network.validators)}")
        server = PostgresServer(network.validator_directory(validator) / "postgres")
        programs = server.binaries().directory
        environment = server.administrator_environment()
    except (NetworkInvalid, *StartFailures) as error:
        raise Refused(f"{directory}: {error}", "DIRECTORY_UNUSABLE") from None
    program = programs / Path(command[0]).name
    if program.name != command[0] or not os.access(program, os.X_OK):
        raise UsageError(f"PROGRAM: Postgres in {programs} has no {command[0][:80]!r}")
    os.execve(program, [str(program), *command[1:]], {**os.environ, **environment})  # noqa: S606 - no shell
