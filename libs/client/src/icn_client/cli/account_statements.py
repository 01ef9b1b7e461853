"""`icn statement`: an account's entries as a file that shows it is complete, its check, and other forms."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    KeystoreOption,
    command_group,
    identifier,
    open_identity,
    parse_time_ms,
    platform_directory,
    with_connection,
)
from icn_client.cli.files import read_file, to_owner_only, write_new_file
from icn_client.cli.memos import say_broken
from icn_client.cli.output import EXIT_REFUSED, Progress, Refused, UsageError, print_json, say
from icn_client.cli.proofs import GenesisOption, read_genesis

if TYPE_CHECKING:
    from icn_client.connection import Connection

TEXT_FORMS = ("csv", "beancount", "hledger")
PDF = "pdf"
FORMS_BY_ENDING = {**{f".{form}": form for form in TEXT_FORMS}, ".journal": "hledger"}
SHOWN_CHARACTERS_MAX = 200
NAMES_BYTES_MAX = 16 * 1024 * 1024
"""Some 200,000 accounts with their names."""

_EXAMPLES = """\b
Examples:
  icn statement export ACCOUNT --from 2026-01-01 --until 2026-04-01 --out quarter.jsonl --as bakery
  icn statement verify quarter.jsonl --genesis genesis.json
  icn statement convert quarter.jsonl --to csv > quarter.csv
  icn statement check-text quarter.csv --against quarter.jsonl
"""
_EXPORT_EXAMPLES = """\b
Examples:
  icn statement export ACCOUNT --out all.jsonl
  icn statement export ACCOUNT --from 2026-01-01 --until 2026-04-01 --out quarter.jsonl --as bakery
  icn statement export ACCOUNT --sub-accounts --out family.jsonl
"""
_VERIFY_EXAMPLES = """\b
Examples:
  icn statement verify quarter.jsonl --genesis genesis.json
"""
_CONVERT_EXAMPLES = """\b
Examples:
  icn statement convert quarter.jsonl --to csv > quarter.csv
  icn statement convert quarter.jsonl --to beancount > quarter.beancount
  icn statement convert family.jsonl --to sums > sums.csv
  icn statement convert quarter.jsonl --to pdf --out quarter.pdf --genesis genesis.json --names names.csv
"""
_MEMOS_EXAMPLES = """\b
Examples:
  icn statement memos quarter.jsonl --as bakery --out memos.jsonl
  icn statement convert quarter.jsonl --to csv --memos memos.jsonl > quarter.csv
"""
_CHECK_EXAMPLES = """\b
Examples:
  icn statement check-text quarter.csv --against quarter.jsonl
  icn statement check-text books.txt --form hledger --against quarter.jsonl
