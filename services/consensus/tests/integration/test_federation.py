from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from icn.consensus.v1 import service_pb2
from icn_consensus.main import build
from icn_consensus.store.block_store import RecordLogStale
from icn_consensus.store.record_log import KEY_NOTE_SUFFIX, RecordLog, RecordLogInUse, RecordLogMissing
from icn_crypto.suites import Suite
from icn_kit.errors import from_rpc_error
from prometheus_client import REGISTRY

from .conftest import Federation, MakeFederation, Validator, until
from .counting_application import chain_of, make_transaction, transaction_id

PENDING = service_pb2.SUBMIT_STATE_PENDING
COMMITTED = service_pb2.SUBMIT_STATE_COMMITTED
REFUSED = service_pb2.SUBMIT_STATE_REFUSED
EXPIRED = service_pb2.SUBMIT_STATE_EXPIRED
UNKNOWN = service_pb2.SUBMIT_STATE_UNKNOWN


def lane_of(name: bytes, count: int, first: int = 1) -> list[bytes]:
    return [make_transaction(name, first + offset) for offset in range(count)]


async def all_have(federation: Federation, total: int) -> None:
    await until(lambda: all(application.total == total for application in federation.applications))
    chain_of(federation.applications)


async def test_a_transaction_is_committed_by_all_four_and_answered_with_its_receipt(
    federation: Federation,
) -> None:
    data = make_transaction(b"ana", 1)
    asked_ms = time.time_ns() // 1_000_000
    [outcome] = await federation.validators[0].submit([data])
    status = await federation.validators[0].status()
    assert outcome.state == COMMITTED
    assert outcome.transaction_id == transaction_id(data)
    assert outcome.receipt == b"done at %d" % outcome.height
    assert status.final_height >= outcome.height
    assert asked_ms <= status.final_since_time_ms <= time.time_ns() // 1_000_000
    await all_have(federation, 1)


async def test_many_lanes_through_all_validators_are_committed_once_each(federation: Federation) -> None:
    batches = [lane_of(b"lane %d" % number, 250) for number in range(8)]
    answers = await asyncio.gather(
        *(federation.validators[number % 4].submit(batch) for number, batch in enumerate(batches))
    )
    assert {outcome.state for outcomes in answers for outcome in outcomes} == {COMMITTED}
    await all_have(federation, 2_000)


async def test_the_same_transaction_through_two_validators_has_one_effect_and_two_equal_answers(
    federation: Federation,
) -> None:
    data = make_transaction(b"ana", 1)
    [[first], [second]] = await asyncio.gather(
        federation.validators[0].submit([data]), federation.validators[2].submit([data])
    )
    assert (first.state, first.height, first.receipt) == (second.state, second.height, second.receipt)
    await all_have(federation, 1)


async def test_what_was_committed_lately_is_answered_again_with_its_receipt(federation: Federation) -> None:
    data = make_transaction(b"ana", 1)
    [first] = await federation.validators[0].submit([data])
    [again] = await federation.validators[0].submit([data])
    assert (again.state, again.height, again.receipt) == (COMMITTED, first.height, first.receipt)


async def test_who_runs_a_validator_sees_its_pool_records_and_peers(federation: Federation) -> None:
    validator = federation.validators[0]
    behind_a_gap = make_transaction(b"ben", 5)
    [waiting] = await validator.submit([behind_a_gap], 0)
    assert waiting.state == PENDING
    await validator.submit(lane_of(b"ana", 3))
    await all_have(federation, 3)
    node = await validator.node()
    assert (node.pool.transactions, node.pool.size_bytes) == (1, len(behind_a_gap))
    assert node.pool.oldest_age_ms > 0
    assert 0 < node.record_log.synced_sequence <= node.record_log.sequence
    assert node.record_log.size_bytes > 0
    assert node.view_timeout_ms >= 250
    assert [peer.seat for peer in node.peers] == [1, 2, 3]
    seats = federation.network.genesis.validators
    assert [peer.public_key for peer in node.peers] == [seat.public_keys[Suite.ED25519] for seat in seats[1:]]
    assert not any(peer.is_silent or peer.is_barred for peer in node.peers)
    assert all(min(peer.streams.sent_bytes, peer.streams.received_bytes) > 0 for peer in node.peers)
    assert sum(peer.kept_turns for peer in node.peers) > 0
    await federation.validators[3].stop()
    async with asyncio.timeout(10):
        while (await validator.node()).peers[2].HasField("streams"):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)


