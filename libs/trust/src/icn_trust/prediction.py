"""How likely a rating is to be positive, from the ratings before it.

Source: docs/spec/reputation.md, "Predicting ratings".
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from icn_trust.eigentrust import TOLERANCE_MAX, scores
from icn_trust.graph import TrustGraph
from icn_trust.ratings import Rating

BASE: Final = 5.0
BAD_NEWS: Final = -8.0
BAD_TEMPER: Final = -4.0
BIAS: Final = -3.0
RECIPROCITY: Final = 2.0
FRIENDS: Final = 0.5
TRUST: Final = 0.1
EXPERIENCE_GIVEN: Final = -0.35
EXPERIENCE_RECEIVED: Final = 0.1

NEWS_GAIN_UNTRUSTED: Final = 0.1
NEWS_GAIN_BY_TRUST: Final = 0.2
"""Added in full for a rater with average trust or more."""
TEMPER_GAIN: Final = 0.2
NEWS_RATINGS: Final = 40
"""At gain 0.1 what lies further back weighs less than 2 %."""
FRIENDS_RATINGS: Final = 256
"""Bounds the cost of a row whose target everybody rates."""
BIAS_PRIOR_RATINGS: Final = 2
NEGATIVE_SHARE_MIN: Final = 0.05
NEGATIVE_SHARE_MAX: Final = 0.95
FOUNDERS: Final = 10
REFRESH_ROWS_MIN: Final = 500
REFRESH_GROWTH: Final = 20
"""Trust is computed anew when rows have grown by one in so many."""
SCORE_DECIMALS: Final = 9


@dataclass(slots=True)
class _Party:
    """What is known of one source or target."""

    given: int = 0
    given_negative: int = 0
    temper: float = 0.0
    received: int = 0
    ratings: deque[tuple[int, bool]] = field(default_factory=lambda: deque(maxlen=FRIENDS_RATINGS))
    """The newest received: by whom, and whether negative."""


class Predictor:
    """Learns ratings one after another and predicts the next; the cost of either has a bound."""

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}
        self._parties: list[_Party] = []
        self._last: dict[tuple[int, int], float] = {}
        """The newest rating of each pair."""
        self._founders: dict[int, None] = {}
        self._signed = 0
        self._negative = 0
        self._trust: list[float] = []
        """Score times the number of members, by position, as of the last refresh."""

    def learn(self, rating: Rating) -> None:
        """Take in what a row says."""
        source, target = self._position(rating.source), self._position(rating.target)
        if source == target or rating.rating == 0:
            return
        is_negative = rating.rating < 0
        if len(self._founders) < FOUNDERS:
            self._founders[source] = None
        self._signed += 1
        self._negative += is_negative
        giver, receiver = self._parties[source], self._parties[target]
        giver.given += 1
        giver.given_negative += is_negative
        giver.temper += TEMPER_GAIN * (is_negative - giver.temper)
        receiver.received += 1
        receiver.ratings.append((source, is_negative))
        self._last[source, target] = rating.rating

    def refresh_trust(self) -> None:
        """Compute seeded trust from what has been learned."""
        if not self._founders:
            return
        names = list(self._positions)
        graph = TrustGraph.build(
            (
                (names[source], names[target], rating)
                for (source, target), rating in self._last.items()
                if rating > 0
            ),
            members=names,
        )
        seeds = {names[founder]: 1 for founder in self._founders}
        values = scores(graph, seeds, tolerance=TOLERANCE_MAX).values
        self._trust = [len(names) * float(values[graph.position(name)]) for name in names]

    def terms(self, source_name: str, target_name: str) -> dict[str, float]:
        """The terms that the log-odds are the sum of."""
        source, giver = self._find(source_name)
        target, receiver = self._find(target_name)
        common = min(max((self._negative + 1) / (self._signed + 2), NEGATIVE_SHARE_MIN), NEGATIVE_SHARE_MAX)
        bias = (giver.given_negative + BIAS_PRIOR_RATINGS * common) / (giver.given + BIAS_PRIOR_RATINGS)
        answer = self._last.get((target, source), 0.0)
        return {
            "base": BASE,
            "bad_news": BAD_NEWS * self._bad_news(receiver),
            "bad_temper": BAD_TEMPER * giver.temper,
            "bias": BIAS * (bias - common),
            "reciprocity": RECIPROCITY * ((answer > 0) - (answer < 0)),
            "friends": FRIENDS * self._friends(source, receiver, common),
            "trust": TRUST * math.log1p(self._trust_in(target)),
            "experience": EXPERIENCE_GIVEN * math.log1p(giver.given)
            + EXPERIENCE_RECEIVED * math.log1p(receiver.received),
        }

    def predict(self, source: str, target: str) -> float:
        """How likely the next rating of ``target`` by ``source`` is to be positive, above 0 and below 1."""
        log_odds = math.fsum(self.terms(source, target).values())
        return round(1 / (1 + math.exp(-log_odds)), SCORE_DECIMALS)

    def _position(self, name: str) -> int:
        position = self._positions.setdefault(name, len(self._positions))
        if position == len(self._parties):
            self._parties.append(_Party())
        return position

    def _find(self, name: str) -> tuple[int, _Party]:
        """Position and record of a party; -1 and an empty one for somebody not heard of."""
        position = self._positions.get(name, -1)
        return position, self._parties[position] if position >= 0 else _Party()

    def _trust_in(self, position: int) -> float:
        return self._trust[position] if 0 <= position < len(self._trust) else 0.0

    def _bad_news(self, receiver: _Party) -> float:
        """From 0, nothing bad lately, to 1."""
        found = 0.0
        ratings = receiver.ratings
        for index in range(max(0, len(ratings) - NEWS_RATINGS), len(ratings)):
            rater, is_negative = ratings[index]
            gain = NEWS_GAIN_UNTRUSTED + NEWS_GAIN_BY_TRUST * min(1.0, self._trust_in(rater))
            found += gain * (is_negative - found)
        return found

    def _friends(self, source: int, receiver: _Party, common: float) -> float:
        """Log-odds by the ratings of those whom the source rated well, less the common ones."""
        positive = negative = 0
        for rater, is_negative in receiver.ratings:
            if self._last.get((source, rater), 0.0) > 0:
                negative += is_negative
                positive += not is_negative
        share = (positive + 1 - common) / (positive + negative + 1)
        return _logit(share) - _logit(1 - common)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def first_predicted(rows: int, share: Fraction) -> int:
    """⌊rows · share⌋, exactly."""
    return rows * share.numerator // share.denominator


def replay(
    ratings: Sequence[Rating], first: int, report: Callable[[int], None] = lambda _: None
) -> Iterator[float]:
    """A score for each rating from position ``first`` on, from those before it only.

    ``report`` is told how many rows were taken.
    """
    predictor = Predictor()
    refresh_at = first
    for row, rating in enumerate(ratings):
        if row >= first:
            if row >= refresh_at:
                predictor.refresh_trust()
                refresh_at = row + max(REFRESH_ROWS_MIN, row // REFRESH_GROWTH)
                report(row)
            yield predictor.predict(rating.source, rating.target)
        predictor.learn(rating)