"""
StatementArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="As `icn statement export` writes it.", readable=False)
]
MemosOption = Annotated[
    Path | None,
    typer.Option("--memos", metavar="FILE", help="As `icn statement memos` wrote it.", readable=False),
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Statements of accounts that show they are complete.", _EXAMPLES)
    group.command("export", epilog=_EXPORT_EXAMPLES)(export)
    group.command("verify", epilog=_VERIFY_EXAMPLES)(verify)
    group.command("convert", epilog=_CONVERT_EXAMPLES)(convert)
    group.command("memos", epilog=_MEMOS_EXAMPLES)(memos)
    group.command("check-text", epilog=_CHECK_EXAMPLES)(check_text)
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
    has_sub_accounts: Annotated[
        bool,
        typer.Option("--sub-accounts", help="Cover all its sub-accounts, too, and what all have together."),
    ] = False,
    acting: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="NAME", help="Sign it with this identity's first key that has no scope."
        ),
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
) -> None:
    """Write a statement of an account, all its entries with what shows that none is missing or changed."""
    from icn_client.light.statement import Head
    from icn_client.stating import write_statement

    wanted = identifier(account, "ACCOUNT", "accounts")
    from_ms = 0 if begin is None else parse_time_ms(begin, "--from")
    until_ms = time.time_ns() // 1_000_000 if until is None else parse_time_ms(until, "--until")
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
                has_sub_accounts=has_sub_accounts,
                signer=signer,
                on_entry=shown.update,
            ),
        ),
        "entries",
    )
    say(f"{out}: {sums.entries} entries; check it with: icn statement verify {out} --genesis GENESIS")


def verify(file: StatementArgument, genesis: GenesisOption) -> None:
    """Check a statement offline and print its sums. Exit 0 when it holds, 1 when not."""
    from icn_client.light.statement import StatementInvalid
    from icn_client.light.verify_statement import verify_statement

    zone = read_genesis(genesis)
    try:
        found = verify_statement(_lines(file), zone)
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
            "sub_accounts": str(found.sub_accounts),
            "accounts": [{"account": one.account.hex(), **one.sums.to_dict()} for one in found.accounts],
            "between_minor": str(found.between_minor),
            "height": str(found.height),
            "signer": found.signer or None,
        }
    )
    until = datetime.fromtimestamp(found.complete_until_ms / 1000, UTC).isoformat(timespec="seconds")
    say(f"icn: {found.sums.entries} entries, none changed and none missing before {until}")
    if found.sub_accounts and not found.is_family:
        say(f"icn: the account's {found.sub_accounts} sub-accounts are not in this file")
    if found.complete_until_ms < found.head.until_ms:
        say("icn: the span goes on after that; what came then is not shown")


def convert(  # noqa: PLR0917 - one parameter per option
    file: StatementArgument,
    to: Annotated[str, typer.Option("--to", metavar="FORM", help="csv, beancount, hledger, sums or pdf.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.pdf", help="Where to write a PDF.", readable=False)
    ] = None,
    genesis: Annotated[
        Path | None,
        typer.Option("--genesis", metavar="GENESIS", help="The zone's genesis, for a PDF.", readable=False),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option("--names", metavar="CSV", help="account,name: beside ids in a PDF.", readable=False),
    ] = None,
    opened: MemosOption = None,
) -> None:
    """Print a statement's span in another form, or write its pages. Only a PDF is made of what was checked:
    for the others see `icn statement verify`.
    """
    from icn_client.statement_texts import SUMS
    from icn_client.statement_texts import convert as texts

    if to == PDF:
        if out is None or genesis is None:
            raise UsageError("--to pdf: give --out FILE.pdf and --genesis GENESIS")
        texts_of = _read_memos(opened, file)
        _write_pdf(file, out, genesis, {} if names is None else _read_names(names), texts_of)
        return
    if to not in {*TEXT_FORMS, SUMS}:
        raise UsageError(f"--to: {to[:40]!r} is none of {', '.join(TEXT_FORMS)}, {SUMS}, {PDF}")
    if (out, genesis, names) != (None, None, None):
        raise UsageError("--out, --genesis and --names are for --to pdf")
    if opened is not None and to == SUMS:
        raise UsageError("--memos: sums have no entries")
    with _opened(file) as lines:
        for text in texts(lines, to, _read_memos(opened, file)):
            sys.stdout.write(text)


def memos(
    file: StatementArgument,
    acting: AsOption,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it.", readable=False)],
    keystore: KeystoreOption = None,
    data: DataOption = None,
) -> None:
    """Write the memos of a statement's entries that the identity's keys open, each with what shows that it is
    the one whose hash the ledger has: whoever has the file can read them without any key.
    """
    from icn_client.memos import open_memos
    from icn_client.opened_memos import opened_line
    from icn_client.statement_texts import memo_key, read_span

    head = _head_of(file)
    with _opened(file) as lines:
        wanted = {
            memo_key(piece.account, piece.entry): None
            for piece in read_span(lines)
            if piece.entry is not None and piece.entry.memo_hash
        }
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    def write(to: IO[bytes], shown: Progress) -> Any:
        to_owner_only(to)

        async def work(connection: Connection) -> Any:
            if connection.genesis.hash != head.genesis:
                raise Refused(
                    f"{file}: of zone {head.genesis.hex()}, the platform is {connection.genesis.hash.hex()}",
                    "WRONG_ZONE",
                )
            written = 0

            def put(entry: Any, sealed: bytes, memo: Any) -> None:
                nonlocal written
                to.write(opened_line(entry, sealed, memo))
                written += 1
                shown.update(written)

            return await open_memos(connection, identity, wanted, put)

        return with_connection(directory, work)

    found = write_new_file(out, write, "memos")
    figures = {
        "memos": len(wanted),
        "kept": found.kept,
        "opened": len(found.texts),
        "broken": found.broken,
    }
    print_json(figures)
    say(f"icn: {out}: {len(found.texts)} of {len(wanted)} memos, {found.kept} are kept by the host")
    say_broken(found.broken)


def check_text(
    text: Annotated[Path, typer.Argument(metavar="TEXT", help="As `convert` printed it.", readable=False)],
    against: Annotated[
        Path, typer.Option("--against", metavar="FILE", help="The statement it was made of.", readable=False)
    ],
    form: Annotated[
        str | None,
        typer.Option("--form", metavar="FORM", help="csv, beancount or hledger; by default by its ending."),
    ] = None,
    opened: MemosOption = None,
) -> None:
    """Say whether a text still has the entries of a statement's span, or where it first differs. Exit 0 when
    they are equal, 1 when not. The statement is not checked: see `icn statement verify`.
    """
    from icn_client.statement_check import TextUnreadable, find_difference

    named = form or FORMS_BY_ENDING.get(text.suffix.lower(), "")
    if named not in TEXT_FORMS:
        raise UsageError(f"--form: {named[:40]!r} is none of {', '.join(TEXT_FORMS)}")
    try:
        with _opened(against) as lines, text.open(encoding="utf-8-sig", newline="") as told:
            same, found = find_difference(lines, told, named, _read_memos(opened, against))
    except OSError as error:
        raise Refused(f"{text}: {error.strerror}", "FILE_UNREADABLE") from None
    except TextUnreadable as error:
        raise Refused(f"{text}: {error}", "TEXT_UNREADABLE") from None
    answer = {"equal": found is None, "form": named, "entries": str(same)}
    if found is None:
        print_json(answer)
        say(f"icn: {same} entries, as in the statement")
        return
    print_json({**answer, **{name: value[:SHOWN_CHARACTERS_MAX] for name, value in found._asdict().items()}})
    of = f"entry {found.entry}" if found.entry else "the statement has none there"
    say(f"icn: after {same} equal entries: {of}, {found.field}")
    raise SystemExit(EXIT_REFUSED)


@contextmanager
def _opened(file: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a statement; what is none is refused."""
    from icn_client.light.statement import StatementInvalid

    try:
        yield _lines(file)
    except StatementInvalid as fault:
        raise Refused(f"{file}: {fault}", fault.reason) from None