async def test_what_a_validator_measures_is_exported(federation: Federation) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    sent = value("icn_consensus_peer_bytes_total", direction="sent")
    notarized = value("icn_consensus_notarization_seconds_count")
    await federation.validators[0].submit(lane_of(b"ana", 3))
    await all_have(federation, 3)
    assert value("icn_consensus_peer_bytes_total", direction="sent") > sent
    assert value("icn_consensus_notarization_seconds_count") > notarized
    assert value("icn_consensus_height_blocks", seat="1", which="final") >= 1
    assert value("icn_consensus_view_timeout_seconds", seat="1") >= 0.25
    turns = [value("icn_consensus_turns_views", leader=str(seat), end="notarized") for seat in range(4)]
    assert sum(turns) > 0


async def test_after_a_restart_a_client_is_told_to_ask_by_id(federation: Federation) -> None:
    data = make_transaction(b"ana", 1)
    [first] = await federation.validators[0].submit([data])
    await federation.validators[0].stop()
    await federation.validators[0].start()
    [again] = await federation.validators[0].submit([data])
    assert (again.state, again.reason, again.height) == (UNKNOWN, "ALREADY_EXECUTED", first.height)


async def test_refusals_say_which_transaction_and_why(federation: Federation) -> None:
    validator = federation.validators[1]
    await validator.submit(lane_of(b"ana", 1))
    used = make_transaction(b"ana", 1, payload=b"another")
    late = make_transaction(b"ben", 1, lifetime_ms=-1)
    outcomes = await validator.submit([b"short", used, late])
    assert [(outcome.position, outcome.state, outcome.reason) for outcome in outcomes] == [
        (0, REFUSED, "MALFORMED_TRANSACTION"),
        (1, REFUSED, "SEQUENCE_USED"),
        (2, REFUSED, "EXPIRED"),
    ]
    assert [outcome.transaction_id for outcome in outcomes] == [
        b"",
        transaction_id(used),
        transaction_id(late),
    ]


@pytest.mark.parametrize(
    ("count", "wait_ms", "reason"),
    [(0, 0, "NO_TRANSACTIONS"), (1_001, 0, "TOO_MANY_TRANSACTIONS"), (1, 30_001, "WAIT_TOO_LONG")],
)
async def test_a_call_out_of_bounds_is_refused(
    federation: Federation, count: int, wait_ms: int, reason: str
) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        await federation.validators[0].submit([b"x"] * count, wait_ms)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert from_rpc_error(refusal.value).reason == reason


async def test_without_waiting_a_call_answers_once_its_transactions_are_in_the_pool(
    federation: Federation,
) -> None:
    [outcome] = await federation.validators[0].submit(lane_of(b"ana", 1), wait_ms=0)
    assert outcome.state in (PENDING, COMMITTED)
    await all_have(federation, 1)


async def test_a_transaction_ahead_of_its_lane_waits_for_its_predecessor(federation: Federation) -> None:
    first, second = lane_of(b"ana", 2)
    ahead = asyncio.ensure_future(federation.validators[0].submit([second]))
    await asyncio.sleep(0.5)
    assert not ahead.done()
    await federation.validators[3].submit([first])
    [outcome] = await ahead
    assert outcome.state == COMMITTED
    await all_have(federation, 2)


async def test_what_no_block_includes_expires_in_block_time_on_an_idle_chain(
    make_federation: MakeFederation,
) -> None:
    federation = make_federation(heartbeat_ms=1_000)
    await federation.start()
    [outcome] = await federation.validators[0].submit([make_transaction(b"ana", 2, lifetime_ms=1_000)])
    assert (outcome.state, outcome.reason) == (EXPIRED, "EXPIRED")
    assert federation.validators[0].application.total == 0


async def test_a_full_pool_refuses_with_a_time_to_come_back(make_federation: MakeFederation) -> None:
    federation = make_federation()
    for validator in federation.validators:
        validator.settings = validator.settings.model_copy(update={"pool_transactions_max": 10})
    for validator in federation.validators[:2]:
        await validator.start()  # no quorum: nothing leaves the pool
    outcomes = await federation.validators[0].submit(lane_of(b"ana", 11), wait_ms=0)
    assert [outcome.state for outcome in outcomes] == [PENDING] * 10 + [REFUSED]
    assert (outcomes[10].reason, outcomes[10].retry_after_ms) == ("POOL_FULL", 500)
    for validator in federation.validators[2:]:
        await validator.start()
    await all_have(federation, 10)


