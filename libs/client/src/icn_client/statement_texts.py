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
from typing import Any, Final, NamedTuple

from icn_machine.entries import Entry

from icn_client.light.statement import (
    Head,
    StatementInvalid,
    Sums,
    kind_name,
    leaf_statement,
    read_entry,
    read_head,
    read_leaf_line,
    read_lines,
    read_opening,
    read_sub_accounts,
    read_unit,
)
from icn_client.opened_memos import MemoKey, payment_of
from icn_client.reversals import Reversals

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
CSV_COLUMNS: Final = (
    *("number", "time", "height", "transaction", "kind", "counter_account", "amount", "balance"),
    *("currency", "reference", "reverses", "memo_hash", "hold"),
)

_BEANCOUNT_ESCAPED: Final = str.maketrans({"\\": "\\\\", '"': '\\"'})
FORMULA_SIGNS: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What spreadsheets take for the begin of a formula; https://owasp.org/www-community/attacks/CSV_Injection."""
SUMS: Final = "sums"
"""A form without entries: what each account opened and closed with, and all of them together."""
SUMS_COLUMNS: Final = ("account", "opening", "debited", "credited", "closing", "entries", "currency")


class Money(NamedTuple):
    """The unit of a statement."""

    code: str
    scale: int

    def text(self, minor: int) -> str:
        """An amount in whole units, with all decimals."""
        return f"{Decimal(minor).scaleb(-self.scale):.{self.scale}f}"


class Piece(NamedTuple):
    """What an account opens with, or an entry of it."""

    head: Head
    money: Money
    account: bytes
    family: frozenset[bytes]
    """All accounts of the statement; empty where it is of one account."""
    entry: Entry | None
    """None for the opening."""
    balance_minor: int
    """After it, or at the opening."""
    reverses: int = 0
    """Number of the account's entry that this one gives back; 0: none."""
    memo: str | None = None
    """Of the entry, empty where it has none that was opened; None where no opened memos were given."""

    @property
    def is_first(self) -> bool:
        """Whether it opens the statement."""
        return self.entry is None and self.account == self.head.account


Memos = Mapping[MemoKey, str]
"""Texts of opened memos (`icn_client.opened_memos.read_opened`)."""


def convert(lines: Iterable[bytes], form: str, memos: Memos | None = None) -> Iterator[str]:
    """The statement's span as text, a piece for what an account opens with and one for each entry.

    Args:
        lines: of a statement; whether it holds is for `verify_statement`.
        form: a key of FORMS, or SUMS.
        memos: written beside the entries that have them.

    Raises:
        StatementInvalid: STATEMENT_MALFORMED.
    """
    if form == SUMS:
        yield from _sums(read_span(lines))
        return
    write = FORMS[form]
    for piece in read_span(lines, memos):
        yield write(piece)


def read_span(lines: Iterable[bytes], memos: Memos | None = None) -> Iterator[Piece]:
    """The statement's span: of each account first what it opens with, then each entry.

    Raises:
        StatementInvalid: STATEMENT_MALFORMED.
    """
    reading = _Span(memos)
    is_whole = False
    for number, members, data in read_lines(lines):
        if number == 1:
            reading.head = read_head(number, members)
        elif "unit_proof" in members:
            leaf = read_unit(number, members)
            reading.money = Money(leaf["code"], leaf["scale"])
        elif "sub_accounts" in members:
            reading.take_sub_accounts(number, members)
        elif "opening_proof" in members:
            reading.balance_minor = int(read_opening(number, members)["balance_minor"])
        elif "opening_leaf" in members:
            opened = read_leaf_line(number, members, "opening_leaf", reading.account(number))
            reading.balance_minor = int(leaf_statement(number, opened)["balance_minor"])
        elif "number" in members:
            yield from reading.take_entry(number, read_entry(number, members, data))
        elif "closing_proof" in members or "closing_leaf" in members:
            yield from reading.take_closing(number)
        is_whole = "signature" in members
    if not is_whole or not reading.is_over:
        raise StatementInvalid("STATEMENT_MALFORMED", 0, "the file ends before the statement does")


