"""What happened in a run: faults that were injected, states that were reached.

Source: docs/spec/simulator.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """Faults of network, machine and clock; those of disks and of lying seats have names of their own."""

    DELAY = "delay"
    LOSS = "loss"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    PARTITION = "partition"
    ONE_WAY_CUT = "one_way_cut"
    CRASH = "crash"
    CLOCK_SKEW = "clock_skew"
    WRONG_CLOCK = "wrong_clock"


class Reached(StrEnum):
    """States in which the protocol has to be right."""

    LEDGER_SEED = "seeds_with_the_ledger"
    BYZANTINE_SEED = "seeds_with_a_byzantine_replica"
    NULLIFIED = "views_nullified"
    NOTARIZED_THEN_NULLIFIED = "views_notarized_then_nullified"
    CRASH_BEFORE_SEND = "crashes_between_record_and_send"
    PROPOSAL_OVER_GAP = "proposals_over_two_or_more_nullified_views"
    EDGE_UNDER_FAULT = "epoch_edges_under_a_fault"
    SEATS_CHANGED = "epoch_edges_that_change_seats"
    ACTIVATED = "epoch_edges_that_change_the_protocol_version"
    HALTED = "older_releases_halted_at_an_edge"
    CATCH_UP = "catch_ups"
    RECOVERY = "recoveries_from_lost_logs"
    RECOVERY_REFUSED = "recovery_certificates_refused"
    STATE_SYNC = "states_taken_from_others"
    FORGED_SNAPSHOT = "forged_snapshots_and_chunks_served"
    EVIDENCE = "evidence"
    FALSE_EVIDENCE = "made_up_evidence_brought"
    CAREFUL_PROVEN = "careful_equivocators_proven"
    INVALID_PROVEN = "invalid_proposals_proven"
    REFUSED_BLOCK = "blocks_refused_by_the_application"
    REFUSED_TIME = "block_times_refused"
    DISK_REFUSED = "logs_refused_as_damaged"
    FINAL_BLOCK = "final_blocks"


MINIMA_PER_2000_SEEDS: Final[Mapping[Reached, int]] = {
    Reached.LEDGER_SEED: 800,
    Reached.BYZANTINE_SEED: 500,
    Reached.NULLIFIED: 1_000,
    Reached.NOTARIZED_THEN_NULLIFIED: 200,
    Reached.CRASH_BEFORE_SEND: 200,
    Reached.PROPOSAL_OVER_GAP: 100,
    Reached.EDGE_UNDER_FAULT: 100,
    Reached.SEATS_CHANGED: 200,
    Reached.ACTIVATED: 100,
    Reached.HALTED: 25,
    Reached.CATCH_UP: 100,
    Reached.RECOVERY: 60,
    Reached.RECOVERY_REFUSED: 60,
    Reached.STATE_SYNC: 30,
    Reached.FORGED_SNAPSHOT: 10,
    Reached.REFUSED_BLOCK: 100,
    Reached.REFUSED_TIME: 400,
    Reached.CAREFUL_PROVEN: 10,
    Reached.INVALID_PROVEN: 150,
    Reached.FALSE_EVIDENCE: 30,
}
"""A campaign that reaches less has tested less than it says."""
SEEDS_MIN: Final = 200
"""Of fewer seeds nothing is asked."""


class Tally:
    """Counts by name."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()


def missed(reached: Mapping[str, int], seeds: int) -> dict[str, tuple[int, int]]:
    """What so many seeds should have reached and did not: name → (reached, minimum)."""
    if seeds < SEEDS_MIN:
        return {}
    return {
        name: (reached.get(name, 0), minimum * seeds // 2_000)
        for name, minimum in MINIMA_PER_2000_SEEDS.items()
        if reached.get(name, 0) < minimum * seeds // 2_000
    }