async def test_one_validator_down_does_not_stop_the_others_and_it_catches_up_when_it_returns(
    federation: Federation,
) -> None:
    away = federation.validators[3]
    await federation.validators[0].submit(lane_of(b"ana", 10))
    await away.stop()
    for turn in range(10):
        outcomes = await federation.validators[turn % 3].submit(lane_of(b"ben", 5, 1 + 5 * turn))
        assert {outcome.state for outcome in outcomes} == {COMMITTED}
    await away.start()
    assert away.service is not None
    assert away.service.fault, (
        "not ready before it is where the others are: a drain may take the next one then"
    )
    await all_have(federation, 60)
    [outcome] = await away.submit(lane_of(b"cleo", 1))
    assert outcome.state == COMMITTED
    assert away.service.fault == ""
    status = await away.status()
    assert (status.seat, status.is_catching_up) == (3, False)
    assert all(peer.is_connected for peer in status.peers)


async def test_a_validator_far_behind_catches_up_in_pages(federation: Federation) -> None:
    away = federation.validators[1]
    await away.stop()
    for sequence in range(1, 76):
        await federation.validators[0].submit(lane_of(b"ana", 1, sequence))
    assert federation.validators[0].application.height >= 75, "more than one page of final blocks"
    await away.start()
    await all_have(federation, 75)


async def test_without_a_quorum_nothing_is_final_and_with_it_again_everything_goes_on(
    federation: Federation,
) -> None:
    for validator in federation.validators[2:]:
        await validator.stop()
    [outcome] = await federation.validators[0].submit(lane_of(b"ana", 1), wait_ms=1_000)
    assert outcome.state == PENDING
    for validator in federation.validators[2:]:
        await validator.start()
    await all_have(federation, 1)


async def test_all_validators_restarted_at_once_go_on_from_their_disks(federation: Federation) -> None:
    await federation.validators[0].submit(lane_of(b"ana", 20))
    await asyncio.gather(*(validator.stop() for validator in federation.validators))
    await asyncio.gather(*(validator.start() for validator in federation.validators))
    outcomes = await federation.validators[2].submit(lane_of(b"ana", 20, 21))
    assert {outcome.state for outcome in outcomes} == {COMMITTED}
    await all_have(federation, 40)


async def test_an_application_that_lost_its_state_is_executed_again_from_the_block_store(
    federation: Federation,
) -> None:
    validator = federation.validators[2]
    for turn in range(5):
        await federation.validators[0].submit(lane_of(b"ana", 10, 1 + 10 * turn))
    await all_have(federation, 50)
    await validator.stop()
    validator.application = validator.new_application()
    await validator.start()
    assert validator.application.total == 50
    await federation.validators[0].submit(lane_of(b"ana", 10, 51))
    await all_have(federation, 60)


async def test_an_application_that_forgot_the_branch_is_taught_it_again(federation: Federation) -> None:
    async def forget() -> None:
        while True:
            await asyncio.sleep(0.05)
            for application in federation.applications:
                application.judged.clear()

    forgetting = asyncio.ensure_future(forget())
    try:
        for turn in range(5):
            outcomes = await federation.validators[turn % 4].submit(lane_of(b"ana", 40, 1 + 40 * turn))
            assert {outcome.state for outcome in outcomes} == {COMMITTED}
    finally:
        forgetting.cancel()
    await all_have(federation, 200)


class TestStreams:
    async def test_a_stream_tells_of_each_transaction_when_it_is_taken_and_when_it_is_final(
        self, federation: Federation
    ) -> None:
        batches = [lane_of(b"lane %d" % number, 100) for number in range(5)]

        async def requests() -> AsyncIterator[Any]:
            for batch in batches:
                yield service_pb2.StreamTransactionsRequest(transactions=[*batch, b"short"])

        states: dict[int, list[int]] = {}
        async for response in federation.validators[0].stub().StreamTransactions(requests()):
            for outcome in response.outcomes:
                states.setdefault(outcome.position, []).append(outcome.state)
        malformed = {101 * number + 100 for number in range(5)}
        assert states == {
            position: [REFUSED] if position in malformed else [PENDING, COMMITTED] for position in range(505)
        }
        await all_have(federation, 500)

    async def test_a_stream_ends_unavailable_when_the_validator_stops(self, federation: Federation) -> None:
        for validator in federation.validators[2:]:
            await validator.stop()
        call = federation.validators[0].stub().StreamTransactions()
        await call.write(service_pb2.StreamTransactionsRequest(transactions=lane_of(b"ana", 1)))
        assert (await call.read()).outcomes[0].state == PENDING
        await federation.validators[0].stop()
        with pytest.raises(grpc.RpcError) as ended:
            while await call.read() is not grpc.aio.EOF:
                pass
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
        assert from_rpc_error(ended.value).reason == "DRAINING"

    async def test_a_waiting_call_is_told_to_ask_by_id_when_the_validator_stops(
        self, federation: Federation
    ) -> None:
        for validator in federation.validators[2:]:
            await validator.stop()
        waiting = asyncio.ensure_future(federation.validators[0].submit(lane_of(b"ana", 1), 20_000))
        service = federation.validators[0].service
        assert service is not None
        await until(lambda: bool(service.driver.ends))
        await federation.validators[0].stop()
        [outcome] = await waiting
        assert (outcome.state, outcome.reason) == (UNKNOWN, "DRAINING")

    async def test_too_many_transactions_in_one_message_end_the_stream(self, federation: Federation) -> None:
        call = federation.validators[0].stub().StreamTransactions()
        await call.write(service_pb2.StreamTransactionsRequest(transactions=[b"x"] * 1_001))
        with pytest.raises(grpc.RpcError) as ended:
            await call.read()
        assert from_rpc_error(ended.value).reason == "TOO_MANY_TRANSACTIONS"

    async def test_a_stream_ends_unavailable_when_the_application_cannot_check(
        self, federation: Federation
    ) -> None:
        federation.validators[0].application.refuses_checks = True
        call = federation.validators[0].stub().StreamTransactions()
        await call.write(service_pb2.StreamTransactionsRequest(transactions=lane_of(b"ana", 1)))
        with pytest.raises(grpc.RpcError) as ended:
            await call.read()
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
        assert from_rpc_error(ended.value).reason == "APPLICATION_AWAY"


