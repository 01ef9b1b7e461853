"""What evidence is judged by: genesis, the set of its epoch, and a rule for signatures.

Source: docs/spec/consensus.md, "Evidence".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from icn_crypto.hashing import preimage
from icn_crypto.suites import Suite, verify

from icn_chain.epochs import GenesisFacts
from icn_chain.malformed import EvidenceInvalid
from icn_chain.validator_set import ValidatorSet

Verify = Callable[[bytes, str, bytes, bytes], bool]
"""Whether an Ed25519 key signed under a tag: (public key, tag, body, signature)."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """Of one epoch."""

    zone: GenesisFacts
    validators: ValidatorSet
    """Of the epoch that the evidence speaks of."""
    verify: Verify | None = None
    """As `icn_crypto` does where left out; a simulation has its own."""

    def is_signed(self, seat: int, tag: str, body: bytes, signature: bytes) -> bool:
        """Whether the seat, which must be there, signed it."""
        key = self.validators.public_keys[seat]
        if self.verify is not None:
            return self.verify(key, tag, body, signature)
        return verify(Suite.ED25519, key, preimage(tag, self.zone.hash, body), signature)

    def check_signed(self, seat: int, epoch: int, tag: str, body: bytes, signature: bytes) -> None:
        """Accept a statement as the seat's.

        Raises:
            EvidenceInvalid: there is no such seat, or it did not sign.
        """
        if seat >= self.validators.seats:
            raise EvidenceInvalid(f"seat {seat} of {self.validators.seats}")
        if not self.is_signed(seat, tag, body, signature):
            raise EvidenceInvalid(
                f"not signed with the key that seat {seat} of this zone has in epoch {epoch}"
            )
