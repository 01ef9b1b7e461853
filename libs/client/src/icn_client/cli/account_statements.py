"""`icn statement`: an account's entries as a file that shows it is complete, its check, and other forms."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from icn_client.cli.common import (
    DataOption,
    KeystoreOption,
    command_group,
    identifier,
    open_identity,
    platform_directory,
    time_ms,
    with_connection,
)
from icn_client.cli.files import write_new_file
from icn_client.cli.output import EXIT_REFUSED, Refused, UsageError, print_json, say
from icn_client.cli.proofs import GenesisOption, read_genesis

FORM_NAMES = ("csv", "beancount", "hledger")

_EXAMPLES = """\b
Examples:
  icn statement export ACCOUNT --from 2026-01-01 --until 2026-04-01 --out quarter.jsonl --as bakery
  icn statement verify quarter.jsonl --genesis genesis.json
  icn statement convert quarter.jsonl --to csv > quarter.csv
"""
_EXPORT_EXAMPLES = """\b
Examples:
  icn statement export ACCOUNT --out all.jsonl
  icn statement export ACCOUNT --from 2026-01-01 --until 2026-04-01 --out quarter.jsonl --as bakery
"""
_VERIFY_EXAMPLES = """\b
Examples:
  icn statement verify quarter.jsonl --genesis genesis.json
"""
_CONVERT_EXAMPLES = """\b
Examples:
  icn statement convert quarter.jsonl --to csv > quarter.csv
  icn statement convert quarter.jsonl --to beancount > quarter.beancount
"""
StatementArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="As `icn statement export` writes it.", readable=False)
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Statements of accounts that show they are complete.", _EXAMPLES)
    group.command("export", epilog=_EXPORT_EXAMPLES)(export)
    group.command("verify", epilog=_VERIFY_EXAMPLES)(verify)
    group.command("convert", epilog=_CONVERT_EXAMPLES)(convert)
    app.add_typer(group, name="statement")


def export(  # noqa: PLR0917 - one parameter per option
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id of the account.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it.", readable=False)],
    begin: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="First day or time (UTC) of the span.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="First day or time (UTC) behind the span.")
    ] = None,
    acting: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Sign it with this identity's first key.")
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
) -> None:
    """Write a statement of an account, all its entries with what shows that none is missing or changed."""
    from icn_client.light.statement import Head
    from icn_client.stating import write_statement

    wanted = identifier(account, "ACCOUNT", "accounts")
    from_ms = 0 if begin is None else time_ms(begin, "--from")
    until_ms = time.time_ns() // 1_000_000 if until is None else time_ms(until, "--until")
    if from_ms >= until_ms:
        raise UsageError("--from: not before --until")
    directory = platform_directory(data)
    signer = None if acting is None else open_identity(acting, keystore, directory)
    sums = write_new_file(
        out,
        lambda file, shown: with_connection(
            directory,
            lambda connection: write_statement(
                connection,
                Head(connection.genesis.hash, wanted, from_ms, until_ms),
                file,
                signer=signer,
                on_entry=shown.update,
            ),
        ),
        "entries",
    )
    say(f"{out}: {sums.entries} entries; check it with: icn statement verify {out} --genesis GENESIS")


def verify(file: StatementArgument, genesis: GenesisOption) -> None:
    """Check a statement offline and print its sums. Exit 0 when it holds, 1 when not."""
    from icn_client.light.statement import StatementInvalid, bounded_lines, verify_statement

    zone = read_genesis(genesis)
    try:
        with file.open("rb") as lines:
            found = verify_statement(bounded_lines(lines), zone)
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}", "FILE_UNREADABLE") from None
    except StatementInvalid as fault:
        print_json({"valid": False, "reason": fault.reason, "line": fault.line, "message": str(fault)})
        say(f"icn: not valid: {fault.reason}: {fault}")
        raise SystemExit(EXIT_REFUSED) from None
    print_json(
        {
            "valid": True,
            "account": found.head.account.hex(),
            "owner": found.owner,
            "unit": {name: found.unit[name] for name in ("unit", "code", "scale")},
            "from_ms": str(found.head.from_ms),
            "until_ms": str(found.head.until_ms),
            "complete_until_ms": str(found.complete_until_ms),
            "is_complete": found.complete_until_ms == found.head.until_ms,
            **found.sums.to_dict(),
            "height": str(found.height),
            "signer": found.signer or None,
        }
    )
    until = datetime.fromtimestamp(found.complete_until_ms / 1000, UTC).isoformat(timespec="seconds")
    say(f"icn: {found.sums.entries} entries, none changed and none missing before {until}")
    if found.complete_until_ms < found.head.until_ms:
        say("icn: the span goes on after that; what came then is not shown")


def convert(
    file: StatementArgument,
    to: Annotated[str, typer.Option("--to", metavar="FORM", help="csv, beancount or hledger.")],
) -> None:
    """Print a statement's span in another form. It is not checked: see `icn statement verify`."""
    from icn_client.light.statement import StatementInvalid, bounded_lines
    from icn_client.statement_texts import convert as texts

    if to not in FORM_NAMES:
        raise UsageError(f"--to: {to[:40]!r} is none of {', '.join(FORM_NAMES)}")
    try:
        with file.open("rb") as lines:
            for text in texts(bounded_lines(lines), to):
                sys.stdout.write(text)
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}", "FILE_UNREADABLE") from None
    except StatementInvalid as fault:
        raise Refused(f"{file}: {fault}", fault.reason) from None
