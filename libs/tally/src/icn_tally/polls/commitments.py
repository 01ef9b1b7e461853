"""Ballots, what hides them, and the tellers' secrets.

Source: docs/spec/governance.md, "Commitments", "Lots".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from icn.ledger.v1.state_pb2 import BallotLeaf
from icn_crypto import tags
from icn_crypto.hashing import domain_hash
from icn_crypto.jcs import canonicalize
from icn_crypto.merkle_log import Log, leaf_hash

from icn_tally.ballots import Ranking, ranking_fault
from icn_tally.polls.forms import Form, InvalidDocument, read_canonical

BALLOT_FORM: Final = "icn/ballot/v1"
BALLOT_BYTES_MAX: Final = 4_096
"""64 candidates in 64 ranks take 400 bytes."""
SALT_BYTES: Final = 32
SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Opening:
    """What a ballot's commitment hides."""

    voter: bytes
    """16 bytes."""
    salt: bytes
    """32 bytes."""
    ballot: bytes

    def commitment(self, genesis_hash: bytes, poll: bytes) -> bytes:
        """What ``CastBallot.commitment`` is, 32 bytes."""
        return domain_hash(tags.BALLOT, genesis_hash, poll + self.voter + self.salt + self.ballot)


def ballot_bytes(ranking: Sequence[Iterable[int]]) -> bytes:
    """The bytes of a ballot that ranks so: ranks of numbers, the highest first."""
    return canonicalize({"form": BALLOT_FORM, "ranking": [[*sorted(rank)] for rank in ranking]})


def read_ballot(data: bytes, candidates: int) -> Ranking:
    """The ranking of a ballot.

    Raises:
        InvalidDocument: the ballot is malformed.
    """
    form = Form(read_canonical(data, BALLOT_BYTES_MAX), "", ("form", "ranking"))
    form.constant("form", BALLOT_FORM)
    ranks = form.list("ranking", 0, candidates)
    for number, rank in enumerate(ranks):
        if not isinstance(rank, list):
            raise InvalidDocument(f"ranking[{number}]", "an array of numbers is expected")
        if any(type(entry) is not int for entry in rank):
            raise InvalidDocument(f"ranking[{number}]", "whole numbers are expected")
        if rank != sorted(rank):
            raise InvalidDocument(f"ranking[{number}]", "the numbers of a rank ascend")
    ranking = tuple(tuple(rank) for rank in ranks)
    if fault := ranking_fault(ranking, candidates):
        raise InvalidDocument("ranking", fault)
    return ranking


def lot_commitment(genesis_hash: bytes, poll: bytes, teller: bytes, secret: bytes) -> bytes:
    """A teller's commitment to a secret of 32 bytes, 32 bytes."""
    return domain_hash(tags.LOT_COMMITMENT, genesis_hash, poll + teller + secret)


def commitments_root(leaves: Iterable[BallotLeaf]) -> bytes:
    """What names exactly these ballots of a poll as they were cast, 32 bytes."""
    log = Log()
    for leaf in sorted(leaves, key=lambda leaf: leaf.voter):
        log.append(leaf_hash(leaf.SerializeToString(deterministic=True)))
    return log.root()


def lot_beacon(genesis_hash: bytes, poll: bytes, root: bytes, secrets: Iterable[bytes]) -> bytes:
    """The beacon that the secrets make, in the tellers' order, with the commitments root; 32 bytes."""
    return domain_hash(tags.LOT_BEACON, genesis_hash, poll + root + b"".join(secrets))


def matching_openings(
    genesis_hash: bytes, poll: bytes, leaves: Iterable[BallotLeaf], openings: Iterable[Opening]
) -> dict[bytes, Opening]:
    """By voter, those that open what the ledger holds."""
    commitments: Mapping[bytes, bytes] = {leaf.voter: leaf.commitment for leaf in leaves}
    return {
        opening.voter: opening
        for opening in openings
        if commitments.get(opening.voter) == opening.commitment(genesis_hash, poll)
    }
