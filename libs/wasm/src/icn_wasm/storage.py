"""What a call reads and what it leaves behind.

A call never writes: it reads through a view of the state before it and leaves a write-set, which its caller
applies or forgets.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from icn_wasm import limits
from icn_wasm.refusals import Stopped, StopReason

Pair = tuple[bytes, bytes]


class KeyUndeclared(LookupError):
    """A view raises this for a key that the transaction did not declare; the call stops."""


class Balances(Protocol):
    """What a call may see of accounts on the ledger: what its transaction declares, and nothing else."""

    def get(self, account: tuple[str, str], /) -> int | None:
        """What the owner could spend of the unit, (owner, unit) given; None where it was not declared."""
        ...


class StorageView(Protocol):
    """One contract's storage before the call. It does not change while the call runs.

    A view may record what is read, and raise `KeyUndeclared`; anything else it raises ends the engine's work.
    """

    def get(self, key: bytes) -> bytes | None:
        """The value, None where there is none."""
        ...

    def scan(self, start: bytes | None, end: bytes | None, is_descending: bool) -> Iterator[Pair]:
        """Pairs with start ≤ key < end in the order of their bytes, lazily."""
        ...


@dataclass(frozen=True, slots=True)
class Write:
    """One key after the call; a value of None removes it."""

    key: bytes
    value: bytes | None


class Overlay:
    """The view with the call's own writes upon it."""

    def __init__(self, view: StorageView) -> None:
        self._view = view
        self._pending: dict[bytes, bytes | None] = {}
        self._size_bytes = 0

    @property
    def pending_count(self) -> int:
        """Keys written so far."""
        return len(self._pending)

    def get(self, key: bytes) -> bytes | None:
        """The value as the call sees it. Raises Stopped."""
        if key in self._pending:
            return self._pending[key]
        with _undeclared_stops():
            return self._view.get(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Remember a write, or a removal for None. Raises Stopped."""
        self._size_bytes -= _size(key, self._pending[key]) if key in self._pending else 0
        self._size_bytes += _size(key, value)
        if self._size_bytes > limits.WRITE_SET_BYTES_MAX:
            raise Stopped(
                StopReason.STORAGE_BOUNDS,
                f"writes of {self._size_bytes} bytes, at most {limits.WRITE_SET_BYTES_MAX}",
            )
        self._pending[key] = value

    def scan(self, start: bytes | None, end: bytes | None, is_descending: bool) -> Iterator[Pair]:
        """Pairs of a range as they are now; later writes do not show."""
        keys = sorted(self._pending)
        first = 0 if start is None else bisect_left(keys, start)
        last = len(keys) if end is None else bisect_left(keys, end)
        pending = [(key, self._pending[key]) for key in keys[first:last]]
        if is_descending:
            pending.reverse()
        return _merge(self._view, start, end, is_descending, pending)

    def writes(self) -> tuple[Write, ...]:
        """What the call leaves, in the order of the keys' bytes."""
        return tuple(Write(key, value) for key, value in sorted(self._pending.items()))


class _undeclared_stops:  # noqa: N801 - reads as a statement
    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, KeyUndeclared):
            raise Stopped(StopReason.KEY_UNDECLARED, str(error)) from None


def _size(key: bytes, value: bytes | None) -> int:
    return len(key) + len(value or b"")


def _merge(
    view: StorageView,
    start: bytes | None,
    end: bytes | None,
    is_descending: bool,
    pending: list[tuple[bytes, bytes | None]],
) -> Iterator[Pair]:
    with _undeclared_stops():
        stored = iter(view.scan(start, end, is_descending))
    place = 0
    below = _next(stored)
    while below is not None or place < len(pending):
        if place < len(pending) and (
            below is None or pending[place][0] == below[0] or (pending[place][0] > below[0]) == is_descending
        ):
            key, value = pending[place]
            place += 1
            if below is not None and below[0] == key:
                below = _next(stored)
            if value is not None:
                yield key, value
        else:
            assert below is not None, "one of both is left"
            yield below
            below = _next(stored)


def _next(stored: Iterator[Pair]) -> Pair | None:
    with _undeclared_stops():
        return next(stored, None)
