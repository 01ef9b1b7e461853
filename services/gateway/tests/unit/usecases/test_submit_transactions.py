from __future__ import annotations

from typing import Any

import pytest
from icn.consensus.v1 import service_pb2 as consensus
from icn.ledger.v1.transaction_pb2 import Transaction
from icn_crypto import tags
from icn_crypto.hashing import domain_hash
from icn_gateway.domain.outcome import TRANSACTION_BYTES_MAX, OutcomeState
from icn_gateway.usecases.submit_transactions import SubmissionFailed, submit_transactions, transaction_id
from icn_kit.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted, Unavailable


async def submit(zone: Any, *transactions: bytes, wait_ms: int = 0) -> Any:
    return await submit_transactions(transactions, wait_ms, zone.genesis.hash, zone, zone)


def refused(zone: Any, submitted: bytes, reason: str, state: int = consensus.SUBMIT_STATE_REFUSED) -> bytes:
    name = transaction_id(submitted, zone.genesis.hash)
    zone.outcomes[submitted] = consensus.SubmitOutcome(transaction_id=name, state=state, reason=reason)
    return name


async def test_what_a_pool_took_is_pending_under_its_id(zone: Any, make: Any) -> None:
    (outcome,) = await submit(zone, make.signed(1))
    assert outcome.state is OutcomeState.PENDING
    assert outcome.transaction_id == transaction_id(make.signed(1), zone.genesis.hash)


async def test_the_wait_reaches_the_validator(zone: Any, make: Any) -> None:
    await submit(zone, make.signed(1), wait_ms=1_234)
    assert zone.submissions == [(1, 1_234)]


def test_the_id_is_the_domain_hash_of_the_body_and_does_not_know_the_signatures(zone: Any, make: Any) -> None:
    parsed = Transaction.FromString(make.signed(1))
    expected = domain_hash(tags.TRANSACTION_ID, zone.genesis.hash, parsed.body)
    assert transaction_id(make.signed(1), zone.genesis.hash) == expected
    parsed.signatures[0].signature = b"\x01" * 64
    assert transaction_id(parsed.SerializeToString(), zone.genesis.hash) == expected


def test_the_same_body_has_another_id_in_another_zone(zone: Any, make: Any) -> None:
    assert transaction_id(make.signed(1), zone.genesis.hash) != transaction_id(make.signed(1), bytes(32))


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00",
        b"\xff" * 40,
        b"\x0a\x05abc",
        b"not protobuf at all",
        b"\x12\x00",
        bytes(TRANSACTION_BYTES_MAX + 1),
    ],
)
async def test_what_is_no_transaction_is_refused_at_the_door(zone: Any, garbage: bytes) -> None:
    (outcome,) = await submit(zone, garbage)
    assert (outcome.state, outcome.reason, outcome.transaction_id) == (
        OutcomeState.REFUSED,
        "MALFORMED_TRANSACTION",
        b"",
    )
    assert zone.submissions == []


async def test_garbage_in_a_batch_leaves_the_others_in_their_places(zone: Any, make: Any) -> None:
    outcomes = await submit(zone, b"", make.signed(1), b"\xff", make.signed(21))
    assert [outcome.state for outcome in outcomes] == [
        OutcomeState.REFUSED,
        OutcomeState.PENDING,
        OutcomeState.REFUSED,
        OutcomeState.PENDING,
    ]
    assert outcomes[3].transaction_id == transaction_id(make.signed(21), zone.genesis.hash)
    assert zone.submissions == [(2, 0)]


@pytest.mark.parametrize("reason", ["SEQUENCE_USED", "EXPIRED"])
async def test_sending_committed_bytes_again_gives_the_first_answer(zone: Any, reason: str) -> None:
    committed, first = next(iter(zone.outcomes.items()))
    refused(zone, committed, reason)
    (outcome,) = await submit(zone, committed)
    assert outcome.state is OutcomeState.COMMITTED
    assert (outcome.height, outcome.receipt) == (first.height, first.receipt)


async def test_a_used_sequence_of_another_transaction_stays_refused(zone: Any, make: Any) -> None:
    refused(zone, make.signed(9), "SEQUENCE_USED")
    (outcome,) = await submit(zone, make.signed(9))
    assert (outcome.state, outcome.reason) == (OutcomeState.REFUSED, "SEQUENCE_USED")


async def test_other_refusals_are_believed_without_asking_the_ledger(zone: Any, make: Any) -> None:
    refused(zone, make.signed(9), "SIGNATURE_INVALID")
    await submit(zone, make.signed(9))
    assert "get_transaction" not in zone.calls


async def test_expired_and_unknown_outcomes_are_looked_up(zone: Any) -> None:
    committed = next(iter(zone.outcomes))
    for state in (consensus.SUBMIT_STATE_EXPIRED, consensus.SUBMIT_STATE_UNKNOWN):
        refused(zone, committed, "", state)
        (outcome,) = await submit(zone, committed)
        assert outcome.state is OutcomeState.COMMITTED


async def test_a_possible_repeat_that_cannot_be_looked_up_is_unknown_not_refused(
    zone: Any, make: Any
) -> None:
    refused(zone, make.signed(9), "SEQUENCE_USED")

    async def unreachable(_name: str) -> Any:
        raise Unavailable("NO_VALIDATOR_REACHABLE", "none")

    zone.get_transaction = unreachable
    (outcome,) = await submit(zone, make.signed(9))
    assert outcome.state is OutcomeState.UNKNOWN


@pytest.mark.parametrize("cause", [Unavailable("UNREACHABLE", ""), DeadlineExceeded("DEADLINE_EXCEEDED", "")])
async def test_no_answer_tells_which_ids_to_ask_for(zone: Any, make: Any, cause: Exception) -> None:
    zone.fault = cause
    with pytest.raises(SubmissionFailed) as failure:
        await submit(zone, b"garbage", make.signed(4))
    assert failure.value.cause is cause
    assert failure.value.transaction_ids == [transaction_id(make.signed(4), zone.genesis.hash)]


async def test_a_refusal_of_the_whole_request_is_passed_on(zone: Any, make: Any) -> None:
    zone.fault = InvalidArgument("TOO_MANY_TRANSACTIONS", "no")
    with pytest.raises(InvalidArgument):
        await submit(zone, make.signed(4))


@pytest.mark.parametrize(("said_ms", "told_ms"), [(2_500, 2_500), (0, 1_000)])
async def test_a_validator_without_room_for_any_is_a_refusal_of_each_that_says_when_to_come_back(
    zone: Any, make: Any, monkeypatch: pytest.MonkeyPatch, said_ms: int, told_ms: int
) -> None:
    async def full(*_: Any) -> Any:
        refusal = ResourceExhausted("POOL_FULL", "no room")
        refusal.retry_after_ms = said_ms
        raise refusal

    monkeypatch.setattr(zone, "submit", full)
    outcomes = await submit(zone, make.signed(1), b"garbage", make.signed(2))
    assert [(one.state, one.reason, one.retry_after_ms) for one in outcomes] == [
        (OutcomeState.REFUSED, "POOL_FULL", told_ms),
        (OutcomeState.REFUSED, "MALFORMED_TRANSACTION", 0),
        (OutcomeState.REFUSED, "POOL_FULL", told_ms),
    ]
    assert outcomes[0].transaction_id == transaction_id(make.signed(1), zone.genesis.hash)
