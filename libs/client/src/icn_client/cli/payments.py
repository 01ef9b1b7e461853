"""`icn pay` and `icn pay-legs`: transfers, one or several at once, signed here."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    amount_minor,
    identifier,
    open_identity,
    platform_directory,
    show_amount,
    with_connection,
)
from icn_client.cli.files import read_file
from icn_client.cli.memos import Memo, MemoOption, ReferenceOption, read_reference
from icn_client.cli.output import Refused, UsageError
from icn_client.cli.signing import perform_as, print_done

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from icn_client.connection import Connection

LEGS_FILE_BYTES_MAX: Final = 65_536
COLUMNS: Final = ("source", "destination", "amount")
MEMO_COLUMN: Final = "memo"
"""May follow; an empty cell is no memo."""
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="ACCOUNT", help="Account that pays; by default the only one in the unit."),
]

_PAY_EXAMPLES = """\b
Examples:
  icn pay ACCOUNT 12.50 --as anna
  icn pay ACCOUNT 12.50 --as anna --from MY-ACCOUNT --memo "two loaves"
"""
_LEGS_EXAMPLES = """\b
Examples:
  icn pay-legs wages.csv --as sunrise-bakery        source,destination,amount[,memo]: all of them or none
  icn pay-legs wages.csv --as sunrise-bakery --json
"""


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command("pay", epilog=_PAY_EXAMPLES)(pay)
    app.command("pay-legs", epilog=_LEGS_EXAMPLES)(pay_legs)


def pay(  # noqa: PLR0917 - one parameter per option
    to: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Account that receives.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="In whole units, such as 12.50.")],
    acting: AsOption,
    source: FromOption = None,
    memo: MemoOption = None,
    reference: ReferenceOption = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay: a transfer signed by the acting identity."""
    from icn_client import transactions

    destination = identifier(to, "ACCOUNT", "accounts")
    payer = None if source is None else identifier(source, "--from", "accounts")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    told = Memo(memo)
    word = read_reference(reference)

    async def work(connection: Connection) -> tuple[Any, Any, Any]:
        target = await connection.account(destination)
        unit = await connection.unit(target.leaf.unit)
        minor = positive_minor(amount, unit.scale)
        paying = payer or await only_account(connection, identity.principal, target.leaf.unit)
        memo_hash = await told.seal(connection, paying, destination)
        message = transactions.transfer(paying, destination, minor, memo_hash, word)
        outcome, receipt = await perform_as(connection, identity, [message])
        await told.keep(connection, f"accounts/{paying.hex()}", outcome.height)
        return unit, outcome, posting_of(receipt, paying, destination)

    unit, outcome, posting = with_connection(directory, work)
    shown = {
        "source": posting.account.hex(),
        "destination": destination.hex(),
        "amount_minor": str(-posting.amount_minor),
        "balance_minor": str(posting.balance_minor),
        **told.shown,
    }
    text = f"paid {show_amount(-posting.amount_minor, unit.scale)} {unit.code}, balance now "
    print_done(outcome, as_json, shown, text + show_amount(posting.balance_minor, unit.scale))


def pay_legs(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.csv",
            help="With a header source,destination,amount, and memo where there are some; 2 to 64 rows.",
            readable=False,
        ),
    ],
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay several at once: all of it happens, or nothing. The sources are the acting identity's."""
    import asyncio

    from icn_client.credit import transfer_legs

    rows = _read_rows(file)
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> tuple[Any, Any, Any]:
        legs, units = await _legs(connection, identity.principal, rows)
        for leg, row in zip(legs, rows, strict=True):
            leg.memo_hash = await row.memo.seal(connection, row.source, row.destination)
        outcome, receipt = await perform_as(connection, identity, [transfer_legs(legs)])
        keeping = (row.memo.keep(connection, f"accounts/{row.source.hex()}", outcome.height) for row in rows)
        await asyncio.gather(*keeping)
        return units, outcome, receipt

    units, outcome, receipt = with_connection(directory, work)
    balances = {posting.account: posting.balance_minor for posting in receipt.postings}
    shown = {
        "legs": len(rows),
        "balances": [
            {"account": account.hex(), "unit": units[account].unit.hex(), "balance_minor": str(minor)}
            for account, minor in sorted(balances.items())
            if account in units
        ],
        "memos": [{"line": row.line, **row.memo.shown} for row in rows if row.memo.sealed],
    }
    print_done(outcome, as_json, shown, f"paid {len(rows)} legs")


