"""The order in which a replay sends its rows."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from icn_client.replay_file import Row
from icn_client.replay_schedule import Schedule


def rows(*transfers: tuple[int, int, int]) -> list[Row]:
    return [Row(number, number + 2, *transfer) for number, transfer in enumerate(transfers)]


class Platform:
    """Executes what is sent in an order of its own: those of one party in order, parties in any."""

    def __init__(self, issuers: frozenset[int], seed: int) -> None:
        self.random = random.Random(seed)
        self.issuers = issuers
        self.balances: Counter[int] = Counter()
        self.lanes: dict[int, list[Row]] = {}
        self.news: dict[int, list[tuple[Row, bool]]] = {}

    def send(self, row: Row) -> None:
        self.lanes.setdefault(row.source, []).append(row)

    def execute_one(self) -> None:
        lane = self.lanes[self.random.choice(sorted(key for key, lane in self.lanes.items() if lane))]
        row = lane.pop(0)
        is_applied = row.source in self.issuers or self.balances[row.source] >= row.amount_minor
        if is_applied:
            self.balances[row.source] -= row.amount_minor
            self.balances[row.target] += row.amount_minor
        self.news.setdefault(row.source, []).append((row, is_applied))

    def tell_one(self, schedule: Schedule) -> None:
        waiting = self.news[self.random.choice(sorted(key for key, news in self.news.items() if news))]
        row, is_applied = waiting.pop(0)
        (schedule.committed_row if is_applied else schedule.refused_row)(row)

    def run(self, schedule: Schedule, window: int) -> None:
        under_way = 0
        while not schedule.is_done:
            while under_way < window and (row := schedule.next_row()) is not None:
                self.send(row)
                under_way += 1
            if schedule.is_done:
                return
            has_lane = any(self.lanes.values())
            if has_lane and (self.random.random() < 0.7 or not any(self.news.values())):
                self.execute_one()
            else:
                self.tell_one(schedule)
                under_way -= 1


transfers = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 30)).filter(lambda row: row[0] != row[1]),
    max_size=40,
)


@settings(max_examples=300)
@given(transfers, st.integers(0, 2**32), st.integers(1, 50))
def test_a_file_whose_own_order_pays_for_every_row_loses_none(
    wanted: list[tuple[int, int, int]], seed: int, window: int
) -> None:
    issuers = frozenset({0})
    balances: Counter[int] = Counter()
    payable = []
    for source, target, amount in wanted:
        if amount > 0 and (source in issuers or balances[source] >= amount):
            balances[source] -= amount
            balances[target] += amount
            payable.append((source, target, amount))
    schedule = Schedule(rows(*payable), 5, issuers)
    platform = Platform(issuers, seed)
    platform.run(schedule, window)
    assert schedule.given_up == []
    assert schedule.committed == len(payable)
    assert +platform.balances == +balances


@settings(max_examples=200)
@given(transfers, st.integers(0, 2**32), st.integers(1, 50))
def test_every_row_ends_once_and_nobody_with_a_floor_falls_below_it(
    wanted: list[tuple[int, int, int]], seed: int, window: int
) -> None:
    issuers = frozenset({0})
    schedule = Schedule(rows(*wanted), 5, issuers)
    platform = Platform(issuers, seed)
    platform.run(schedule, window)
    assert schedule.committed + len(schedule.given_up) == len(wanted)
    assert sum(platform.balances.values()) == 0
    assert all(balance >= 0 for party, balance in platform.balances.items() if party not in issuers)
    given_up = {row.number for row in schedule.given_up}
    assert len(given_up) == len(schedule.given_up)


def test_a_refused_row_is_sent_again_only_when_its_funding_is_known() -> None:
    schedule = Schedule(rows((0, 1, 10), (1, 2, 10)), 3, {0})
    funding, spending = schedule.next_row(), schedule.next_row()
    assert funding is not None and spending is not None
    schedule.refused_row(spending)
    assert schedule.next_row() is None, "its funding is still under way"
    schedule.committed_row(funding)
    assert schedule.next_row() is spending
    assert schedule.retries == 1
    schedule.committed_row(spending)
    assert schedule.is_done and schedule.given_up == []


def test_a_later_row_of_a_refused_party_does_not_spend_what_the_earlier_one_needs() -> None:
    # 1 receives 10, pays 2, gets it back from 2 and pays 3: if the last row went first, the circle could
    # never start.
    schedule = Schedule(rows((0, 1, 10), (1, 2, 10), (2, 1, 10), (1, 3, 10)), 4, {0})
    sent = []
    while (row := schedule.next_row()) is not None:
        sent.append(row.number)
    assert sent == [0, 1, 2], "the second row of party 1 waits behind its first"


def test_a_row_that_nothing_can_fund_is_given_up_after_its_refusal_and_the_next_one_is_tried() -> None:
    schedule = Schedule(rows((0, 1, 5), (1, 2, 10), (1, 2, 5)), 3, {0})
    funding = schedule.next_row()
    too_much = schedule.next_row()
    assert funding is not None and too_much is not None and schedule.next_row() is None
    schedule.committed_row(funding)
    schedule.refused_row(too_much)
    payable = schedule.next_row()
    assert payable is not None and payable.number == 2
    schedule.committed_row(payable)
    assert schedule.is_done
    assert [row.number for row in schedule.given_up] == [1]


def test_rows_that_move_nothing_are_given_up_without_being_sent() -> None:
    schedule = Schedule(rows((0, 1, 0), (0, 0, 5)), 2, {0})
    assert schedule.next_row() is None
    assert schedule.is_done
    assert [row.number for row in schedule.given_up] == [0, 1]


def test_an_early_unfunded_row_takes_later_funding_as_the_documentation_says() -> None:
    issuer, b, c, d = range(4)
    funded = rows((issuer, b, 5), (b, c, 6), (b, d, 5), (issuer, b, 1))
    for seed in range(50):
        schedule = Schedule(funded, 4, {issuer})
        assert schedule.next_row() is funded[0]
        schedule.committed_row(funded[0])
        platform = Platform(frozenset({issuer}), seed)
        platform.balances.update({b: 5})
        platform.run(schedule, window=10)
        assert [row.number for row in schedule.given_up] == [2], f"seed {seed}"
        assert platform.balances[c] == 6 and platform.balances[d] == 0, f"seed {seed}"
