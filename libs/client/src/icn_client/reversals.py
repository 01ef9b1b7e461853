"""Which entries of an account give back what others moved. Pure.

Source: docs/spec/ledger.md, "Memo and reference" and "Statements".
"""

from __future__ import annotations

from collections import deque
from typing import Final

from icn_machine.entries import Entry, PostingKind
from icn_machine.limits import REFERENCE_BYTES_MAX

REVERSIBLE_ENTRIES_MAX: Final = 65_536
"""How many entries back one is looked for: some 30 MB, and years of a busy shop."""


class Reversals:
    """Reads the entries of one account in their order."""

    def __init__(self, entries_max: int = REVERSIBLE_ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._recent: deque[tuple[bytes, int]] = deque()
        """By transaction and other account, and the number."""
        self._open: dict[bytes, dict[int, int]] = {}
        """Amounts that were not reversed, minor units, by number, of a transaction with another account."""

    def take(self, entry: Entry) -> int:
        """The number of the entry that the next one reverses; 0 where it is no reversal."""
        reversed_number = self._reversed_by(entry)
        if entry.transaction_id:
            key = entry.transaction_id + entry.counter_account
            self._open.setdefault(key, {})[entry.number] = entry.amount_minor
            self._recent.append((key, entry.number))
            if len(self._recent) > self._entries_max:
                self._close(*self._recent.popleft())
        return reversed_number

    def _reversed_by(self, entry: Entry) -> int:
        if entry.kind != PostingKind.TRANSFER or not entry.reference:
            return 0
        # A reference is told without zeros at its end, and so is an id that has some there.
        key = entry.reference.ljust(REFERENCE_BYTES_MAX, b"\0") + entry.counter_account
        for number, amount_minor in self._open.get(key, {}).items():
            is_other_way = (amount_minor < 0) != (entry.amount_minor < 0)
            if is_other_way and abs(amount_minor) >= abs(entry.amount_minor):
                self._close(key, number)
                return number
        return 0

    def _close(self, key: bytes, number: int) -> None:
        """Nothing reverses that entry any more."""
        amounts = self._open.get(key, {})
        amounts.pop(number, None)
        if not amounts:
            self._open.pop(key, None)
