"""Decides which row of a replay is sent when: pure, so that its promises can be tested without a platform.

A party with a floor of zero can be refused when its row overtakes the row that funds it. The rules here make
sure that a refusal never costs a row that the file's own order would have paid for:

- rows are taken in file order; a row of a party with an earlier row held back waits behind it;
- a row goes out at once when the balance known from receipts, less what is under way, covers it, or when
  nothing else of its party is under way (then it may overtake its funding, and be refused);
- a refused row goes out again, as a new transaction, once its refusal is final and the known balance covers
  it;
- when nothing is under way and nothing can be sent, the earliest row held back is given up.

So whatever a party spends was covered together with all its earlier rows, and the earliest unsettled row of
the file can always be paid from what the file has given its party so far.

Source: docs/replay.md.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from icn_client.replay_file import Row


@dataclass(slots=True)
class _Party:
    has_floor: bool
    known_minor: int = 0
    """Balance by the receipts seen so far."""
    under_way_minor: int = 0
    """What rows sent and not settled would take."""
    under_way: int = 0
    held: deque[Row] = field(default_factory=deque)
    """Rows that wait, in file order."""


class Schedule:
    """The rows of one replay and what is known of them."""

    def __init__(self, rows: Sequence[Row], parties: int, issuers: Collection[int]) -> None:
        self._rows = rows
        self._next = 0
        self._parties = [_Party(has_floor=index not in issuers) for index in range(parties)]
        self._ready: deque[Row] = deque()
        self._refused_rows: set[int] = set()
        self._under_way = 0
        self._held_numbers: set[int] = set()
        self._held_heap: list[tuple[int, int]] = []
        """Number and source of every row that was ever held; those no longer held are skipped when they come
        up.
        """
        self.committed = 0
        self.given_up: list[Row] = []
        """Rows that nothing could fund, or that move nothing."""
        self.retries = 0
        """Rows sent again after a final refusal."""

    @property
    def is_done(self) -> bool:
        """Whether every row is committed or given up."""
        return self.committed + len(self.given_up) == len(self._rows)

    @property
    def settled(self) -> int:
        """Rows committed or given up."""
        return self.committed + len(self.given_up)

    def next_row(self) -> Row | None:
        """A row to send now; None when there is none before the next outcome, or at all."""
        while True:
            if self._ready:
                return self._ready.popleft()
            row = self._next_of_file()
            if row is not None:
                self._reserve(row)
                return row
            if self._under_way or self.is_done:
                return None
            self._give_up_earliest()

    def committed_row(self, row: Row) -> None:
        """A receipt says that the row took effect."""
        self._landed(row)
        self.committed += 1
        self._parties[row.source].known_minor -= row.amount_minor
        target = self._parties[row.target]
        target.known_minor += row.amount_minor
        self._release(self._parties[row.source])
        self._release(target)

    def refused_row(self, row: Row) -> None:
        """A receipt says that the row's party had too little; the row waits for funds."""
        self._landed(row)
        self._refused_rows.add(row.number)
        party = self._parties[row.source]
        party.held.appendleft(row)
        if len(party.held) > 1 and party.held[1].number < row.number:
            # A later row of the party was refused first: rows of one party wait in file order.
            party.held = deque(sorted(party.held, key=lambda held: held.number))
        self._note_held(row)
        self._release(party)

    def impossible_row(self, row: Row) -> None:
        """A receipt says that the row cannot take effect whatever the funds."""
        self._landed(row)
        self.given_up.append(row)
        self._release(self._parties[row.source])

    @property
    def held(self) -> int:
        """Rows that wait for funds."""
        return len(self._held_numbers)

    def _reserve(self, row: Row) -> None:
        party = self._parties[row.source]
        party.under_way += 1
        party.under_way_minor += row.amount_minor
        self._under_way += 1

    def _landed(self, row: Row) -> None:
        party = self._parties[row.source]
        party.under_way -= 1
        party.under_way_minor -= row.amount_minor
        self._under_way -= 1

    def _covers(self, party: _Party, row: Row) -> bool:
        return party.known_minor - party.under_way_minor >= row.amount_minor

    def _next_of_file(self) -> Row | None:
        while self._next < len(self._rows):
            row = self._rows[self._next]
            self._next += 1
            if row.moves_nothing:
                self.given_up.append(row)  # the ledger has no such transfer
                continue
            party = self._parties[row.source]
            if not party.has_floor:
                return row
            if not party.held and (self._covers(party, row) or not party.under_way):
                return row
            party.held.append(row)
            self._note_held(row)
        return None

    def _note_held(self, row: Row) -> None:
        self._held_numbers.add(row.number)
        heapq.heappush(self._held_heap, (row.number, row.source))

    def _release(self, party: _Party) -> None:
        """Make ready what the party's known balance covers, in file order, and what has never been tried."""
        while party.held:
            row = party.held[0]
            is_untried = row.number not in self._refused_rows
            if not (self._covers(party, row) or (is_untried and not party.under_way)):
                return
            self._unhold(party)
            self.retries += not is_untried
            self._reserve(row)  # so that the next row held is judged by what is left
            self._ready.append(row)

    def _unhold(self, party: _Party) -> Row:
        row = party.held.popleft()
        self._held_numbers.remove(row.number)
        return row

    def _give_up_earliest(self) -> None:
        while True:
            number, source = heapq.heappop(self._held_heap)
            if number in self._held_numbers:
                break
        party = self._parties[source]
        assert party.held[0].number == number, "a party's rows wait in file order"
        self.given_up.append(self._unhold(party))
        self._release(party)
