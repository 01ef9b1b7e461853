"""Duty evidence: what each seat did in an epoch, counted from final blocks alone.

Source: docs/spec/transaction.md, "Duty evidence".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple

from icn.consensus.v1 import block_pb2
from icn_crypto.wire import MalformedBytes, NotCanonical, parse_canonical
from icn_kit.errors import InvalidArgument

from icn_machine.records import Duty

EPOCH_BYTES = 8
CERTIFICATE_BYTES_MAX = 8_192
"""Fifty signatures with their seats."""
_NO_DIGEST = bytes(32)


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


def parent_signers(data: bytes, digest: bytes, seats: int) -> list[int]:
    """Seats that signed the certificate of a block's parent, none where the parent is genesis.

    Args:
        data: the certificate as the block carries it.
        digest: what the block's header names.
        seats: of the set that signed.

    Raises:
        InvalidArgument: PARENT_CERTIFICATE_MISMATCH, MALFORMED_CERTIFICATE.
    """
    if (sha256(data).digest() if data else _NO_DIGEST) != digest:
        raise InvalidArgument(
            "PARENT_CERTIFICATE_MISMATCH", "this is not the parent's certificate that the header names"
        )
    if not data:
        return []
    try:
        certificate = parse_canonical(block_pb2.Certificate, data, CERTIFICATE_BYTES_MAX)
    except (MalformedBytes, NotCanonical) as error:
        raise InvalidArgument("MALFORMED_CERTIFICATE", str(error)) from error
    signers = [signature.seat for signature in certificate.signatures]
    if any(before >= after for before, after in pairwise(signers)) or (signers and signers[-1] >= seats):
        raise InvalidArgument("MALFORMED_CERTIFICATE", "seats must ascend and be of the set")
    return signers


def leader_of(view: int, seats: int) -> int:
    """Seat whose turn the view is (docs/spec/consensus.md, plain rotation)."""
    return view % seats


def duty_identifier(organization: bytes, epoch: int) -> bytes:
    """Under what a duty leaf is kept."""
    return organization + epoch.to_bytes(EPOCH_BYTES, "big")
