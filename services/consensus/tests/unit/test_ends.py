from __future__ import annotations

import asyncio

import pytest
from icn_consensus.api import sinks
from icn_consensus.api.sinks import CallSink, StreamSink
from icn_consensus.usecases.ends import WAITERS_PER_TRANSACTION_MAX, Ends, News, SubmitState
from icn_kit.errors import Unavailable

from .fakes import LATER_MS, FakeSink

PENDING, COMMITTED = SubmitState.PENDING, SubmitState.COMMITTED


def news(position: int, state: SubmitState = COMMITTED, receipt: bytes = b"") -> News:
    return News(position, b"id", state, receipt=receipt)


class TestEnds:
    def test_everybody_who_waits_hears_the_end_once(self) -> None:
        ends, first, second = Ends(), FakeSink(), FakeSink()
        ends.wait(b"id", first, 3)
        ends.wait(b"id", second, 5)
        ends.commit(8, 8_000, [(b"id", b"receipt")])
        ends.commit(9, 9_000, [(b"id", b"receipt")])
        assert first.news == [
            News(3, b"id", PENDING),
            News(3, b"id", COMMITTED, height=8, receipt=b"receipt"),
        ]
        assert [one.position for one in second.news] == [5, 5]
        assert len(ends) == 0

    def test_who_has_gone_is_told_nothing(self) -> None:
        ends, sink = Ends(), FakeSink()
        ends.wait(b"id", sink, 0)
        sink.is_closed = True
        ends.expire(b"id", "too late")
        assert [one.state for one in sink.news] == [PENDING]

    def test_a_refusal_and_an_expiry_say_why(self) -> None:
        ends, sink = Ends(), FakeSink()
        ends.wait(b"a", sink, 0)
        ends.wait(b"b", sink, 1)
        ends.wait(b"c", sink, 2)
        ends.refuse(b"a", "KEY_UNKNOWN", "gone", 5, open_until_ms=0)
        ends.expire(b"b", "too late")
        ends.refuse(b"c", "KEY_UNKNOWN", "gone", 5, open_until_ms=LATER_MS)
        assert sink.news[3:] == [
            News(0, b"a", SubmitState.REFUSED, "KEY_UNKNOWN", "gone", retry_after_ms=5),
            News(1, b"b", SubmitState.EXPIRED, "EXPIRED", "too late"),
            News(2, b"c", SubmitState.UNKNOWN, "KEY_UNKNOWN", "gone", retry_after_ms=5),
        ]

    def test_what_others_may_include_is_undecided_until_it_is_committed_or_block_time_has_passed_it(
        self,
    ) -> None:
        ends = Ends()
        ends.refuse(b"a", "POOL_FULL", "no room", open_until_ms=5_000)
        ends.refuse(b"b", "POOL_FULL", "no room", open_until_ms=6_000)
        ends.refuse(b"ours alone", "POOL_FULL", "no room", open_until_ms=0)
        for height, block_time_ms, undecided in ((1, 5_000, [5, 6]), (2, 5_001, [6]), (3, 6_001, [])):
            ends.commit(height, block_time_ms, [])
            assert [
                expiry
                for identifier, expiry in ((b"a", 5), (b"b", 6), (b"ours alone", 9), (b"never seen", 1))
                if ends.is_undecided(identifier, expiry * 1_000)
            ] == undecided
        ends.refuse(b"c", "POOL_FULL", "no room", open_until_ms=9_000)
        assert ends.is_undecided(b"c", 9_000)
        ends.commit(4, 7_000, [(b"c", b"receipt")])
        assert not ends.is_undecided(b"c", 9_000)

    def test_of_too_many_undecided_the_latest_expiry_is_kept_for_all(self) -> None:
        ends = Ends(remembered_max=2)
        for identifier, expiry in ((b"a", 8), (b"b", 4), (b"c", 9), (b"d", 9)):
            ends.refuse(identifier, "POOL_FULL", "no room", open_until_ms=expiry)
        assert [ends.is_undecided(b"any", expiry) for expiry in (0, 4, 8, 9)] == [False, True, True, False]
        assert ends.is_undecided(b"c", 9) and ends.is_undecided(b"d", 9)

    def test_when_the_validator_stops_everybody_is_told_to_ask_by_id(self) -> None:
        ends, sink = Ends(), FakeSink()
        ends.wait(b"id", sink, 0)
        ends.close()
        assert (sink.news[1].state, sink.news[1].reason) == (SubmitState.UNKNOWN, "DRAINING")

    def test_the_latest_ends_are_remembered_up_to_the_limit(self) -> None:
        ends = Ends(remembered_max=2)
        ends.commit(1, 1_000, [(b"a", b"1"), (b"b", b"2")])
        ends.commit(2, 2_000, [(b"c", b"3")])
        assert [ends.committed(one) for one in (b"a", b"b", b"c")] == [None, (1, b"2"), (2, b"3")]

    def test_only_so_many_may_wait_for_one_transaction_but_the_gone_do_not_count(self) -> None:
        ends = Ends()
        waiting = [FakeSink() for _ in range(WAITERS_PER_TRANSACTION_MAX)]
        for sink in waiting:
            ends.wait(b"id", sink, 0)
        late = FakeSink()
        ends.wait(b"id", late, 0)
        assert [one.state for one in late.news] == [SubmitState.UNKNOWN]
        waiting[0].is_closed = True
        later = FakeSink()
        ends.wait(b"id", later, 0)
        assert [one.state for one in later.news] == [PENDING]


