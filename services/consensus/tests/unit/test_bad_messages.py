"""A little of the campaigns of `scripts/bad_input.py`."""

from __future__ import annotations

import pytest

from services.consensus.tests import bad_frames, bad_messages

CASES = 1_500
FRAMES = 2_000


@pytest.mark.parametrize("seed", [1, 2])
def test_bad_messages_are_refused_or_count_for_nothing_and_the_others_go_on(seed: int) -> None:
    outcomes = bad_messages.play(seed, CASES)
    verdicts = {verdict for _, verdict in outcomes}
    assert {"MALFORMED_FRAME", "DISHONEST_MESSAGE", "counts for nothing", "as the original"} <= verdicts


async def test_bad_frames_of_every_kind_break_nothing_and_fill_no_queue_beyond_its_bound() -> None:
    outcomes = await bad_frames.knock(7, FRAMES)
    refused = sum(count for (_, verdict), count in outcomes.items() if verdict == "MALFORMED_FRAME")
    assert refused > FRAMES // 4
    kinds = {verdict.removesuffix(" taken in") for _, verdict in outcomes}
    assert kinds - {"MALFORMED_FRAME"} == {
        *("hello", "proposal", "vote", "certificate", "recovery"),
        *("transactions", "fetch_request", "fetch_response", "traces"),
    }
