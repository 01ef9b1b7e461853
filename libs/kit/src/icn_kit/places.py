"""How many calls of a kind may go on at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from icn_kit.errors import ResourceExhausted


class Places:
    """Room for a number of calls; the next one is refused.

    Args:
        count: how many.
        reason: of the refusal.
        what: they are, in the plural.
    """

    def __init__(self, count: int, reason: str, what: str) -> None:
        self._count = count
        self._reason = reason
        self._what = what
        self._taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            ResourceExhausted: all are taken.
        """
        if self._taken >= self._count:
            raise ResourceExhausted(
                self._reason,
                f"{self._taken} {self._what} at once, at most {self._count}: try again, or elsewhere",
                taken=self._taken,
                taken_max=self._count,
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
