"""Who decides in which epoch, as far as this replica has come, and which seat is its own.

Source: docs/spec/consensus.md, "Epochs".
"""

from __future__ import annotations

from collections.abc import Iterable

from icn_chain.header import BlockHeader
from icn_chain.validator_set import NO_SEAT, ValidatorSet, parse_validator_set

from icn_consensus.domain.config import Config


class Seating:
    """The set of the current epoch, that of the newest final block's, and those that may come."""

    def __init__(
        self, config: Config, final: BlockHeader, newest: bytes, validators: Iterable[ValidatorSet]
    ) -> None:
        """``newest``: the set that the executed state names; ``validators``: those that ``final`` names."""
        self._public_key = config.public_key
        self._newest = b""
        self._newest_hash = b""
        self.next_protocol = config.protocol_version
        """Version that the set decides by which the executed state names for the next epoch."""
        self._known = {item.hash: item for item in (config.validators, *validators)}
        self.learn(newest)
        self.closed = self._known[final.validator_set_hash]
        """Seats of the epoch of the newest final block: after an edge block that is the one before."""
        is_edge = config.closes_epoch(final)
        self.current = self._known[final.next_validator_set_hash] if is_edge else self.closed
        """Seats of the current epoch."""
        self.own_seat = self.current.seat_of(config.public_key)
        """`NO_SEAT` while this replica only follows."""

    @property
    def is_seated(self) -> bool:
        """Whether this replica votes in the current epoch."""
        return self.own_seat != NO_SEAT

    def learn(self, data: bytes) -> None:
        """Keep a set that the state names."""
        if data != self._newest:
            named = parse_validator_set(data)
            self._newest, self._newest_hash = data, named.hash
            self._known[named.hash] = named
            self.next_protocol = named.protocol_version

    def names(self, public_key: bytes) -> bool:
        """Whether a set that is known here gives this key a seat."""
        return any(item.seat_of(public_key) != NO_SEAT for item in self._known.values())

    def find(self, set_hash: bytes) -> ValidatorSet | None:
        """A set that a state or the newest final header has named."""
        return self._known.get(set_hash)

    def move_on(self, closed: ValidatorSet, validators: ValidatorSet) -> bool:
        """Another epoch begins after one of the seats ``closed``; whether others decide than before."""
        before, self.closed, self.current = self.current, closed, validators
        self.own_seat = validators.seat_of(self._public_key)
        kept = (self.closed.hash, validators.hash, self._newest_hash)
        self._known = {key: item for key, item in self._known.items() if key in kept}
        return before.hash != validators.hash