class _Row(NamedTuple):
    line: int
    source: bytes
    destination: bytes
    amount: str
    """As written."""
    memo: Memo


def _read_rows(file: Path) -> Sequence[_Row]:
    """The rows as they are written. Raises Refused."""
    from icn_machine.limits import LEGS_MAX

    content = read_file(file, LEGS_FILE_BYTES_MAX)
    rows = []
    try:
        reader = csv.reader(content.decode("utf-8-sig").splitlines(), strict=True)
        header = tuple(next(reader, ()))
        if header not in (COLUMNS, (*COLUMNS, MEMO_COLUMN)):
            raise Refused(
                f"{file}: line 1: the header is not {','.join(COLUMNS)}, nor that and {MEMO_COLUMN}",
                "FILE_INVALID",
            )
        for row in reader:
            if not row:
                continue
            where = f"{file}: line {reader.line_num}"
            if len(row) != len(header):
                raise Refused(f"{where}: {len(row)} columns, {len(header)} are expected", "FILE_INVALID")
            source, destination = (
                identifier(cell, f"{where}: {name}", "accounts")
                for name, cell in zip(COLUMNS, row[:2], strict=False)
            )
            memo = Memo("".join(row[3:]) or None, f"{where}: {MEMO_COLUMN}")
            rows.append(_Row(reader.line_num, source, destination, row[2], memo))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused(f"{file}: {error}", "FILE_INVALID") from None
    except UsageError as error:
        raise Refused(str(error), "FILE_INVALID") from None
    if not 2 <= len(rows) <= LEGS_MAX:
        raise Refused(f"{file}: {len(rows)} rows, 2 to {LEGS_MAX} go into one transaction", "FILE_INVALID")
    return rows


async def _legs(
    connection: Connection, principal: bytes, rows: Sequence[_Row]
) -> tuple[Sequence[Any], Mapping[bytes, Any]]:
    """The legs, and the unit of each account that pays. Raises Refused."""
    from icn.ledger.v1.transaction_pb2 import Transfer

    units: dict[bytes, Any] = {}
    legs = []
    seen: dict[tuple[bytes, bytes], int] = {}
    for line, source, destination, amount, _ in rows:
        if source not in units:
            leaf = (await connection.account(source)).leaf
            if leaf.owner != principal:
                raise Refused(
                    f"line {line}: accounts/{source.hex()} is of principals/{leaf.owner.hex()}, the identity "
                    f"is {principal.hex()}",
                    "NOT_ACCOUNT_OWNER",
                )
            units[source] = await connection.unit(leaf.unit)
        if source == destination:
            raise Refused(f"line {line}: pays itself", "FILE_INVALID")
        if (earlier := seen.setdefault((source, destination), line)) != line:
            raise Refused(
                f"line {line}: the same two accounts as line {earlier}; add both up", "FILE_INVALID"
            )
        try:
            minor = positive_minor(amount, units[source].scale, f"line {line}: amount")
        except UsageError as error:
            raise Refused(str(error), "FILE_INVALID") from None
        legs.append(Transfer(source=source, destination=destination, amount_minor=minor))
    return legs, units


def positive_minor(text: str, scale: int, what: str = "AMOUNT") -> int:
    """`amount_minor` of at least one minor unit. Raises UsageError."""
    found = amount_minor(text, scale, what)
    if found < 1:
        raise UsageError(f"{what}: must be more than zero")
    return found


def posting_of(receipt: Any, account: bytes, counter_account: bytes) -> Any:
    """The first posting of a receipt between two accounts, as the first one sees it: demurrage may come
    before it and a fee behind it."""
    return next(
        posting
        for posting in receipt.postings
        if (posting.account, posting.counter_account) == (account, counter_account)
        and posting.kind not in _marked()
    )


def _marked() -> frozenset[int]:
    from icn.ledger.v1 import state_pb2

    return frozenset({state_pb2.POSTING_KIND_FEE, state_pb2.POSTING_KIND_DEMURRAGE})


async def only_account(connection: Connection, owner: bytes, unit: bytes, what: str = "--from") -> bytes:
    """The one open account of an owner in a unit. Raises UsageError."""
    found = [
        account.leaf.account
        async for account in connection.accounts(owner)
        if account.leaf.unit == unit and not account.leaf.terms.is_closed
    ]
    if len(found) != 1:
        raise UsageError(f"{what}: the identity has {len(found)} accounts in the unit, name one")
    return bytes(found[0])
