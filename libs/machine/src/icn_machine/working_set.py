"""The records of one block while it is executed: as loaded, as they are now, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from icn_chain.validator_set import ValidatorSet

from icn_machine.events import NO_TRANSACTION, Event
from icn_machine.records import Namespace, RecordTables


class WorkingSet:
    """Records loaded for a block and the changes to them.

    Reading a record that was not loaded is a KeyError, our bug: `touched` names all a block may need.
    """

    def __init__(
        self, loaded: RecordTables, validator_sets: Mapping[bytes, ValidatorSet] | None = None
    ) -> None:
        self.loaded = loaded
        self.now = loaded.copy()
        self.validator_sets = dict(validator_sets or {})
        """By hash: the one in force, those that are pending, and those that the block makes. One that was
        taken back does no harm: nothing names it."""
        self.events: list[Event] = []
        self._journal: list[tuple[dict[bytes, Any], bytes, Any]] = []
        self._events_before = 0
        self._origins: list[tuple[int, int]] = []
        """(number of events before it, transaction's position in the block), ascending."""

    def add_loaded(self, records: RecordTables) -> None:
        """Take in records that were loaded later; those that are here already stay as they are."""
        for namespace, added in records.filled():
            loaded, now = self.loaded.table(namespace), self.now.table(namespace)
            for identifier, record in added.items():
                if identifier not in loaded:
                    loaded[identifier] = now[identifier] = record

    def note_absent(self, namespace: Namespace, identifier: bytes) -> None:
        """Take in that there is no such record, which was not loaded by its name."""
        self.loaded.table(namespace)[identifier] = self.now.table(namespace)[identifier] = None

    def begin(self, transaction_index: int = NO_TRANSACTION) -> None:
        """From here on, `rollback` takes back; what happens is of this transaction."""
        self._journal.clear()
        self._events_before = len(self.events)
        self._origins.append((self._events_before, transaction_index))

    def origins(self) -> list[int]:
        """Per event the position of its transaction in the block, or NO_TRANSACTION."""
        found: list[int] = []
        for (start, origin), (end, _) in zip(
            self._origins, [*self._origins[1:], (len(self.events), 0)], strict=True
        ):
            found += [origin] * (end - start)
        return [NO_TRANSACTION] * (len(self.events) - len(found)) + found

    def rollback(self) -> None:
        """Undo every change and event since `begin`."""
        for table, identifier, record in reversed(self._journal):
            table[identifier] = record
        self._journal.clear()
        del self.events[self._events_before :]

    def put(self, table: dict[bytes, Any], identifier: bytes, record: object) -> None:
        """Set a record of one of the tables of ``now``; None removes it."""
        self._journal.append((table, identifier, table[identifier]))
        table[identifier] = record

    def changes(self) -> RecordTables:
        """Records that are another object than was loaded, None for those that went."""
        changed = RecordTables()
        for namespace, after in self.now.filled():
            before = self.loaded.table(namespace)
            changed.table(namespace).update(
                {
                    identifier: record
                    for identifier, record in after.items()
                    if record is not before[identifier]
                }
            )
        return changed
