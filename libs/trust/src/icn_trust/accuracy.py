"""How well scores tell one outcome from the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter


def area_under_curve(scores: Sequence[float], outcomes: Sequence[bool]) -> float:
    """The chance that a positive outcome is scored above a negative one, ties counting half (ROC AUC).

    Raises:
        ValueError: the outcomes are all alike.
    """
    positives = sum(outcomes)
    negatives = len(outcomes) - positives
    if positives == 0 or negatives == 0:
        raise ValueError("the outcomes are all alike")
    below = 0
    twice = 0
    ordered = sorted(zip(scores, outcomes, strict=True), key=itemgetter(0))
    for _, group in groupby(ordered, key=itemgetter(0)):
        alike = [outcome for _, outcome in group]
        good = sum(alike)
        bad = len(alike) - good
        twice += good * (2 * below + bad)
        below += bad
    return twice / (2 * positives * negatives)
