"""From whom trust flows.

Source: docs/spec/reputation.md, "Seeds".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

SEEDS_MAX: Final = 4_096
"""Member organizations of one zone; each costs a name in every computation."""
FOUNDERS_SHARE: Final = (2, 3)
"""A federation is an authority of which more than this share of genesis' organizations have been members."""


CONFIGURED: Final = -1
"""Height of seeds that the settings name: no change of memberships moves them."""


@dataclass(frozen=True, slots=True)
class Seeds:
    """Who the seeds are and since which change of memberships."""

    principals: tuple[bytes, ...]
    """Ascending, none twice, at least one."""
    height: int
    """Block of the newest change of the federation's memberships; 0 before there is one, CONFIGURED for those
    of the settings."""


def is_federation(founders_among_members: int, founders: int) -> bool:
    """Whether an authority with so many of the founders stands for the zone's federation."""
    numerator, denominator = FOUNDERS_SHARE
    return founders_among_members * denominator > founders * numerator


def choose_seeds(
    configured: Collection[bytes],
    federation_members: Collection[bytes],
    federation_height: int,
    founders: Collection[bytes],
) -> Seeds:
    """The settings' seeds; else the federation's active members; else the founding organizations.

    A federation whose members have all left has founders for seeds again. Where it has more than
    SEEDS_MAX members, those with the lowest ids: membership is public, and so is who is left out.
    """
    assert founders, "genesis has at least four organizations"
    if configured:
        return Seeds(tuple(sorted(set(configured)))[:SEEDS_MAX], CONFIGURED)
    if federation_members:
        return Seeds(tuple(sorted(set(federation_members)))[:SEEDS_MAX], federation_height)
    return Seeds(tuple(sorted(set(founders)))[:SEEDS_MAX], federation_height)
