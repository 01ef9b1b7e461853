"""Who decides now: the validator set changes at epochs' edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from icn_kit.errors import DomainError
from icn_kit.genesis import Genesis

from icn_gateway.usecases.ports import LedgerReader

SEATS_SECONDS = 5.0
"""How old the answer may be; an epoch lasts for hours."""


class SeatsInForce:
    """The organizations that hold the seats. What is known is kept while the ledger cannot be read."""

    def __init__(
        self, genesis: Genesis, ledger: LedgerReader, clock: Callable[[], float] = monotonic
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._read_at = float("-inf")
        self.known: Sequence[bytes] = tuple(seat.organization for seat in genesis.validators)
        """By seat, as read last; those of genesis before."""

    async def read(self) -> Sequence[bytes]:
        """By seat, not older than SEATS_SECONDS where the ledger answers."""
        if self._clock() - self._read_at >= SEATS_SECONDS:
            try:
                answer = await self._ledger.get_validators()
            except DomainError:
                return self.known
            self.known = tuple(seat.organization for seat in answer.in_force.seats)
            self._read_at = self._clock()
        return self.known
