from __future__ import annotations

from icn_consensus.peers.standing import (
    BAR_SECONDS_FIRST,
    BAR_SECONDS_MAX,
    FAULTS_MAX,
    FORGIVEN_SECONDS,
    Standing,
)


def test_faults_below_the_limit_bar_nobody_and_the_next_one_does() -> None:
    standing = Standing()
    assert not any(standing.note_fault(0.0) for _ in range(FAULTS_MAX - 1))
    assert standing.barred_seconds(0.0) == 0
    assert standing.note_fault(0.0) == BAR_SECONDS_FIRST
    assert standing.barred_seconds(BAR_SECONDS_FIRST / 4) == BAR_SECONDS_FIRST * 3 / 4
    assert standing.barred_seconds(BAR_SECONDS_FIRST) == 0


def test_a_fault_that_ends_the_stream_bars_at_once() -> None:
    standing = Standing()
    assert standing.note_fault(5.0, is_fatal=True) == BAR_SECONDS_FIRST
    assert standing.barred_seconds(5.0) == BAR_SECONDS_FIRST


def test_each_bar_is_twice_as_long_up_to_the_longest() -> None:
    standing, now, bars = Standing(), 0.0, []
    for _ in range(10):
        bars.append(standing.note_fault(now, is_fatal=True))
        now += bars[-1]
    assert bars == [1, 2, 4, 8, 16, 32, 64, 64, 64, 64]
    assert bars[-1] == BAR_SECONDS_MAX


def test_a_seat_that_behaves_for_long_begins_anew() -> None:
    standing = Standing()
    standing.note_fault(0.0, is_fatal=True)
    second = standing.note_fault(1.0, is_fatal=True)
    assert second == 2
    end = 1.0 + second
    assert standing.note_fault(end + FORGIVEN_SECONDS, is_fatal=True) == 4
    assert standing.note_fault(end + 2 * FORGIVEN_SECONDS + 5, is_fatal=True) == BAR_SECONDS_FIRST
