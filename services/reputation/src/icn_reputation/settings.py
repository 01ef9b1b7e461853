"""Settings of reputation, read from the environment in ``main.py``."""

from __future__ import annotations

from typing import Annotated

from icn_kit.settings import HostedSettings
from pydantic import AfterValidator, Field

from icn_reputation.domain.principals import COLLECTION, identifier_of, name_of
from icn_reputation.domain.seeds import SEEDS_MAX


def _principal(text: str) -> str:
    """32 hex digits, with or without ``principals/`` before them."""
    try:
        identifier = identifier_of(text if "/" in text else f"{COLLECTION}/{text}")
    except ValueError:
        raise ValueError("a principal is 32 lower-case hex digits") from None
    return name_of(identifier)


class ReputationSettings(HostedSettings, service="reputation"):
    """What every service of the host is told, and who the seeds are."""

    seeds: Annotated[tuple[Annotated[str, AfterValidator(_principal)], ...], Field(max_length=SEEDS_MAX)] = ()
    """Principals that trust flows from, as JSON; empty: the federation's member organizations, and the
    founders of genesis before there is a federation."""

    @property
    def seed_identifiers(self) -> tuple[bytes, ...]:
        """The seeds as identifiers."""
        return tuple(identifier_of(seed) for seed in self.seeds)
