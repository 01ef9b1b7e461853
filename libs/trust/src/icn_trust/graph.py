"""Local trust as a sparse matrix.

Source: docs/spec/reputation.md, "Local trust".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

MEMBERS_MAX: Final = 2**22
PAIRS_MAX: Final = 2**22
"""The two matrices take about 100 MB then; twice `icn_trust.ratings.ROWS_MAX` fits."""

Floats = npt.NDArray[np.float64]


class InvalidTrust(ValueError):
    """An amount of trust breaks a rule; the message names the pair."""


@dataclass(frozen=True, slots=True, eq=False)
class TrustGraph:
    """Who passes which share of its score to whom. Made by `build`."""

    members: tuple[str, ...]
    """In ascending order; a member's position is its row."""
    amounts: Any
    """CSR matrix: s(i, j) in row j, column i."""
    shares: Any
    """CSR matrix: c(i, j) in row j, column i. A column sums to 1, or to 0 for a dangling member."""
    dangling: npt.NDArray[np.intp]
    """Positions of members that trust nobody."""
    _positions: dict[str, int] = field(repr=False)

    @classmethod
    def build(cls, trust: Iterable[tuple[str, str, float]], members: Iterable[str] = ()) -> TrustGraph:
        """From (who, about, amount above zero), each pair once, and members who may stand in no pair.

        Raises:
            InvalidTrust: an amount that is not a finite number above zero, trust in oneself, a pair twice,
                more than MEMBERS_MAX members or PAIRS_MAX pairs.
        """
        given: dict[tuple[str, str], float] = {}
        for who, about, amount in trust:
            if not (amount > 0 and math.isfinite(amount)):
                raise InvalidTrust(
                    f"{who[:40]!r} in {about[:40]!r}: {amount} is not a finite number above zero"
                )
            if who == about:
                raise InvalidTrust(f"{who[:40]!r} trusts itself")
            if (who, about) in given:
                raise InvalidTrust(f"{who[:40]!r} in {about[:40]!r}: the pair stands twice")
            if len(given) == PAIRS_MAX:
                raise InvalidTrust(f"more than {PAIRS_MAX} pairs")
            given[who, about] = float(amount)
        ordered = tuple(sorted({name for pair in given for name in pair}.union(members)))
        if len(ordered) > MEMBERS_MAX:
            raise InvalidTrust(f"{len(ordered)} members, at most {MEMBERS_MAX} are allowed")
        positions = {name: position for position, name in enumerate(ordered)}
        count = len(ordered)
        sources = np.fromiter((positions[who] for who, _ in given), np.intp, len(given))
        targets = np.fromiter((positions[about] for _, about in given), np.intp, len(given))
        amounts = np.fromiter(given.values(), np.float64, len(given))
        # Sums depend on the order of floats: fix it, whatever the order of the input.
        order = np.lexsort((sources, targets))
        sources, targets, amounts = sources[order], targets[order], amounts[order]
        totals = np.bincount(sources, weights=amounts, minlength=count)
        shape = (count, count)
        return cls(
            members=ordered,
            amounts=sparse.csr_matrix((amounts, (targets, sources)), shape=shape),
            shares=sparse.csr_matrix((amounts / totals[sources], (targets, sources)), shape=shape),
            dangling=np.flatnonzero(totals == 0),
            _positions=positions,
        )

    def __contains__(self, member: object) -> bool:
        return member in self._positions

    def position(self, member: str) -> int:
        """The member's row. Raises KeyError."""
        return self._positions[member]