class _Span:
    """How far the span of a statement has been read."""

    def __init__(self, memos: Memos | None) -> None:
        self._memos = memos
        self.head: Head | None = None
        self.money: Money | None = None
        self.balance_minor = 0
        self._sub_accounts: tuple[bytes, ...] = ()
        self._family: frozenset[bytes] = frozenset()
        self._reversals = Reversals()
        self._place = 0
        """Of the account that is being read, among all."""
        self._has_begun = False

    @property
    def is_over(self) -> bool:
        """Whether all accounts were read."""
        return self._place > len(self._sub_accounts)

    def account(self, number: int) -> bytes:
        """The one that is being read. Raises StatementInvalid."""
        if self.head is None or self.money is None or self.is_over:
            raise StatementInvalid("STATEMENT_MALFORMED", number, "the line is out of place")
        return self._sub_accounts[self._place - 1] if self._place else self.head.account

    def take_sub_accounts(self, number: int, members: Mapping[str, Any]) -> None:
        """Those that follow the account."""
        self._sub_accounts = read_sub_accounts(number, members)
        self._family = frozenset((self.account(number), *self._sub_accounts))

    def take_entry(self, number: int, entry: Entry) -> Iterator[Piece]:
        """The next entry of the account."""
        account = self.account(number)
        assert self.head is not None, "the account is known"
        reverses = self._reversals.take(entry)
        if self.head.has(entry):
            yield from self._begin(account)
            yield self._piece(account, entry, entry.balance_minor, reverses)
        elif entry.block_time_ms < self.head.from_ms:
            self.balance_minor = entry.balance_minor

    def take_closing(self, number: int) -> Iterator[Piece]:
        """The end of the account."""
        yield from self._begin(self.account(number))
        self._place, self._has_begun, self.balance_minor = self._place + 1, False, 0
        self._reversals = Reversals()

    def _begin(self, account: bytes) -> Iterator[Piece]:
        if not self._has_begun:
            self._has_begun = True
            yield self._piece(account, None, self.balance_minor)

    def _memo(self, account: bytes, entry: Entry | None) -> str:
        assert self._memos is not None, "the caller looks"
        return "" if entry is None else self._memos.get(memo_key(account, entry), "")

    def _piece(self, account: bytes, entry: Entry | None, balance_minor: int, reverses: int = 0) -> Piece:
        assert self.head is not None and self.money is not None, "the account is known"
        memo = None if self._memos is None else self._memo(account, entry)
        return Piece(self.head, self.money, account, self._family, entry, balance_minor, reverses, memo)


def memo_key(account: bytes, entry: Entry) -> MemoKey:
    """What the text of an account's entry is looked up by."""
    payment = payment_of(account, entry.counter_account, entry.amount_minor)
    return MemoKey(entry.memo_hash, payment)