class TestCallSink:
    async def test_without_waiting_the_first_words_are_the_answer(self) -> None:
        sink = CallSink(2)
        answer = asyncio.ensure_future(sink.wait(0))
        sink.tell(news(1, PENDING))
        await asyncio.sleep(0)
        assert not answer.done()
        sink.tell(news(0, PENDING))
        assert [one.position for one in await answer] == [0, 1]

    async def test_waiting_ends_with_the_last_end(self) -> None:
        sink = CallSink(2)
        answer = asyncio.ensure_future(sink.wait(10))
        for position in (0, 1):
            sink.tell(news(position, PENDING))
        sink.tell(news(1))
        await asyncio.sleep(0)
        assert not answer.done()
        sink.tell(news(0))
        assert [one.state for one in await answer] == [COMMITTED, COMMITTED]

    async def test_when_the_time_is_over_the_latest_word_counts(self) -> None:
        sink = CallSink(2)
        for position in (0, 1):
            sink.tell(news(position, PENDING))
        sink.tell(news(0))
        assert [one.state for one in await sink.wait(0.01)] == [COMMITTED, PENDING]

    @pytest.mark.parametrize("told", [0, 1])
    async def test_a_failure_ends_the_call(self, told: int) -> None:
        sink = CallSink(2)
        for position in range(told):
            sink.tell(news(position, PENDING))
        sink.fail(Unavailable("APPLICATION_AWAY", "gone"))
        with pytest.raises(Unavailable):
            await sink.wait(5)


class TestStreamSink:
    async def test_positions_count_over_the_whole_stream(self) -> None:
        sink = StreamSink()
        assert [sink.expect(3), sink.expect(0), sink.expect(2)] == [0, 3, 3]

    async def test_it_ends_when_the_client_has_and_every_transaction_has_an_end(self) -> None:
        sink = StreamSink()
        sink.expect(1)
        sink.end()
        sink.tell(news(0, PENDING))
        assert [one.state for one in await sink.take() or ()] == [PENDING]
        taking = asyncio.ensure_future(sink.take())
        await asyncio.sleep(0)
        assert not taking.done()
        sink.tell(news(0))
        assert [one.state for one in await taking or ()] == [COMMITTED]
        assert await sink.take() is None

    async def test_a_stream_without_any_transaction_ends_at_once(self) -> None:
        sink = StreamSink()
        sink.end()
        assert await sink.take() is None

    async def test_exactly_at_the_limit_of_outstanding_transactions_the_stream_is_read_on(self) -> None:
        sink = StreamSink()
        sink.expect(sinks.STREAM_OUTSTANDING_MAX)
        await sink.wait_for_room()
        sink.expect(1)
        waiting = asyncio.ensure_future(sink.wait_for_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        sink.tell(news(0))
        await sink.take()
        await waiting

    async def test_a_client_that_does_not_read_is_not_read_from(self) -> None:
        sink = StreamSink()
        sink.expect(sinks.STREAM_OUTSTANDING_MAX + 1)
        for position in range(sinks.STREAM_OUTSTANDING_MAX + 1):
            sink.tell(news(position))
        waiting = asyncio.ensure_future(sink.wait_for_room())
        await asyncio.sleep(0)
        assert not waiting.done(), "all ended, nothing was carried to the client yet"
        await sink.take()
        await waiting

    async def test_transactions_refused_at_once_do_not_make_room_before_their_words_are_read(self) -> None:
        sink = StreamSink()
        for position in range(sinks.STREAM_OUTSTANDING_MAX + 1):
            await asyncio.wait_for(sink.wait_for_room(), 1)
            sink.expect(1)
            sink.tell(news(position, SubmitState.REFUSED))
        waiting = asyncio.ensure_future(sink.wait_for_room())
        await asyncio.sleep(0)
        assert not waiting.done(), "every transaction has its end, none of the words was read"
        await sink.take()
        await waiting

    async def test_unread_first_words_count_as_the_ends_do(self) -> None:
        sink = StreamSink()
        half = sinks.STREAM_OUTSTANDING_MAX // 2
        sink.expect(half + 1)
        for position in range(half):
            sink.tell(news(position, PENDING))
        waiting = asyncio.ensure_future(sink.wait_for_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        await sink.take()
        await waiting

    async def test_messages_are_bounded_in_number_and_receipt_bytes(self) -> None:
        sink = StreamSink()
        sink.expect(2_000)
        for position in range(1_001):
            sink.tell(news(position))
        assert [len(await sink.take() or ()), len(await sink.take() or ())] == [1_000, 1]
        for position in range(3):
            sink.tell(news(position, receipt=bytes(600_000)))
        assert [len(await sink.take() or ()), len(await sink.take() or ())] == [2, 1]

    async def test_what_was_told_before_a_failure_is_still_said(self) -> None:
        sink = StreamSink()
        sink.expect(1)
        sink.tell(news(0, PENDING))
        sink.fail(Unavailable("APPLICATION_AWAY", "gone"))
        assert len(await sink.take() or ()) == 1
        with pytest.raises(Unavailable):
            await sink.take()
