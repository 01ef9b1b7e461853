"""What the store remembers of the newest state, bounded. Losing it costs time, never another answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from icn_machine.records import Allowance, Controller, Namespace, Record, RecordTables

RECORDS_MAX = 20_000
"""Per namespace: about 30 MB in all, every account and controller of a federation of 20,000 members."""
PAGES_MAX = 16_384
"""About 16 MB; the pages of about 50,000 leaves."""
RECENT_HEIGHTS = 16
"""A branch's executed height seldom lies more than two behind; this allows for a slow voter."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class LeastRecentlyUsed(Generic[Key, Value]):
    """A dictionary that forgets what was untouched for longest once it holds more than ``count_max``."""

    def __init__(self, count_max: int) -> None:
        self._entries: dict[Key, Value] = {}
        self._count_max = count_max

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    @property
    def entries(self) -> Mapping[Key, Value]:
        """All that is remembered."""
        return self._entries

    def touch(self, key: Key) -> Value:
        """The value, from now on the most recently used. KeyError when it is not there."""
        value = self._entries.pop(key)
        self._entries[key] = value
        return value

    def put(self, key: Key, value: Value) -> None:
        """Remember a value, forgetting the oldest when full."""
        self.put_all({key: value})

    def put_all(self, values: Mapping[Key, Value]) -> None:
        """Remember values, the last as the most recently used."""
        entries = self._entries
        for key, value in values.items():
            entries.pop(key, None)
            entries[key] = value
        while len(entries) > self._count_max:
            del entries[next(iter(entries))]

    def take(self, keys: Iterable[Key], found: dict[Key, Value]) -> list[Key]:
        """Put what is known into ``found``, touching it; the answer is what is not known."""
        entries = self._entries
        missing = []
        for key in keys:
            if key in entries:
                found[key] = entries[key] = entries.pop(key)
            else:
                missing.append(key)
        return missing

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


_NOT_CACHED = frozenset({Namespace.CODE, Namespace.CONTRACT_ENTRY})

PageCache = LeastRecentlyUsed[bytes, bytes | None]
"""The newest version of pages of the state tree by prefix, absence included; PAGES_MAX of them."""


class RecordCache:
    """The newest version of records, absence included. Code and storage of contracts, up to
    64 KiB a record, are not kept."""

    def __init__(self, count_max: int = RECORDS_MAX) -> None:
        self._tables: dict[Namespace, LeastRecentlyUsed[bytes, Record | None]] = {
            namespace: LeastRecentlyUsed(0 if namespace in _NOT_CACHED else count_max)
            for namespace in Namespace
        }

    def take(
        self, namespace: Namespace, identifiers: Iterable[bytes], found: dict[bytes, Any]
    ) -> list[bytes]:
        """Put what is known into ``found``; the answer is what is not."""
        return self._tables[namespace].take(identifiers, found)

    def put(self, records: RecordTables) -> None:
        """Remember records of the newest state."""
        for namespace, table in records.filled():
            self._tables[namespace].put_all(table)

    def clear(self) -> None:
        """Forget everything."""
        for table in self._tables.values():
            table.clear()


class RecentChanges:
    """What controllers and allowances were before each of the last heights changed them."""

    def __init__(self, heights: int = RECENT_HEIGHTS) -> None:
        self._before: deque[tuple[int, dict[bytes, Controller | None], dict[bytes, Allowance | None]]] = (
            deque(maxlen=heights)
        )

    def add(
        self,
        height: int,
        controllers: dict[bytes, Controller | None],
        allowances: dict[bytes, Allowance | None],
    ) -> None:
        """Remember what the records that ``height`` changed were before it."""
        self._before.append((height, controllers, allowances))

    def reaches(self, height: int, newest: int) -> bool:
        """Whether records as after ``height`` can be worked out from those after ``newest``."""
        return height == newest or bool(self._before and self._before[0][0] <= height + 1)

    def rewind(
        self,
        height: int,
        controllers: dict[bytes, Controller | None],
        allowances: dict[bytes, Allowance | None],
    ) -> None:
        """Turn newest records into those after ``height``, in place."""
        for changed_at, old_controllers, old_allowances in reversed(self._before):
            if changed_at <= height:
                return
            _replace(controllers, old_controllers)
            _replace(allowances, old_allowances)

    def clear(self) -> None:
        """Forget everything."""
        self._before.clear()


def _replace(records: dict[bytes, Any], before: dict[bytes, Any]) -> None:
    for identifier in records.keys() & before.keys():
        records[identifier] = before[identifier]
