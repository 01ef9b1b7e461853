from __future__ import annotations

from icn_kit.pauses import doubled


def test_a_pause_doubles_up_to_its_largest_and_stays_there() -> None:
    assert [doubled(0.5, times, 3.0) for times in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_a_long_outage_does_not_end_who_waits() -> None:
    assert [doubled(0.1, failures, 5.0) for failures in (10_000, 10**9)] == [5.0, 5.0]
