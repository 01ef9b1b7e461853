"""The collector of cycles rests during a count, and works again after it, however the count ends."""

from __future__ import annotations

import gc

import pytest
from icn_tally.resting import collector_at_rest


def test_the_collector_works_again_after_work_that_ends_or_fails() -> None:
    @collector_at_rest()
    def work(fault: Exception | None) -> bool:
        if fault is not None:
            raise fault
        return gc.isenabled()

    assert gc.isenabled() and work(None) is False and gc.isenabled()
    with pytest.raises(ValueError, match="none"):
        work(ValueError("none"))
    assert gc.isenabled()


def test_a_collector_that_rests_already_is_left_alone() -> None:
    gc.disable()
    try:
        with collector_at_rest(), collector_at_rest():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
