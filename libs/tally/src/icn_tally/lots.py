"""The order in which lots would fall, fixed before the count.

Source: docs/spec/voting.md, "Lots".
"""

from __future__ import annotations

from collections.abc import Sequence

from icn_crypto import tags
from icn_crypto.hashing import HASH_BYTES, NO_GENESIS, domain_hash

from icn_tally.faults import InvalidParameter


def lot_order(root: bytes, beacon: bytes, candidates: int) -> tuple[int, ...]:
    """Numbers from 1 to ``candidates`` in the order of lots: root of the ballots and beacon are 32 bytes."""
    assert len(root) == len(beacon) == HASH_BYTES, "callers pass hashes; another length is our bug"

    def place(number: int) -> bytes:
        return domain_hash(tags.LOT, NO_GENESIS, root + beacon + number.to_bytes(4, "big"))

    return tuple(sorted(range(1, candidates + 1), key=place))


def places_by_lot(order: Sequence[int], candidates: int) -> dict[int, int]:
    """The place of each candidate in a lot order from outside.

    Raises:
        InvalidParameter: it does not name every candidate once.
    """
    if sorted(order) != list(range(1, candidates + 1)):
        raise InvalidParameter("lot_order", f"each number from 1 to {candidates} is expected once")
    return {number: place for place, number in enumerate(order)}
