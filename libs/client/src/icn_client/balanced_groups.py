"""Claims that add up to 0, in groups of limited size that each add up to 0. Pure.

Source: docs/spec/ledger.md, "Imports".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from icn_machine.limits import OPENINGS_MAX

GROUP_MIN: Final = 2


class NoGroups(ValueError):
    """No such groups were found; the message says with numbers why."""


def balanced_groups(claims: Mapping[bytes, int], group_max: int = OPENINGS_MAX) -> list[list[bytes]]:
    """Accounts in groups, each ascending, that each add up to 0.

    Whether there are such groups is a hard problem in general; those that this finds take opposite claims
    together first, and else go on from the largest, so that the few large ones meet the many small ones.

    Args:
        claims: by account, adding up to 0.
        group_max: accounts of a group.

    Raises:
        NoGroups: fewer than two accounts, or too many that this can only balance together.
    """
    assert sum(claims.values()) == 0, "callers tell by how much they do not"
    if len(claims) < GROUP_MIN:
        raise NoGroups(f"{len(claims)} account waits; {GROUP_MIN} at least are confirmed together")
    if len(claims) <= group_max:
        return [sorted(claims)]
    groups: list[list[bytes]] = []
    for piece in sorted(_pieces(claims), key=len, reverse=True):
        if len(piece) > group_max:
            raise NoGroups(
                f"{len(piece)} accounts were found to add up to 0 only together, and {group_max} at most are "
                "confirmed together; whose claim balances so many others can bring it in several accounts"
            )
        group = next((one for one in groups if len(one) + len(piece) <= group_max), None)
        if group is None:
            groups.append(group := [])
        group += piece
    return [sorted(group) for group in groups]


def _pieces(claims: Mapping[bytes, int]) -> list[list[bytes]]:
    """Small sets that each add up to 0, none of one account."""
    pieces = list(_nonzero_pieces(claims))
    zeros = sorted(account for account, claim in claims.items() if claim == 0)
    if len(zeros) % 2 and pieces:
        min(pieces, key=len).append(zeros.pop())
    pairs = [zeros[start : start + 2] for start in range(0, len(zeros), 2)]
    if pairs and len(pairs[-1]) == 1:
        pairs[-2:] = [pairs[-2] + pairs[-1]]
    return pieces + pairs


def _nonzero_pieces(claims: Mapping[bytes, int]) -> Iterator[list[bytes]]:
    left: dict[int, list[bytes]] = {}
    for account, claim in sorted(claims.items(), reverse=True):
        if claim:
            left.setdefault(claim, []).append(account)
    by_size = sorted(left, key=abs)
    debts = [claim for claim in by_size if claim < 0]
    credits_ = [claim for claim in by_size if claim > 0]
    while left:
        piece: list[bytes] = []
        sum_minor = 0
        while not piece or sum_minor:
            claim = -sum_minor
            if claim not in left:
                # What is left balances the piece, so there is one of the other sign.
                side = debts if sum_minor > 0 else credits_
                while side[-1] not in left:
                    side.pop()
                claim = side[-1]
            piece.append(left[claim].pop())
            if not left[claim]:
                del left[claim]
            sum_minor += claim
        yield piece
