"""Some hundreds of the campaign of `scripts/bad_input.py`."""

from __future__ import annotations

import pytest
from icn_machine import refusals

from libs.machine.tests.bad_transactions import SPECIAL, play

CASES = 2_000


@pytest.mark.parametrize("seed", [1, 2])
def test_bad_transactions_are_refused_with_stable_reasons_after_as_many_look_ups_as_they_deserve(
    seed: int,
) -> None:
    outcomes = play(seed, CASES)
    reasons = {reason for _, reason in outcomes}
    assert {
        refusals.MALFORMED_TRANSACTION,
        refusals.EXPIRED,
        refusals.EXPIRY_TOO_FAR,
        refusals.CONTROLLER_UNKNOWN,
        refusals.PAYER_NOT_ALLOWED,
        refusals.SEQUENCE_USED,
        refusals.KEY_UNKNOWN,
        refusals.THRESHOLD_NOT_MET,
        refusals.SIGNATURE_INVALID,
    } <= reasons
    assert len({kind for kind, _ in outcomes}) > len(SPECIAL)
