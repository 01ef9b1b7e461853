from __future__ import annotations

import pytest
from icn_consensus.domain.pacemaker import SAMPLES_MAX, Pacemaker


@pytest.mark.parametrize(
    ("views_since_final", "timeout_ms"),
    [
        (1, 250),
        (2, 250),
        (3, 500),
        (4, 1_000),
        (5, 2_000),
        (6, 4_000),
        (7, 8_000),
        (8, 8_000),
        (10**9, 8_000),
    ],
)
def test_time_outs_double_per_view_without_finality_up_to_eight_seconds(
    views_since_final: int, timeout_ms: int
) -> None:
    assert Pacemaker().timeout_ms(views_since_final) == timeout_ms


@pytest.mark.parametrize(
    ("observed_ms", "timeout_ms"),
    [(1, 250), (62, 250), (63, 252), (500, 2_000), (2_000, 8_000), (3_000, 8_000)],
)
def test_the_time_out_is_four_times_the_median_within_its_limits(observed_ms: int, timeout_ms: int) -> None:
    pacemaker = Pacemaker()
    for _ in range(SAMPLES_MAX):
        pacemaker.observe(observed_ms)
    assert pacemaker.timeout_ms(1) == timeout_ms
    assert pacemaker.timeout_ms(3) == min(2 * timeout_ms, 8_000)


def test_fewer_than_half_of_the_observations_do_not_move_the_time_out() -> None:
    pacemaker = Pacemaker()
    for _ in range(17):
        pacemaker.observe(10)
    for _ in range(15):
        pacemaker.observe(100_000)
    assert pacemaker.timeout_ms(1) == 250


def test_old_observations_are_forgotten() -> None:
    pacemaker = Pacemaker()
    for _ in range(SAMPLES_MAX):
        pacemaker.observe(1_000)
    for _ in range(SAMPLES_MAX):
        pacemaker.observe(1)
    assert pacemaker.timeout_ms(1) == 250
