"""How many ballots put each candidate above each other: what all rules of comparison stand on.

Source: docs/spec/voting.md, "Comparisons".
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias

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
WORD_BYTES: Final = 8
WORDS_SUMMED_MAX: Final = 255

_Heights: TypeAlias = NDArray[np.unsignedinteger[Any]]


def preferences(ballots: Ballots) -> Matrix:
    """Weight of the ballots that rank the row's candidate above the column's; who is not ranked stands below.

    Raises:
        InvalidBallots: more than 1,000 candidates stand.
    """
    standing = ballots.standing()
    if len(standing) > STANDING_MAX:
        raise InvalidBallots(f"{len(standing)} candidates; comparisons are made of up to {STANDING_MAX}")
    places = _places_of(standing, len(ballots.candidates))
    ranked = _Ranked(ballots)
    above = np.zeros((len(standing), len(standing)), np.int64)
    is_left = np.ones(len(ranked.weights), np.bool_)
    for length in np.unique(ranked.lengths[~ranked.has_equal_ranks]).tolist():
        those = np.flatnonzero(~ranked.has_equal_ranks & (ranked.lengths == length))
        if _is_quick_by_pairs(length, len(those), len(standing)):
            _add_pairs(above, places[ranked.orders(those, length)], ranked.weights[those].astype(np.float64))
            is_left[those] = False
    left = np.flatnonzero(is_left)
    chunk = max(CELLS_MAX // len(standing), 1)
    for start in range(0, len(left), chunk):
        those = left[start : start + chunk]
        _add_heights(above, ranked.heights(those, places, len(standing)), ranked.weights[those])
    return above


def height_chunks(ballots: Ballots) -> Iterator[tuple[_Heights, NDArray[np.int64]]]:
    """Ballots that rank somebody, so many at a time: a row for each candidate that stands, upwards, with the
    rank that each ballot gives it, from 0, a last one where it gives none; and the ballots' weights."""
    standing = ballots.standing()
    places = _places_of(standing, len(ballots.candidates))
    ranked = _Ranked(ballots)
    chunk = max(CELLS_MAX // len(standing), 1)
    for start in range(0, len(ranked.weights), chunk):
        those = np.arange(start, min(start + chunk, len(ranked.weights)))
        yield ranked.heights(those, places, len(standing)), ranked.weights[those]


def _places_of(standing: Sequence[int], candidates: int) -> NDArray[np.int64]:
    """By number, 0 for those that do not stand."""
    places = np.zeros(candidates + 1, np.int64)
    places[[*standing]] = np.arange(len(standing))
    return places


class _Ranked:
    """Ballots that rank somebody, as arrays."""

    def __init__(self, ballots: Ballots) -> None:
        numbers: list[int] = []
        lengths, weights = array("q"), array("q")
        self._with_equal_ranks: dict[int, Ranking] = {}
        mentioned = 0
        for ranking, weight in ballots.bundles():
            numbers += chain.from_iterable(ranking)
            if length := len(numbers) - mentioned:
                if length != len(ranking):
                    self._with_equal_ranks[len(weights)] = ranking
                mentioned += length
                lengths.append(length)
                weights.append(weight)
        self._numbers = np.fromiter(numbers, np.int32, len(numbers))
        self.lengths = np.frombuffer(lengths, np.int64)
        """How many candidates each ranks."""
        self.weights = np.frombuffer(weights, np.int64)
        self._starts = np.cumsum(self.lengths) - self.lengths
        self.has_equal_ranks = np.zeros(len(weights), np.bool_)
        self.has_equal_ranks[[*self._with_equal_ranks]] = True

    def orders(self, those: NDArray[np.int64], length: int) -> NDArray[np.int32]:
        """A row for each of those ballots, which rank so many candidates."""
        found: NDArray[np.int32] = self._numbers[self._starts[those, np.newaxis] + np.arange(length)]
        return found

    def heights(self, those: NDArray[np.int64], places: NDArray[np.int64], size: int) -> _Heights:
        """A row for each of so many candidates, whose places are given by number, a column for each of those
        ballots: the candidate's rank from 0, a last one where it has none."""
        lengths = self.lengths[those]
        ends = np.cumsum(lengths)
        mentions = np.repeat(self._starts[those] - ends + lengths, lengths) + np.arange(lengths.sum())
        ranks = mentions - np.repeat(self._starts[those], lengths)
        for column in np.flatnonzero(self.has_equal_ranks[those]).tolist():
            sizes = [*map(len, self._with_equal_ranks[int(those[column])])]
            ranks[ends[column] - lengths[column] : ends[column]] = np.repeat(np.arange(len(sizes)), sizes)
        kind = np.uint8 if size <= np.iinfo(np.uint8).max else np.uint16
        found: _Heights = np.full((size, len(those)), size, kind)
        found[places[self._numbers[mentions]], np.repeat(np.arange(len(those)), lengths)] = ranks
        return found


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


def _add_heights(above: Matrix, heights: _Heights, weights: NDArray[np.int64]) -> None:
    """Compare the ranks of all candidates; each binary digit of the weights apart, so that ballots are only
    counted."""
    for digit in range(int(weights.max()).bit_length()):
        those = np.flatnonzero(weights >> digit & 1)
        if len(those) == 0:
            continue
        part = np.zeros((len(heights), -(-len(those) // WORD_BYTES) * WORD_BYTES), heights.dtype)
        part[:, : len(those)] = heights[:, those]
        for candidate, ranks in enumerate(part):
            above[candidate] += _count_true(ranks < part) << digit


def _count_true(found: NDArray[np.bool_]) -> NDArray[np.int64]:
    """In each row. Eight bytes are added at once, as one word, and only as many words as no byte's sum
    overflows by."""
    words = found.view(np.uint64)
    counts = np.zeros(len(found), np.int64)
    for start in range(0, words.shape[1], WORDS_SUMMED_MAX):
        sums = words[:, start : start + WORDS_SUMMED_MAX].sum(axis=1)
        counts += sums.view(np.uint8).reshape(-1, WORD_BYTES).sum(axis=1, dtype=np.int64)
    return counts
