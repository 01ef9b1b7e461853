"""Give and take without what is marked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.ledger.v1.events_pb2 import TransferCommitted
from icn_machine.entries import PostingKind
from icn_reputation.domain.reciprocity import MARKED, SUM_MAX, MarkedSums, Reciprocity, reciprocity
from icn_reputation.events.handlers import is_marked

from services.reputation.tests.conftest import event, posted


def test_marked_kinds_are_those_of_the_ledger() -> None:
    assert {int(kind) for kind in PostingKind if kind.is_marked} == set(MARKED)


@pytest.mark.parametrize("kind", range(10))
def test_marked_postings_are_wanted_and_trade_is_not(kind: int) -> None:
    assert is_marked(posted("ana", "fund", 1, 1, kind)) == (kind in MARKED)  # type: ignore[arg-type]


def test_what_cannot_be_read_is_wanted_so_that_it_is_put_aside() -> None:
    broken = event("icn.ledger.v1.transfer_committed", TransferCommitted())
    broken.payload = b"\xff"
    assert is_marked(broken)


@given(
    traded=st.lists(st.integers(-(10**6), 10**6), max_size=20),
    marked=st.lists(st.integers(-(10**6), 10**6), max_size=20),
)
def test_given_and_received_are_what_was_traded(traded: list[int], marked: list[int]) -> None:
    debited = -sum(min(0, amount) for amount in (*traded, *marked))
    sums = MarkedSums(-sum(min(0, amount) for amount in marked), sum(max(0, amount) for amount in marked))
    balance = sum(traded) + sum(marked)
    found = reciprocity(balance, debited, sums)
    assert found.given_minor == -sum(min(0, amount) for amount in traded)
    assert found.received_minor == sum(max(0, amount) for amount in traded)
    assert (
        found.received_minor + found.marked.credited_minor - found.given_minor - found.marked.debited_minor
        == balance
    )


def test_where_the_ledgers_sum_stays_nothing_falls_below_zero_and_sums_stay_too() -> None:
    found = reciprocity(-SUM_MAX, SUM_MAX, MarkedSums(SUM_MAX + 1, SUM_MAX + 1))
    assert found == Reciprocity(0, 0, MarkedSums(SUM_MAX, SUM_MAX))
