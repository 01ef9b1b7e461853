"""Reads that are one call of a service each: which route asks which call for what."""

from icn_gateway.api.reads import governance, identity, ledger, marketplace, reputation
from icn_gateway.api.reads.route import Read, handler

ALL: tuple[Read, ...] = (
    *ledger.READS,
    *identity.READS,
    *governance.READS,
    *marketplace.READS,
    *reputation.READS,
)

__all__ = ["ALL", "Read", "handler"]