def _lines(file: Path) -> Iterator[bytes]:
    from icn_client.light.statement import bounded_lines

    try:
        with file.open("rb") as lines:
            yield from bounded_lines(lines)
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}", "FILE_UNREADABLE") from None


def _read_memos(opened: Path | None, file: Path) -> Mapping[Any, str] | None:
    """Texts of opened memos, of the zone of a statement; None without a file."""
    from icn_client.light.statement import bounded_lines
    from icn_client.opened_memos import MemosInvalid, read_opened

    if opened is None:
        return None
    head = _head_of(file)
    try:
        with opened.open("rb") as lines:
            return read_opened(bounded_lines(lines), head.genesis)
    except MemosInvalid as error:
        raise Refused(f"{opened}: {error}", "MEMOS_INVALID") from None
    except OSError as error:
        raise Refused(f"{opened}: {error.strerror}", "FILE_UNREADABLE") from None


def _head_of(file: Path) -> Any:
    """What a statement says it is of. Raises Refused."""
    from icn_client.light.statement import StatementInvalid, read_head, read_lines

    with _opened(file) as lines:
        for number, members, _ in read_lines(lines):
            return read_head(number, members)
        raise StatementInvalid("STATEMENT_MALFORMED", 0, "the file is empty")


def _write_pdf(
    file: Path, out: Path, genesis: Path, names: dict[bytes, str], memos: Mapping[Any, str] | None
) -> None:
    from icn_client.light.verify_statement import verify_statement
    from icn_client.statement_pdf import write_pdf

    zone = read_genesis(genesis)
    with _opened(file) as lines:
        found = verify_statement(lines, zone)

    def write(to: IO[bytes], shown: Progress) -> None:
        with _opened(file) as lines:
            write_pdf(lines, found, names, to, shown.update, memos)

    write_new_file(out, write, "entries")
    say(f"icn: {out}: {found.sums.entries} entries of a statement that holds")


def _read_names(path: Path) -> dict[bytes, str]:
    """Names by account, of a CSV with the columns account and name."""
    import csv
    import io

    try:
        text = read_file(path, NAMES_BYTES_MAX).decode("utf-8-sig")
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        if not {"account", "name"} <= set(rows.fieldnames or ()):
            raise Refused(f"{path}: line 1: the columns must be account,name", "NAMES_INVALID")
        found: dict[bytes, str] = {}
        for row in rows:
            try:
                account = identifier(row["account"] or "", "account", "accounts")
            except UsageError as error:
                raise Refused(f"{path}: line {rows.line_num}: {error}", "NAMES_INVALID") from None
            found[account] = row["name"] or ""
        return found
    except UnicodeDecodeError:
        raise Refused(f"{path}: not UTF-8", "NAMES_INVALID") from None
    except csv.Error as error:
        raise Refused(f"{path}: line {rows.line_num}: {error}", "NAMES_INVALID") from None
