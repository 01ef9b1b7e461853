"""What the store remembers of the newest state, bounded. Losing it costs time, never another answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from icn_ledger.domain.records import Allowance, Controller, Namespace, Record, RecordTables

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

    def touch(self, key: Key) -> Value:
        """The value, from now on the most recently used. KeyError when it is not there."""
        value = self._entries.pop(key)
        self._entries[key] = value
        return value

    def put(self, key: Key, value: Value) -> None:
        """Remember a value, forgetting the oldest when full."""
        self._entries.pop(key, None)
        self._entries[key] = value
        if len(self._entries) > self._count_max:
            del self._entries[next(iter(self._entries))]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


class RecordCache:
    """The newest version of records, absence included."""

    def __init__(self, count_max: int = RECORDS_MAX) -> None:
        self._tables: dict[Namespace, LeastRecentlyUsed[bytes, Record | None]] = {
            namespace: LeastRecentlyUsed(count_max) for namespace in Namespace
        }

    def take(
        self, namespace: Namespace, identifiers: Iterable[bytes], found: dict[bytes, Any]
    ) -> list[bytes]:
        """Put what is known into ``found``; the answer is what is not."""
        table = self._tables[namespace]
        missing = []
        for identifier in identifiers:
            if identifier in table:
                found[identifier] = table.touch(identifier)
            else:
                missing.append(identifier)
        return missing

    def put(self, records: RecordTables) -> None:
        """Remember records of the newest state."""
        for namespace in Namespace:
            table = self._tables[namespace]
            for identifier, record in records.table(namespace).items():
                table.put(identifier, record)

    def clear(self) -> None:
        """Forget everything."""
        for table in self._tables.values():
            table.clear()


class PageCache:
    """The newest version of pages of the state tree, absence included."""

    def __init__(self, count_max: int = PAGES_MAX) -> None:
        self._pages: LeastRecentlyUsed[bytes, bytes | None] = LeastRecentlyUsed(count_max)

    def take(self, prefixes: Iterable[bytes], found: dict[bytes, bytes | None]) -> list[bytes]:
        """Put what is known into ``found``; the answer is what is not."""
        missing = []
        for prefix in prefixes:
            if prefix in self._pages:
                found[prefix] = self._pages.touch(prefix)
            else:
                missing.append(prefix)
        return missing

    def put(self, pages: Mapping[bytes, bytes | None]) -> None:
        """Remember pages of the newest state."""
        for prefix, page in pages.items():
            self._pages.put(prefix, page)

    def clear(self) -> None:
        """Forget everything."""
        self._pages.clear()


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
