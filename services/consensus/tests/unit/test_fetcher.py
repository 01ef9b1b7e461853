from __future__ import annotations

from icn_consensus.domain.actions import Fetch, FetchBlock, FetchCertificates, FetchFinalBlocks
from icn_consensus.domain.fetcher import (
    ASKED_LAST_MS,
    PATIENCE_MS_MAX,
    PATIENCE_MS_MIN,
    PAUSE_MS,
    PEERS_MAX,
    Fetcher,
    What,
)

BLOCK = FetchBlock(bytes(32))
OTHER_BLOCK = FetchBlock(b"o" * 32)
OWN, ANA, BEN, CEM = b"own key", b"key of ana", b"key of ben", b"key of cem"
OTHERS = (ANA, BEN, CEM)


class Asker:
    """A fetcher with a clock, told of peers by name."""

    def __init__(self) -> None:
        self.fetcher = Fetcher(OWN)
        self.now_ms = 1_000_000
        self.asked: list[Fetch] = []

    def need(self, what: What = BLOCK, peers: tuple[bytes, ...] = OTHERS, delay_ms: int = 0) -> bytes | None:
        """Whom a step asks that misses this one thing."""
        fetch = self.fetcher.need(what, peers, self.now_ms, delay_ms)
        self.fetcher.forget_unneeded()
        if fetch is None:
            return None
        self.asked.append(fetch)
        return fetch.peer

    def answer(self, *, helps: bool, after_ms: int = 0, number: int = -1) -> None:
        """Conclude a question, by default the newest."""
        self.now_ms += after_ms
        question = self.fetcher.answered(self.asked[number].request)
        assert question is not None
        (self.fetcher.helped if helps else self.fetcher.useless)(question, self.now_ms)

    @property
    def next_after_ms(self) -> int | None:
        """In how long it wants to be called."""
        at_ms = self.fetcher.next_question_ms(self.now_ms)
        return None if at_ms is None else at_ms - self.now_ms


def test_a_thing_is_asked_for_once_while_an_answer_may_come() -> None:
    asker = Asker()
    assert asker.need() == ANA
    assert asker.need() is None
    assert asker.next_after_ms == PATIENCE_MS_MIN
    asker.now_ms += PATIENCE_MS_MIN - 1
    assert asker.need() is None


def test_another_is_asked_as_well_when_no_answer_came_in_time() -> None:
    asker = Asker()
    assert asker.need() == ANA
    asker.now_ms += PATIENCE_MS_MIN
    assert asker.need() == BEN
    assert asker.need() is None
    asker.now_ms += PATIENCE_MS_MIN
    assert asker.need() == CEM
    asker.answer(helps=True, number=0)
    assert asker.need(OTHER_BLOCK) == ANA, "late or not, the first answer is what counts"


def test_the_next_is_asked_at_once_when_one_cannot_help() -> None:
    asker = Asker()
    assert asker.need() == ANA
    asker.answer(helps=False)
    assert asker.need() == BEN


def test_a_useless_answer_asks_nobody_while_another_may_come() -> None:
    asker = Asker()
    asker.need()
    asker.now_ms += PATIENCE_MS_MIN
    assert asker.need() == BEN
    asker.answer(helps=False, number=0)
    assert asker.need() is None


def test_one_does_not_ask_oneself_nor_a_peer_twice_in_a_round() -> None:
    asker = Asker()
    named = (OWN, ANA, ANA, BEN)
    assert asker.need(peers=named) == ANA
    asker.answer(helps=False)
    assert asker.need(peers=named) == BEN
    asker.answer(helps=False)
    assert asker.need(peers=named) is None
    assert asker.need(FetchCertificates(1), peers=(OWN,)) is None
    assert asker.next_after_ms is None, "nobody can be asked"


def test_after_all_peers_it_pauses_and_begins_again() -> None:
    asker = Asker()
    assert asker.need(peers=(ANA,)) == ANA
    asker.answer(helps=False)
    assert asker.need(peers=(ANA,)) is None
    assert asker.next_after_ms == PAUSE_MS
    asker.now_ms += PAUSE_MS - 1
    assert asker.need(peers=(ANA,)) is None
    asker.now_ms += 1
    assert asker.need(peers=(ANA,)) == ANA


def test_a_late_useless_answer_does_not_end_the_pause() -> None:
    asker = Asker()
    asker.need(peers=(ANA,))
    asker.now_ms += PATIENCE_MS_MIN
    assert asker.need(peers=(ANA,)) is None
    asker.answer(helps=False)
    assert asker.next_after_ms == PAUSE_MS


def test_whom_another_reason_names_is_asked_in_the_same_round() -> None:
    """Signers of a finalization may all be gone while who speaks of a later epoch has the blocks."""
    asker = Asker()
    in_turn = [asker.need(peers=(ANA, BEN))]
    assert asker.need(peers=(CEM,)) is None
    for _ in range(2):
        asker.answer(helps=False)
        in_turn.append(asker.need(peers=(ANA, BEN)))
    assert in_turn == [ANA, BEN, CEM]


