from __future__ import annotations

from icn_consensus.domain.actions import Fetch, FetchBlock, FetchCertificates
from icn_consensus.domain.fetcher import IN_FLIGHT_MAX, RETRY_MS, WANTED_MAX, Fetcher

BLOCK = FetchBlock(bytes(32))


def asked(fetch: Fetch | None) -> Fetch:
    assert fetch is not None
    return fetch


def test_a_thing_is_asked_for_once_while_the_answer_is_out() -> None:
    fetcher = Fetcher(0)
    assert asked(fetcher.need(BLOCK, [1, 2], 0)).seat == 1
    assert fetcher.need(BLOCK, [1, 2], 0) is None


def test_one_does_not_ask_oneself_nor_a_seat_twice() -> None:
    fetcher = Fetcher(1)
    first = asked(fetcher.need(BLOCK, [1, 2, 2, 3], 0))
    assert first.seat == 2
    assert fetcher.answered(first.request) == BLOCK
    second = asked(fetcher.unsatisfied(BLOCK, 0))
    assert second.seat == 3
    assert fetcher.answered(second.request) == BLOCK
    assert fetcher.unsatisfied(BLOCK, 0) is None


def test_after_all_seats_it_pauses_and_begins_again() -> None:
    fetcher = Fetcher(0)
    first = asked(fetcher.need(BLOCK, [1], 100))
    fetcher.answered(first.request)
    assert fetcher.unsatisfied(BLOCK, 100) is None
    assert fetcher.next_retry_ms(100) == 100 + RETRY_MS
    assert fetcher.need(BLOCK, [1], 100 + RETRY_MS - 1) is None
    assert asked(fetcher.need(BLOCK, [1], 100 + RETRY_MS)).seat == 1


def test_patience_gives_a_thing_time_to_arrive_by_itself() -> None:
    fetcher = Fetcher(0)
    assert fetcher.need(BLOCK, [1], 0, patience_ms=30) is None
    assert fetcher.next_retry_ms(0) == 30
    assert fetcher.need(BLOCK, [1], 29, patience_ms=30) is None
    assert asked(fetcher.need(BLOCK, [1], 30, patience_ms=30)).seat == 1


def test_an_answer_counts_once_and_only_when_asked() -> None:
    fetcher = Fetcher(0)
    fetch = asked(fetcher.need(BLOCK, [1], 0))
    assert fetcher.answered(fetch.request + 1) is None
    assert fetcher.answered(fetch.request) == BLOCK
    assert fetcher.answered(fetch.request) is None


def test_what_is_here_is_not_waited_for() -> None:
    fetcher = Fetcher(0)
    fetch = asked(fetcher.need(BLOCK, [1, 2], 0))
    fetcher.satisfied(BLOCK)
    assert fetcher.answered(fetch.request) is None
    assert fetcher.unsatisfied(BLOCK, 0) is None


def test_requests_and_wants_are_bounded() -> None:
    fetcher = Fetcher(0)
    sent = [fetcher.need(FetchCertificates(view), [1], 0) for view in range(3 * WANTED_MAX)]
    assert sum(fetch is not None for fetch in sent[:WANTED_MAX]) == IN_FLIGHT_MAX
    assert len(fetcher._wanted) <= WANTED_MAX
    assert len(fetcher._in_flight) <= IN_FLIGHT_MAX


def test_a_doubted_seat_is_asked_after_the_others_and_still_asked() -> None:
    fetcher = Fetcher(0)
    fetcher.doubt(1)
    seats = []
    fetch: Fetch | None = fetcher.need(BLOCK, [1, 2, 3], 0)
    while fetch is not None:
        seats.append(fetch.seat)
        fetcher.answered(fetch.request)
        fetch = fetcher.unsatisfied(BLOCK, 0)
    assert seats == [2, 3, 1]
