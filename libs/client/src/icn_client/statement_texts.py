"""A statement as other programs of bookkeeping read it: CSV, Beancount, hledger. Pure.

Source: docs/spec/ledger.md, "Statements"; https://beancount.github.io/docs/beancount_language_syntax.html;
https://hledger.org/hledger.html.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from icn_machine.entries import Entry

from icn_client.light.statement import (
    Head,
    StatementInvalid,
    kind_name,
    read_entry,
    read_head,
    read_lines,
    read_opening,
    read_unit,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
CSV_COLUMNS: Final = (
    *("number", "time", "height", "transaction", "kind", "counter_account", "amount", "balance"),
    *("currency", "reference", "memo_hash", "hold"),
)


class Money(NamedTuple):
    """The unit of a statement."""

    code: str
    scale: int

    def text(self, minor: int) -> str:
        """An amount in whole units, with all decimals."""
        return f"{Decimal(minor).scaleb(-self.scale):.{self.scale}f}"


def convert(lines: Iterable[bytes], form: str) -> Iterator[str]:
    """The statement's span as text, a piece for what it opens with and one for each entry.

    Args:
        lines: of a statement; whether it holds is for `verify_statement`.
        form: a key of FORMS.

    Raises:
        StatementInvalid: STATEMENT_MALFORMED.
    """
    write = FORMS[form]
    for head, money, entry, balance_minor in read_span(lines):
        yield write(head, money, entry, balance_minor)


def read_span(lines: Iterable[bytes]) -> Iterator[tuple[Head, Money, Entry | None, int]]:
    """The statement's span: first no entry and what it opens with, then each entry and the balance after it.

    Raises:
        StatementInvalid: STATEMENT_MALFORMED.
    """
    head: Head | None = None
    money: Money | None = None
    is_whole = False
    has_begun = False
    balance_minor = 0
    for number, members, data in read_lines(lines):
        if number == 1:
            head = read_head(number, members)
        elif "unit_proof" in members:
            leaf = read_unit(number, members)
            money = Money(leaf["code"], leaf["scale"])
        elif "opening_proof" in members:
            balance_minor = int(read_opening(number, members)["balance_minor"])
        elif "number" in members:
            if head is None or money is None:
                raise StatementInvalid("STATEMENT_MALFORMED", number, "an entry is out of place")
            entry = read_entry(number, members, data)
            if head.from_ms <= entry.block_time_ms < head.until_ms:
                if not has_begun:
                    yield head, money, None, balance_minor
                    has_begun = True
                yield head, money, entry, entry.balance_minor
            balance_minor = balance_minor if entry.block_time_ms >= head.until_ms else entry.balance_minor
        is_whole = "signature" in members
    if head is None or money is None or not is_whole:
        raise StatementInvalid("STATEMENT_MALFORMED", 0, "the file ends before the statement does")
    if not has_begun:
        yield head, money, None, balance_minor


def _time(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def csv_row(money: Money, entry: Entry) -> tuple[str, ...]:
    """All that a statement's line has of an entry, in the order of CSV_COLUMNS."""
    return (
        str(entry.number),
        _time(entry.block_time_ms).isoformat(timespec="milliseconds"),
        str(entry.height),
        entry.transaction_id.hex(),
        kind_name(entry.kind),
        entry.counter_account.hex(),
        money.text(entry.amount_minor),
        money.text(entry.balance_minor),
        money.code,
        entry.reference.hex(),
        entry.memo_hash.hex(),
        entry.hold.hex(),
    )


def _csv(_head: Head, money: Money, entry: Entry | None, _balance_minor: int) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(CSV_COLUMNS if entry is None else csv_row(money, entry))
    return written.getvalue()


def _currency(money: Money) -> str:
    """As Beancount allows: it begins with a letter and ends with a letter or a digit."""
    return f"ICN-{money.code}_X" if money.code.endswith("-") else f"ICN-{money.code}"


def _beancount(head: Head, money: Money, entry: Entry | None, balance_minor: int) -> str:
    currency, own = _currency(money), f"Assets:ICN:A{head.account.hex().upper()}"
    if entry is None:
        opened = _time(head.from_ms).date().isoformat()
        text = f'plugin "beancount.plugins.auto_accounts"\n\n{opened} open {own} {currency}\n'
        if balance_minor:
            text += f'{opened} * "ICN" "Opening balance"\n'
            text += f"  {own}  {money.text(balance_minor)} {currency}\n"
            text += f"  Equity:ICN:Opening  {money.text(-balance_minor)} {currency}\n"
        return text + "\n"
    day = _time(entry.block_time_ms).date().isoformat()
    other = f"Equity:ICN:A{entry.counter_account.hex().upper()}"
    reference = f'  reference: "{entry.reference.hex()}"\n' if entry.reference else ""
    return (
        f'{day} * "ICN" "{kind_name(entry.kind)}"\n'
        f'  number: {entry.number}\n  transaction: "{entry.transaction_id.hex()}"\n{reference}'
        f"  {own}  {money.text(entry.amount_minor)} {currency}\n"
        f"  {other}  {money.text(-entry.amount_minor)} {currency}\n\n"
    )


def _hledger(head: Head, money: Money, entry: Entry | None, balance_minor: int) -> str:
    own = f"assets:icn:{head.account.hex()}"
    if entry is None:
        commodity = f'commodity 1000{money.text(0)[1:] if money.scale else "."} "{money.code}"\n\n'
        if not balance_minor:
            return commodity
        return commodity + (
            f"{_time(head.from_ms).date().isoformat()} opening balance\n"
            f'    {own}  {money.text(balance_minor)} "{money.code}"\n    equity:icn:opening\n\n'
        )
    reference = f", reference:{entry.reference.hex()}" if entry.reference else ""
    return (
        f"{_time(entry.block_time_ms).date().isoformat()} {kind_name(entry.kind)}"
        f"  ; number:{entry.number}, transaction:{entry.transaction_id.hex()}{reference}\n"
        f'    {own}  {money.text(entry.amount_minor)} "{money.code}" = {money.text(entry.balance_minor)} '
        f'"{money.code}"\n'
        f"    equity:icn:{entry.counter_account.hex()}\n\n"
    )


Write = Callable[[Head, Money, "Entry | None", int], str]
FORMS: Final[Mapping[str, Write]] = {"csv": _csv, "beancount": _beancount, "hledger": _hledger}
"""What a statement can be converted to. Each is asked first without an entry, with the opening balance."""
