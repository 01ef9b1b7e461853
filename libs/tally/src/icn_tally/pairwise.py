"""How many ballots put each candidate above each other: what all rules of comparison stand on.

Source: docs/spec/voting.md, "Comparisons".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from icn_tally.ballots import Ballots
from icn_tally.faults import InvalidBallots

Matrix: TypeAlias = NDArray[np.int64]
"""One row and one column for each candidate that stands, upwards by number."""

STANDING_MAX: Final = 1_000
"""Candidates of a rule of comparison: a million pairs."""


def preferences(ballots: Ballots) -> Matrix:
    """Weight of the ballots that rank the row's candidate above the column's; who is not ranked stands below.

    Raises:
        InvalidBallots: more than 1,000 candidates stand.
    """
    standing = ballots.standing()
    if len(standing) > STANDING_MAX:
        raise InvalidBallots(f"{len(standing)} candidates; comparisons are made of up to {STANDING_MAX}")
    place = {number: index for index, number in enumerate(standing)}
    by_length: dict[int, tuple[list[int], list[int]]] = {}
    above = np.zeros((len(standing), len(standing)), np.int64)
    for ranking, weight in ballots.bundles():
        order = [rank[0] for rank in ranking if len(rank) == 1]
        if len(order) < len(ranking):
            _add_equal_ranks(above, [[place[number] for number in rank] for rank in ranking], weight)
        elif order:
            orders, weights = by_length.setdefault(len(order), ([], []))
            orders += [place[number] for number in order]
            weights.append(weight)
    for length, (orders, weights) in by_length.items():
        _add_orders(above, np.array(orders, np.int64).reshape(-1, length), np.array(weights, np.float64))
    return above


def margins(above: Matrix) -> Matrix:
    """By how much each candidate is put above each other; negative where it is put below."""
    return above - above.T


def _add_equal_ranks(above: Matrix, ranks: Sequence[Sequence[int]], weight: int) -> None:
    """Count one ballot that has equal ranks."""
    below = np.ones(len(above), np.bool_)
    for rank in ranks:
        below[list(rank)] = False
        for candidate in rank:
            above[candidate] += np.where(below, weight, 0)


def _add_orders(above: Matrix, orders: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
    """Count ballots that rank equally many, one in a rank; weights are whole and sum up to less than 2^53, so
    that sums in floating point are exact."""
    size = len(above)
    amount, length = orders.shape
    ranked = np.zeros(size)
    for column in orders.T:
        ranked += np.bincount(column, weights, size)
    if length * length * (amount + size * size) < 2 * size * size * amount:
        pairs = np.zeros(size * size)
        for first in range(length):
            rows = orders[:, first] * size
            for second in range(first + 1, length):
                pairs += np.bincount(rows + orders[:, second], weights, size * size)
        counted = ranked[:, np.newaxis] - pairs.reshape(size, size).T
    else:
        places = np.full((size, amount), length, np.int16)
        places[orders, np.arange(amount)[:, np.newaxis]] = np.arange(length)
        counted = np.empty((size, size))
        for candidate in range(size):
            counted[candidate] = (places[candidate] < places) @ weights
    np.fill_diagonal(counted, 0)
    above += counted.astype(np.int64)
