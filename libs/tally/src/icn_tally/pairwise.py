"""How many ballots put each candidate above each other: what all rules of comparison stand on.

Source: docs/spec/voting.md, "Comparisons".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from icn_tally.ballots import Ballots, Ranking
from icn_tally.faults import InvalidBallots

Matrix: TypeAlias = NDArray[np.int64]
"""One row and one column for each candidate that stands, upwards by number."""

STANDING_MAX: Final = 1_000
"""Candidates of a rule of comparison: a million pairs."""
CELLS_MAX: Final = 4_000_000
"""Ranks that are compared at a time: 8 MB."""

_Bundles: TypeAlias = tuple[list[Ranking], list[int]]


def preferences(ballots: Ballots) -> Matrix:
    """Weight of the ballots that rank the row's candidate above the column's; who is not ranked stands below.

    Raises:
        InvalidBallots: more than 1,000 candidates stand.
    """
    standing = ballots.standing()
    if len(standing) > STANDING_MAX:
        raise InvalidBallots(f"{len(standing)} candidates; comparisons are made of up to {STANDING_MAX}")
    place = {number: index for index, number in enumerate(standing)}
    above = np.zeros((len(standing), len(standing)), np.int64)
    by_length: dict[int, _Bundles] = {}
    others: _Bundles = ([], [])
    for ranking, weight in ballots.bundles():
        if ranking:
            is_strict = all(len(rank) == 1 for rank in ranking)
            rankings, weights = by_length.setdefault(len(ranking), ([], [])) if is_strict else others
            rankings.append(ranking)
            weights.append(weight)
    for length, (rankings, weights) in by_length.items():
        if _is_quick_by_pairs(length, len(weights), len(standing)):
            orders = [place[rank[0]] for ranking in rankings for rank in ranking]
            _add_pairs(above, np.array(orders).reshape(-1, length), np.array(weights, np.float64))
        else:
            others[0].extend(rankings)
            others[1].extend(weights)
    chunk = max(CELLS_MAX // len(standing), 1)
    for start in range(0, len(others[1]), chunk):
        end = start + chunk
        _add_places(above, _places(others[0][start:end], place), np.array(others[1][start:end], np.int64))
    return above


def margins(above: Matrix) -> Matrix:
    """By how much each candidate is put above each other; negative where it is put below."""
    return above - above.T


def _is_quick_by_pairs(length: int, amount: int, size: int) -> bool:
    """Whether to count each pair of places of so many orders is less work than to compare all candidates; the
    factor is measured."""
    return 6 * length * length * (amount + size * size) < size * size * amount


def _add_pairs(above: Matrix, orders: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
    """Count ballots that rank equally many, one in a rank; weights are whole and sum up to less than 2^53, so
    that sums in floating point are exact."""
    size = len(above)
    length = orders.shape[1]
    ranked = np.zeros(size)
    for column in orders.T:
        ranked += np.bincount(column, weights, size)
    pairs = np.zeros(size * size)
    for first in range(length):
        rows = orders[:, first] * size
        for second in range(first + 1, length):
            pairs += np.bincount(rows + orders[:, second], weights, size * size)
    counted = ranked[:, np.newaxis] - pairs.reshape(size, size).T
    np.fill_diagonal(counted, 0)
    above += counted.astype(np.int64)


def _places(rankings: Sequence[Ranking], place: Mapping[int, int]) -> NDArray[np.int16]:
    """One row for each candidate, one column for each ballot: the candidate's rank, a last one where it has
    none."""
    found = np.full((len(place), len(rankings)), STANDING_MAX, np.int16)
    lengths = [len(ranking) for ranking in rankings]
    if sum(lengths) == sum(len(rank) for ranking in rankings for rank in ranking):
        candidates = [place[rank[0]] for ranking in rankings for rank in ranking]
        heights = np.arange(len(candidates)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        found[candidates, np.repeat(np.arange(len(rankings)), lengths)] = heights
        return found
    for column, ranking in enumerate(rankings):
        for height, rank in enumerate(ranking):
            for number in rank:
                found[place[number], column] = height
    return found


def _add_places(above: Matrix, places: NDArray[np.int16], weights: NDArray[np.int64]) -> None:
    """Compare the ranks of all candidates; each binary digit of the weights apart, so that ballots are only
    counted."""
    for digit in range(int(weights.max()).bit_length()):
        those = np.flatnonzero(weights >> digit & 1)
        if len(those) == 0:
            continue
        part = np.ascontiguousarray(places[:, those])
        for candidate, ranks in enumerate(part):
            stands_above = np.packbits(ranks < part, axis=1)
            above[candidate] += np.bitwise_count(stands_above).sum(axis=1, dtype=np.int64) << digit