def _time(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def csv_columns(piece: Piece) -> tuple[str, ...]:
    """Names of the columns; whose entry it is where the statement is of several accounts."""
    columns = CSV_COLUMNS if piece.memo is None else (*CSV_COLUMNS, "memo")
    return ("account", *columns) if piece.family else columns


def csv_row(piece: Piece) -> tuple[str, ...]:
    """All that a statement's line has of an entry, in the order of `csv_columns`."""
    entry, money = piece.entry, piece.money
    assert entry is not None, "an opening is no row"
    return (
        *((piece.account.hex(),) if piece.family else ()),
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
        str(piece.reverses or ""),
        entry.memo_hash.hex(),
        entry.hold.hex(),
        *(() if piece.memo is None else (_cell(piece.memo),)),
    )


def _cell(memo: str) -> str:
    """A text that no spreadsheet takes for a formula: who wrote it is somebody else."""
    text = one_line(memo)
    return f"'{text}" if text.lstrip()[:1] in FORMULA_SIGNS else text


def _csv_line(*cells: str) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue()


def _csv(piece: Piece) -> str:
    if piece.entry is None:
        return _csv_line(*csv_columns(piece)) if piece.is_first else ""
    return _csv_line(*csv_row(piece))


def _sums(pieces: Iterable[Piece]) -> Iterator[str]:
    """One row per account, then all of them together."""
    found: dict[bytes, Sums] = {}
    total = Sums()
    for piece in pieces:
        if piece.entry is None:
            found[piece.account] = Sums(piece.balance_minor, piece.balance_minor)
        else:
            found[piece.account].add(piece.head, piece.entry)
    yield _csv_line(*SUMS_COLUMNS)
    for account, sums in found.items():
        total.merge(sums)
        yield _sums_row(account.hex(), sums, piece.money)
    yield _sums_row("total", total, piece.money)


def _sums_row(name: str, sums: Sums, money: Money) -> str:
    amounts = (sums.opening_minor, sums.debited_minor, sums.credited_minor, sums.closing_minor)
    return _csv_line(name, *map(money.text, amounts), str(sums.entries), money.code)


def one_line(memo: str) -> str:
    """Without line ends and other control characters: who wrote it is somebody else."""
    return "".join(one if one.isprintable() else " " for one in memo)


def _currency(money: Money) -> str:
    """As Beancount allows: it begins with a letter and ends with a letter or a digit."""
    return f"ICN-{money.code}_X" if money.code.endswith("-") else f"ICN-{money.code}"


def _beancount(piece: Piece) -> str:
    head, money, account, family, entry, balance_minor, reverses, memo = piece
    currency, own = _currency(money), f"Assets:ICN:A{account.hex().upper()}"
    if entry is None:
        opened = _time(head.from_ms).date().isoformat()
        plugin = 'plugin "beancount.plugins.auto_accounts"\n\n' if piece.is_first else ""
        text = f"{plugin}{opened} open {own} {currency}\n"
        if balance_minor:
            text += f'{opened} * "ICN" "Opening balance"\n'
            text += f"  {own}  {money.text(balance_minor)} {currency}\n"
            text += f"  Equity:ICN:Opening  {money.text(-balance_minor)} {currency}\n"
        return text + "\n"
    day = _time(entry.block_time_ms).date().isoformat()
    between = "Between:" if entry.counter_account in family else ""
    other = f"Equity:ICN:{between}A{entry.counter_account.hex().upper()}"
    reference = f'  reference: "{entry.reference.hex()}"\n' if entry.reference else ""
    reference += f"  reverses: {reverses}\n" if reverses else ""
    reference += f'  memo: "{one_line(memo).translate(_BEANCOUNT_ESCAPED)}"\n' if memo else ""
    return (
        f'{day} * "ICN" "{kind_name(entry.kind)}"\n'
        f'  number: {entry.number}\n  transaction: "{entry.transaction_id.hex()}"\n{reference}'
        f"  {own}  {money.text(entry.amount_minor)} {currency}\n"
        f"  {other}  {money.text(-entry.amount_minor)} {currency}\n\n"
    )


def _hledger(piece: Piece) -> str:
    head, money, account, family, entry, balance_minor, reverses, memo = piece
    own = f"assets:icn:{account.hex()}"
    if entry is None:
        commodity = f'commodity 1000{money.text(0)[1:] if money.scale else "."} "{money.code}"\n\n'
        opening = commodity if piece.is_first else ""
        if not balance_minor:
            return opening
        return opening + (
            f"{_time(head.from_ms).date().isoformat()} opening balance\n"
            f'    {own}  {money.text(balance_minor)} "{money.code}"\n    equity:icn:opening\n\n'
        )
    reference = f", reference:{entry.reference.hex()}" if entry.reference else ""
    reference += f", reverses:{reverses}" if reverses else ""
    between = "between:" if entry.counter_account in family else ""
    told = f"    ; {one_line(memo).replace(':', ' :')}\n" if memo else ""  # a word before a colon is a tag
    return (
        f"{_time(entry.block_time_ms).date().isoformat()} {kind_name(entry.kind)}"
        f"  ; number:{entry.number}, transaction:{entry.transaction_id.hex()}{reference}\n{told}"
        f'    {own}  {money.text(entry.amount_minor)} "{money.code}" = {money.text(entry.balance_minor)} '
        f'"{money.code}"\n'
        f"    equity:icn:{between}{entry.counter_account.hex()}\n\n"
    )


FORMS: Final[Mapping[str, Callable[[Piece], str]]] = {
    "csv": _csv,
    "beancount": _beancount,
    "hledger": _hledger,
}
"""What the entries of a statement can be converted to, piece by piece."""
