"""A contract's storage while a block runs."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping

from icn_wasm.storage import Pair, Write


class KeptStorage:
    """All of it in memory; what `icn_wasm.storage.StorageView` asks for.

    Keys are kept in order: an iterator must cost what its gas pays for, however large the storage.
    """

    def __init__(self, entries: Mapping[bytes, bytes]) -> None:
        self._values = dict(entries)
        self._keys = sorted(self._values)

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, key: bytes) -> bytes | None:
        """The value, None where there is none."""
        return self._values.get(key)

    def scan(self, start: bytes | None, end: bytes | None, is_descending: bool) -> Iterator[Pair]:
        """Pairs with start ≤ key < end in the order of their bytes."""
        first = 0 if start is None else bisect_left(self._keys, start)
        last = len(self._keys) if end is None else bisect_left(self._keys, end)
        places = range(last - 1, first - 1, -1) if is_descending else range(first, last)
        for place in places:
            key = self._keys[place]
            yield key, self._values[key]

    def apply(self, writes: Iterable[Write]) -> None:
        """Take over what a call left. No iterator may be in use."""
        for write in writes:
            is_there = write.key in self._values
            if write.value is None:
                if is_there:
                    del self._values[write.key]
                    del self._keys[bisect_left(self._keys, write.key)]
                continue
            self._values[write.key] = write.value
            if not is_there:
                insort(self._keys, write.key)
