from __future__ import annotations

from icn_consensus.domain.actions import Fetch, FetchBlock, FetchCertificates
from icn_consensus.domain.fetcher import IN_FLIGHT_MAX, RETRY_MS, WANTED_MAX, Fetcher

BLOCK = FetchBlock(bytes(32))
PEERS = [b"peer 0", b"peer 1", b"peer 2", b"peer 3"]


def asked(fetch: Fetch | None) -> Fetch:
    assert fetch is not None
    return fetch


def test_a_thing_is_asked_for_once_while_the_answer_is_out() -> None:
    fetcher = Fetcher(PEERS[0])
    assert asked(fetcher.need(BLOCK, [PEERS[1], PEERS[2]], 0)).peer == PEERS[1]
    assert fetcher.need(BLOCK, [PEERS[1], PEERS[2]], 0) is None


def test_one_does_not_ask_oneself_nor_a_peer_twice() -> None:
    fetcher = Fetcher(PEERS[1])
    first = asked(fetcher.need(BLOCK, [PEERS[1], PEERS[2], PEERS[2], PEERS[3]], 0))
    assert first.peer == PEERS[2]
    assert fetcher.answered(first.request) == BLOCK
    second = asked(fetcher.unsatisfied(BLOCK, 0))
    assert second.peer == PEERS[3]
    assert fetcher.answered(second.request) == BLOCK
    assert fetcher.unsatisfied(BLOCK, 0) is None


def test_after_all_peers_it_pauses_and_begins_again() -> None:
    fetcher = Fetcher(PEERS[0])
    first = asked(fetcher.need(BLOCK, PEERS[1:2], 100))
    fetcher.answered(first.request)
    assert fetcher.unsatisfied(BLOCK, 100) is None
    assert fetcher.next_retry_ms(100) == 100 + RETRY_MS
    assert fetcher.need(BLOCK, PEERS[1:2], 100 + RETRY_MS - 1) is None
    assert asked(fetcher.need(BLOCK, PEERS[1:2], 100 + RETRY_MS)).peer == PEERS[1]


def test_whom_another_reason_names_is_asked_in_the_same_round() -> None:
    """Signers of a finalization may all be gone while who passed on a recovery certificate has the blocks."""
    fetcher = Fetcher(PEERS[0])
    first = asked(fetcher.need(BLOCK, PEERS[1:3], 0))
    assert fetcher.need(BLOCK, [PEERS[0], PEERS[3], PEERS[1]], 0) is None
    in_turn = [first.peer]
    fetcher.answered(first.request)
    while (following := fetcher.unsatisfied(BLOCK, 0)) is not None:
        in_turn.append(following.peer)
        assert fetcher.need(BLOCK, PEERS[1:3], 0) is None
        fetcher.answered(following.request)
    assert in_turn == PEERS[1:]


def test_patience_gives_a_thing_time_to_arrive_by_itself() -> None:
    fetcher = Fetcher(PEERS[0])
    assert fetcher.need(BLOCK, PEERS[1:2], 0, patience_ms=30) is None
    assert fetcher.next_retry_ms(0) == 30
    assert fetcher.next_retry_ms(30) is None, "who asks then is not woken again at once"
    assert fetcher.need(BLOCK, PEERS[1:2], 29, patience_ms=30) is None
    assert asked(fetcher.need(BLOCK, PEERS[1:2], 30, patience_ms=30)).peer == PEERS[1]


def test_an_answer_counts_once_and_only_when_asked() -> None:
    fetcher = Fetcher(PEERS[0])
    fetch = asked(fetcher.need(BLOCK, PEERS[1:2], 0))
    assert fetcher.answered(fetch.request + 1) is None
    assert fetcher.answered(fetch.request) == BLOCK
    assert fetcher.answered(fetch.request) is None


def test_what_is_here_is_not_waited_for() -> None:
    fetcher = Fetcher(PEERS[0])
    fetch = asked(fetcher.need(BLOCK, [PEERS[1], PEERS[2]], 0))
    fetcher.satisfied(BLOCK)
    assert fetcher.answered(fetch.request) is None
    assert fetcher.unsatisfied(BLOCK, 0) is None


def test_what_comes_although_nobody_wanted_it_changes_nothing() -> None:
    fetcher = Fetcher(PEERS[0])
    fetcher.satisfied(BLOCK)
    assert asked(fetcher.need(BLOCK, PEERS[1:2], 0)).peer == PEERS[1]


def test_what_waits_for_its_turn_is_dropped_when_it_comes_by_itself() -> None:
    fetcher = Fetcher(PEERS[0])
    fetcher.need(BLOCK, PEERS[1:2], 0, patience_ms=30)
    fetcher.satisfied(BLOCK)
    assert fetcher.next_retry_ms(0) is None


def test_requests_are_numbered_upwards_from_one() -> None:
    """A peer and the one who asks tell answers apart by these numbers, which are unsigned on the wire."""
    fetcher = Fetcher(PEERS[0])
    fetches = [asked(fetcher.need(FetchCertificates(view), PEERS[1:2], 0)) for view in range(3)]
    assert [fetch.request for fetch in fetches] == [1, 2, 3]


def test_requests_and_wants_are_bounded() -> None:
    fetcher = Fetcher(PEERS[0])
    sent = [fetcher.need(FetchCertificates(view), PEERS[1:2], 0) for view in range(3 * WANTED_MAX)]
    assert sum(fetch is not None for fetch in sent[:WANTED_MAX]) == IN_FLIGHT_MAX
    assert len(fetcher._wanted) <= WANTED_MAX
    assert len(fetcher._in_flight) <= IN_FLIGHT_MAX