def test_who_is_silent_holds_one_question_of_a_kind() -> None:
    """So it cannot keep anything from being asked of others, however often it is named."""
    asker = Asker()
    for height in range(1, 9):
        assert asker.need(FetchFinalBlocks(height), peers=(ANA,)) == (ANA if height == 1 else None)
    assert asker.need(BLOCK, peers=(ANA,)) == ANA
    assert asker.need(OTHER_BLOCK, peers=(ANA, BEN)) == BEN
    assert asker.need(FetchCertificates(1), peers=(ANA,)) == ANA


def test_who_was_silent_is_asked_after_the_others_for_a_while() -> None:
    asker = Asker()
    assert asker.need() == ANA
    asker.now_ms += PATIENCE_MS_MIN
    assert asker.need() == BEN
    asker.answer(helps=True)
    asker.fetcher.answered(asker.asked[0].request)  # it never came
    for height in range(1, 6):
        assert asker.need(FetchFinalBlocks(height)) in (BEN, CEM)
        asker.answer(helps=True)
    asker.now_ms += ASKED_LAST_MS
    assert asker.need(FetchFinalBlocks(6)) == ANA


def test_who_gave_a_useless_answer_is_asked_after_the_others_until_it_helps() -> None:
    asker = Asker()
    assert asker.need() == ANA
    asker.answer(helps=False)
    assert asker.need() == BEN
    asker.answer(helps=False)
    assert asker.need() == CEM
    asker.answer(helps=False)
    asker.need()
    asker.now_ms += PAUSE_MS
    assert asker.need() == ANA, "nobody is better: who was not asked for the longest time"
    asker.answer(helps=True)
    assert [asker.need(FetchFinalBlocks(height)) for height in (1, 2)] == [ANA, BEN]


def test_who_helps_slowly_does_not_get_every_question() -> None:
    """Else a liar that answers just in time, with one block of many, is whom a catch-up waits for."""
    asker = Asker()
    in_turn = []
    for height in range(1, 7):
        in_turn.append(asker.need(FetchFinalBlocks(height)))
        asker.answer(helps=True, after_ms=PATIENCE_MS_MIN // 2)
    assert in_turn == [ANA, BEN, CEM] * 2


def test_where_answers_take_long_more_patience_is_had() -> None:
    asker = Asker()
    asker.need()
    asker.answer(helps=True, after_ms=400)
    asker.need(OTHER_BLOCK)
    assert asker.next_after_ms == 800
    asker.answer(helps=True, after_ms=3_000)
    asker.need(BLOCK)
    assert asker.next_after_ms == PATIENCE_MS_MAX
    asker.answer(helps=True, after_ms=5)
    asker.need(OTHER_BLOCK)
    assert asker.next_after_ms == PATIENCE_MS_MIN


def test_who_answers_after_another_has_neither_praise_nor_patience_of_it() -> None:
    asker = Asker()
    assert asker.need() == ANA
    asker.now_ms += PATIENCE_MS_MIN
    assert asker.need() == BEN
    asker.answer(helps=True, after_ms=5)
    asker.answer(helps=True, after_ms=2_000, number=0)
    assert asker.need(OTHER_BLOCK) == CEM
    assert asker.next_after_ms == PATIENCE_MS_MIN
    asker.answer(helps=True)
    assert asker.need() == BEN


def test_a_thing_may_have_time_to_arrive_by_itself() -> None:
    asker = Asker()
    assert asker.need(delay_ms=30) is None
    assert asker.next_after_ms == 30
    asker.now_ms += 29
    assert asker.need(delay_ms=30) is None
    asker.now_ms += 1
    assert asker.next_after_ms is None, "who asks then is not woken again at once"
    assert asker.need(delay_ms=30) == ANA


def test_an_answer_counts_once_and_only_when_asked() -> None:
    asker = Asker()
    asker.need()
    request = asker.asked[0].request
    assert asker.fetcher.answered(request + 1) is None
    question = asker.fetcher.answered(request)
    assert question is not None
    assert (question.what, question.peer) == (BLOCK, ANA)
    assert asker.fetcher.answered(request) is None


def test_what_is_not_missing_any_more_is_not_asked_for() -> None:
    asker = Asker()
    asker.need(delay_ms=30)
    asker.fetcher.forget_unneeded()
    assert asker.next_after_ms is None
    asker.need()
    asker.fetcher.forget_unneeded()
    assert asker.next_after_ms is None
    asker.answer(helps=False)
    assert asker.next_after_ms is None


def test_requests_are_numbered_upwards_from_one() -> None:
    """A peer and the one who asks tell answers apart by these numbers, which are unsigned on the wire."""
    asker = Asker()
    for peer in OTHERS:
        asker.need(BLOCK, (peer,))
        asker.answer(helps=False)
        asker.fetcher.forget_unneeded()
    assert [fetch.request for fetch in asker.asked] == [1, 2, 3]


def test_questions_and_what_is_remembered_of_peers_are_bounded() -> None:
    asker = Asker()
    for number in range(3 * PEERS_MAX):
        asker.need(FetchBlock(bytes(32)), (b"stranger %d" % number,))
        asker.now_ms += PATIENCE_MS_MIN
        asker.answer(helps=False)
    assert len(asker.fetcher._conduct) == PEERS_MAX
    assert len(asker.fetcher._wanted) == 1
    assert not asker.fetcher._questions
