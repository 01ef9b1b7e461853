"""Duty evidence: what each seat did in an epoch, counted from final blocks alone.

Source: docs/spec/transaction.md, "Duty evidence".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from icn_ledger.domain.records import Duty

EPOCH_BYTES = 8


class DutyCounts(NamedTuple):
    """The counts of the epoch under way; no part of the state until it has ended."""

    epoch: int
    blocks: int
    """Final blocks of the epoch so far; genesis is none."""
    proposed: tuple[int, ...]
    """By seat."""
    signed: tuple[int, ...]
    """By seat."""

    @classmethod
    def start(cls, epoch: int, seats: int) -> DutyCounts:
        """The counts of an epoch before its first block."""
        return cls(epoch, 0, (0,) * seats, (0,) * seats)

    @property
    def seats(self) -> int:
        """How many seats are counted."""
        return len(self.proposed)

    def with_block(self, view: int, signers: Iterable[int]) -> DutyCounts:
        """The counts after one more block of the epoch.

        Args:
            view: of the block; its leader proposed it.
            signers: seats that signed the certificate of its parent.
        """
        proposed, signed = list(self.proposed), list(self.signed)
        proposed[leader_of(view, self.seats)] += 1
        for seat in signers:
            signed[seat] += 1
        return DutyCounts(self.epoch, self.blocks + 1, tuple(proposed), tuple(signed))

    def evidence(self, organizations: Sequence[bytes]) -> list[Duty]:
        """What is recorded when the epoch has ended; nothing of one without blocks.

        Args:
            organizations: of the seats, in their order; none holds two.
        """
        if not self.blocks:
            return []
        return [
            Duty(organization, self.epoch, self.blocks, self.proposed[seat], self.signed[seat])
            for seat, organization in enumerate(organizations)
        ]


def seats_after(signers: Iterable[int], before: Sequence[bytes], after: Sequence[bytes]) -> list[int]:
    """The seats that who signed in an earlier set has now: the first block of an epoch carries a certificate
    of the set before. Who has none any more is left out.

    Args:
        signers: seats of the set before.
        before: organizations of that set.
        after: organizations of the set in force.
    """
    seats = {organization: seat for seat, organization in enumerate(after)}
    return [seats[before[signer]] for signer in signers if before[signer] in seats]


def leader_of(view: int, seats: int) -> int:
    """Seat whose turn the view is (docs/spec/consensus.md, plain rotation)."""
    return view % seats


def duty_identifier(organization: bytes, epoch: int) -> bytes:
    """Under what a duty leaf is kept."""
    return organization + epoch.to_bytes(EPOCH_BYTES, "big")
