from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_kit.saga import Decision, Observation, Ours, Theirs, decide

EXPIRES_AT_MS = 10_000


@pytest.mark.parametrize(
    ("ours", "theirs", "block_time_ms", "decision"),
    [
        (Ours.RESERVED, Theirs.CAPTURED, EXPIRES_AT_MS - 1, Decision.CONFIRM),
        (Ours.RESERVED, Theirs.CAPTURED, EXPIRES_AT_MS, Decision.CONFIRM),
        (Ours.RESERVED, Theirs.HELD, EXPIRES_AT_MS - 1, Decision.WAIT),
        (Ours.RESERVED, Theirs.ABSENT, EXPIRES_AT_MS - 1, Decision.WAIT),
        (Ours.RESERVED, Theirs.ABSENT, EXPIRES_AT_MS, Decision.RELEASE),
        (Ours.RELEASED, Theirs.HELD, EXPIRES_AT_MS + 1, Decision.VOID_HOLD),
        (Ours.RELEASED, Theirs.CAPTURED, EXPIRES_AT_MS + 1, Decision.VOID_BY_TRANSFER_BACK),
        (Ours.RELEASED, Theirs.ABSENT, EXPIRES_AT_MS + 1, Decision.NOTHING),
        (Ours.CONFIRMED, Theirs.CAPTURED, EXPIRES_AT_MS + 1, Decision.NOTHING),
        (Ours.CONFIRMED, Theirs.ABSENT, EXPIRES_AT_MS + 1, Decision.NOTHING),
    ],
)
def test_each_case_of_the_rule_has_its_decision(
    ours: Ours, theirs: Theirs, block_time_ms: int, decision: Decision
) -> None:
    assert decide(ours, EXPIRES_AT_MS, Observation(theirs, block_time_ms)) is decision


def ledger_allows(before: Theirs, after: Theirs, block_time_ms: int) -> bool:
    """What docs/spec/transaction.md lets happen to a hold in a block of this time."""
    if before is after:
        return before is not Theirs.HELD or block_time_ms < EXPIRES_AT_MS
    if before is Theirs.ABSENT:
        return after is Theirs.HELD and block_time_ms < EXPIRES_AT_MS
    return before is Theirs.HELD and (after is Theirs.ABSENT or block_time_ms < EXPIRES_AT_MS)


@given(st.lists(st.tuples(st.sampled_from(Theirs), st.integers(1, 5_000)), max_size=20))
def test_a_ledger_that_keeps_its_rules_never_captures_what_was_released(
    wished: list[tuple[Theirs, int]],
) -> None:
    ours, theirs, block_time_ms = Ours.RESERVED, Theirs.ABSENT, 0
    for wish, passed_ms in wished:
        block_time_ms += passed_ms
        if theirs is Theirs.HELD and block_time_ms >= EXPIRES_AT_MS:
            theirs = Theirs.ABSENT
        elif ledger_allows(theirs, wish, block_time_ms):
            theirs = wish
        decision = decide(ours, EXPIRES_AT_MS, Observation(theirs, block_time_ms))
        if decision is Decision.CONFIRM:
            ours = Ours.CONFIRMED
        elif decision is Decision.RELEASE:
            ours = Ours.RELEASED
        assert decision not in (Decision.VOID_HOLD, Decision.VOID_BY_TRANSFER_BACK)
        assert (ours is Ours.CONFIRMED) == (theirs is Theirs.CAPTURED)
