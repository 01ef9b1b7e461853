"""The digests that close periods, recomputed: each is of balances that are long gone when it comes.

So the archive is looked through for closings first, by their bytes, and at each end that was noted the digest
is made as the chain passes it. Neither history nor old balances are kept.

Source: docs/spec/audit.md, "Periods".
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from icn.audit.v1.archive_pb2 import ArchivedBlock
from icn.consensus.v1.block_pb2 import Block
from icn_chain.envelope import TRANSACTION_BYTES_MAX
from icn_chain.trial_balance import trial_balance_digest
from icn_crypto.wire import MalformedBytes
from icn_machine.credit_messages import ClosePeriod
from icn_machine.events import PeriodClosed
from icn_machine.messages import EnactDecision
from icn_machine.parsing import parse_transaction
from icn_machine.records import RecordTables
from icn_machine.refusals import Malformed

from icn_audit.archive import Kind, read_fields, read_frames
from icn_audit.divergence import Diverged

NOTES_MAX: Final = 65_536
"""A thousand units that close every month for five years; some 20 MB with their digests."""
FINDINGS_MAX: Final = 1_000

_CLOSING: Final = re.compile(
    rb"\x0a\x10.{16}"  # ClosePeriod.unit
    rb"(?:\x10[\x80-\xff]{0,9}[\x00-\x7f])?"  # end_time_ms, absent for 0
    rb"\x1a\x20",  # digest
    re.DOTALL,
)
"""In every closing, whatever it is part of; what else looks alike is parsed in vain."""


@dataclass(slots=True)
class WrongDigest:
    """A period was closed with another digest than that of its unit's books."""

    height: int
    unit: bytes
    end_time_ms: int
    expected: bytes
    found: bytes
    corrected_at: int = 0
    """Height at which the same end was closed with the right one; 0: nowhere."""


@dataclass(slots=True)
class PeriodFindings:
    """What came of the closings that took effect."""

    closed: int = 0
    not_recomputed: int = 0
    """Whose ends were not noted."""
    wrong: int = 0
    kept: list[WrongDigest] = field(default_factory=list)
    """The first FINDINGS_MAX of the wrong ones."""


class Note(NamedTuple):
    """That somebody means to close a period."""

    end_time_ms: int
    unit: bytes
    acting: bytes
    """Principal or authority."""


def note_ends(read: Callable[[int], bytes], genesis_hash: bytes) -> list[Note]:
    """The ends of periods that an archive speaks of, ascending, up to where it is damaged.

    After NOTES_MAX of them nothing more is looked for.

    Args:
        read: gives the next bytes of the file, as many as asked for unless it ends.
        genesis_hash: of the zone.
    """
    notes: set[Note] = set()
    try:
        for data in _closing_transactions(read):
            notes.update(_notes_of(data, genesis_hash))
            if len(notes) >= NOTES_MAX:
                break
    except (Diverged, MalformedBytes):
        pass  # whoever verifies comes to the same place, and names it
    return sorted(notes)[:NOTES_MAX]


def _closing_transactions(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Transactions whose bytes look as if they closed a period."""
    search = _CLOSING.search
    for _, kind, content in read_frames(read):
        if kind > Kind.BLOCKS:
            return
        if kind is not Kind.BLOCKS or not search(content):
            continue
        for _, *of_archived in read_fields(content, 0, len(content)):
            if not search(content, *of_archived):
                continue
            for number, *of_block in read_fields(content, *of_archived):
                if number != ArchivedBlock.BLOCK_FIELD_NUMBER:
                    continue
                for number_in_block, start, stop in read_fields(content, *of_block):
                    if (
                        number_in_block == Block.TRANSACTIONS_FIELD_NUMBER
                        and stop - start <= TRANSACTION_BYTES_MAX
                        and search(content, start, stop)
                    ):
                        yield content[start:stop]


def _notes_of(data: bytes, genesis_hash: bytes) -> Iterator[Note]:
    try:
        transaction = parse_transaction(data, genesis_hash)
    except Malformed:
        return
    for message in transaction.messages:
        match message:
            case ClosePeriod():
                yield Note(message.end_time_ms, message.unit, transaction.principal)
            case EnactDecision():
                for action in message.actions:
                    if isinstance(action, ClosePeriod):
                        yield Note(action.end_time_ms, action.unit, message.authority)


class PeriodCheck:
    """Compares the closings of a chain that is executed again with the books of then."""

    def __init__(self, genesis_hash: bytes, notes: Iterable[Note]) -> None:
        """``notes``: ascending."""
        self._genesis_hash = genesis_hash
        self._waiting = deque(notes)
        self._digests: dict[tuple[bytes, int], bytes] = {}
        """By unit and end, of those the chain has passed."""
        self.findings = PeriodFindings()

    def pass_to(self, time_ms: int, records: RecordTables) -> None:
        """Make the digests of all ends at or before the time of the next block, of the state it finds."""
        waiting, passed = self._waiting, []
        while waiting and waiting[0].end_time_ms <= time_ms:
            note = waiting.popleft()
            unit = records.units.get(note.unit)
            if unit is None or unit.authority == note.acting:
                passed.append(note)
        if passed:
            books = _books({note.unit for note in passed}, records)
            made = {
                unit: trial_balance_digest(self._genesis_hash, balances) for unit, balances in books.items()
            }
            self._digests.update({(note.unit, note.end_time_ms): made[note.unit] for note in passed})

    def take(self, closing: PeriodClosed) -> None:
        """Compare the digest of a closing that took effect."""
        findings, unit, period = self.findings, closing.unit, closing.period
        findings.closed += 1
        expected = self._digests.get((unit, period.end_time_ms))
        if expected is None:
            findings.not_recomputed += 1
        elif expected == period.digest:
            for wrong in findings.kept:
                if (wrong.unit, wrong.end_time_ms) == (unit, period.end_time_ms) and not wrong.corrected_at:
                    wrong.corrected_at = period.height
        else:
            findings.wrong += 1
            if len(findings.kept) < FINDINGS_MAX:
                findings.kept.append(
                    WrongDigest(period.height, unit, period.end_time_ms, expected, period.digest)
                )


def _books(units: set[bytes], records: RecordTables) -> dict[bytes, dict[bytes, int]]:
    """Balances of the units' accounts with entries, by account."""
    books: dict[bytes, dict[bytes, int]] = {unit: {} for unit in units}
    for identifier, account in records.accounts.items():
        if account is not None and account.entries and account.unit in books:
            books[account.unit][identifier] = account.balance_minor
    return books