def key_note(validator: Validator) -> Path:
    key_file = validator.settings.key_file
    return key_file.with_name(key_file.name + KEY_NOTE_SUFFIX)


class TestSigningState:
    """What could make a validator contradict itself keeps it from starting."""

    async def test_a_second_service_cannot_use_the_key(self, federation: Federation) -> None:
        second = await build(federation.validators[0].settings)
        with pytest.raises(RecordLogInUse):
            await second.start()
        await second.drain()

    async def test_a_lost_record_log_keeps_the_validator_from_starting(self, federation: Federation) -> None:
        validator = federation.validators[0]
        await validator.submit(lane_of(b"ana", 1))
        await validator.stop()
        shutil.rmtree(validator.settings.record_directory)
        await self._cannot_start(validator, "there is none here", RecordLogMissing)
        key_note(validator).unlink()  # as on a read-only volume: then the block store notices
        await self._cannot_start(validator, "not the one that the block store knows of this key")

    async def test_a_validator_that_lost_log_and_database_together_does_not_vote_anew(
        self, federation: Federation, four_databases: list[str]
    ) -> None:
        validator = federation.validators[0]
        await validator.submit(lane_of(b"ana", 1))
        await validator.stop()
        shutil.rmtree(validator.settings.record_directory)
        with psycopg.connect(four_databases[0]) as connection:
            connection.execute("TRUNCATE consensus.final_blocks, consensus.record_log")
        await self._cannot_start(validator, "there is none here", RecordLogMissing)

    async def test_another_log_than_the_one_noted_beside_the_key_keeps_the_validator_from_starting(
        self, federation: Federation
    ) -> None:
        validator = federation.validators[0]
        await validator.stop()
        key_note(validator).write_text("00" * 16 + "\n")
        await self._cannot_start(validator, "the log here is", RecordLogMissing)

    async def test_an_older_copy_of_the_record_log_keeps_the_validator_from_starting(
        self, federation: Federation, four_databases: list[str]
    ) -> None:
        def newest_known_to_the_store() -> int:
            with psycopg.connect(four_databases[0]) as connection:
                row = connection.execute("SELECT sequence FROM consensus.record_log").fetchone()
                return row[0] if row is not None else 0

        validator = federation.validators[0]
        await validator.submit(lane_of(b"ana", 1))
        await validator.stop()
        copy = validator.directory / "copy"
        shutil.copytree(validator.settings.record_directory, copy)
        log = RecordLog.open(
            copy, genesis_hash=federation.network.genesis.hash, public_key=validator.public_key
        )
        copied = log.sequence
        log.close()
        await validator.start()
        sequence = 1
        while newest_known_to_the_store() <= copied:  # it may only have followed the others at first
            sequence += 1
            await validator.submit(lane_of(b"ana", 1, sequence))
        await validator.stop()
        shutil.rmtree(validator.settings.record_directory)
        copy.rename(validator.settings.record_directory)
        await self._cannot_start(validator, "was durable already")

    async def _cannot_start(
        self, validator: Validator, why: str, error: type[Exception] = RecordLogStale
    ) -> None:
        service = await build(validator.settings)
        with pytest.raises(error, match=why):
            await service.start()
        await service.drain()
