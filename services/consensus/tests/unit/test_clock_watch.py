from __future__ import annotations

import pytest
from icn_consensus.usecases.clock_watch import (
    OFF_BLOCKS_MIN,
    OFF_MS_MAX,
    OFF_SECONDS_MAX,
    ClockWatch,
    ClockWrong,
    check_step,
)

HOUR_MS = 3_600_000


def watched(*ahead_ms: int, seconds: float) -> ClockWatch:
    """A watch that saw final blocks this far from its clock, evenly over so many seconds; 0 is in time."""
    watch = ClockWatch()
    for view, distance in enumerate(ahead_ms):
        if distance:
            watch.note_refused(view, distance)
        watch.note_final(view, seconds * view / (len(ahead_ms) - 1))
    return watch


@pytest.mark.parametrize(("ahead_ms", "word"), [(HOUR_MS, "behind"), (-HOUR_MS, "ahead of")])
def test_a_clock_an_hour_off_is_wrong_after_some_blocks_and_seconds(ahead_ms: int, word: str) -> None:
    with pytest.raises(ClockWrong, match=f"3600 s {word} the blocks"):
        watched(*[ahead_ms] * OFF_BLOCKS_MIN, seconds=OFF_SECONDS_MAX)


@pytest.mark.parametrize(
    ("blocks", "seconds"), [(OFF_BLOCKS_MIN - 1, OFF_SECONDS_MAX + 1), (100, OFF_SECONDS_MAX - 0.01)]
)
def test_few_blocks_or_a_short_while_prove_nothing(blocks: int, seconds: float) -> None:
    watched(*[HOUR_MS] * blocks, seconds=seconds)


@pytest.mark.parametrize("ahead_ms", [OFF_MS_MAX, -OFF_MS_MAX])
def test_a_clock_at_the_border_only_keeps_from_voting(ahead_ms: int) -> None:
    watched(*[ahead_ms] * 100, seconds=100)


def test_one_block_in_time_shows_that_the_clock_is_right() -> None:
    watched(*[HOUR_MS, HOUR_MS, HOUR_MS, 0] * 100, seconds=1_000)


def test_a_refused_proposal_that_nobody_finalized_says_nothing() -> None:
    watch = ClockWatch()
    for view in range(0, 200, 2):
        watch.note_refused(view, HOUR_MS)
        assert watch.note_final(view + 1, float(view))
    assert not watch._refused


def test_a_clock_that_steps_back_farther_than_votes_allow_is_wrong() -> None:
    check_step(10_000, 7_000, 3_000)
    check_step(0, 10_000, 3_000)
    with pytest.raises(ClockWrong, match="went back by 3600 s"):
        check_step(HOUR_MS, 0, 3_000)
    with pytest.raises(ClockWrong):
        check_step(10_000, 6_999, 3_000)
