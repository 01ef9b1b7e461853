"""What is scored apart.

Source: docs/spec/reputation.md, "Dimensions".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Dimension:
    """One kind of experience; scores of two dimensions are never mixed."""

    name: str
    measure: str
    """What a weight of 1 stands for."""


DELIVERY: Final = Dimension("delivery", "one minor unit of the price of what was to be delivered")
PAYMENT: Final = Dimension("payment", "one minor unit of the price that was to be paid")

DIMENSIONS: Final[Mapping[str, Dimension]] = MappingProxyType(
    {dimension.name: dimension for dimension in (DELIVERY, PAYMENT)}
)
"""By name, in its order."""
