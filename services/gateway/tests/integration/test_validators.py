"""The validators over real gRPC: fail-over, preference, deadlines, errors as they were meant."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from icn.consensus.v1 import service_pb2 as consensus
from icn.governance.v1.service_pb2 import RegisterOrganization
from icn.ledger.v1 import state_pb2, transaction_pb2
from icn.ledger.v1.service_pb2 import (
    Entry,
    GetControllerResponse,
    GetStatementRequest,
    GetStatementResponse,
    StatementEdge,
)
from icn_client.commands import sign_command
from icn_client.transactions import KeyPair
from icn_crypto.suites import Suite
from icn_kit import validators as module
from icn_kit.channel import CONNECT_MS_MAX, ChannelFactory
from icn_kit.clock import SystemClock
from icn_kit.commands import CommandVerifier
from icn_kit.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from icn_kit.key_directory import LedgerKeyDirectory
from icn_kit.min_height import min_height
from icn_kit.preference import ValidatorAddress
from icn_kit.validators import Validators

ACCOUNT = f"accounts/{10:032x}"


async def test_every_read_travels_both_ways(validators: Validators, zone: Any, make: Any) -> None:
    principal = zone.genesis.organizations[0].principal.hex()
    transaction = next(iter(zone.transactions)).hex()
    assert await validators.get_account(ACCOUNT) == await zone.get_account(ACCOUNT)
    assert await validators.list_accounts(f"principals/{principal}", 3, "") == await zone.list_accounts(
        f"principals/{principal}", 3, ""
    )
    assert await validators.list_entries(ACCOUNT, 1, "1") == await zone.list_entries(ACCOUNT, 1, "1")
    unit = f"units/{100:032x}"
    assert await validators.get_unit(unit) == await zone.get_unit(unit)
    assert await validators.list_units(1, "1") == await zone.list_units(1, "1")
    controller = await validators.get_controller(f"principals/{principal}")
    assert controller == await zone.get_controller(f"principals/{principal}")
    hold = f"holds/{40:032x}"
    assert await validators.get_hold(hold) == await zone.get_hold(hold)
    allowance = await validators.get_allowance(f"principals/{principal}")
    assert allowance == await zone.get_allowance(f"principals/{principal}")
    recovery = f"recoveries/{zone.genesis.organizations[0].principal.hex()}"
    assert await validators.get_recovery(recovery) == await zone.get_recovery(recovery)
    found = await validators.get_transaction(f"transactions/{transaction}")
    assert found == await zone.get_transaction(f"transactions/{transaction}")
    assert await validators.get_block("blocks/1") == await zone.get_block("blocks/1")
    assert await validators.list_blocks(2, "") == await zone.list_blocks(2, "")
    assert await validators.get_proof(ACCOUNT, 0) == await zone.get_proof(ACCOUNT, 0)


async def test_reads_stay_with_one_validator_while_it_answers(
    validators: Validators, fake_validators: Any
) -> None:
    for _ in range(5):
        await validators.get_account(ACCOUNT)
    assert [validator.calls for validator in fake_validators] == [5, 0, 0, 0]


async def test_a_read_goes_to_the_next_validator_when_one_is_gone_and_stays_there(
    validators: Validators, fake_validators: Any
) -> None:
    await fake_validators[0].stop()
    for _ in range(3):
        assert (await validators.get_account(ACCOUNT)).account.name == ACCOUNT
    assert [validator.calls for validator in fake_validators] == [0, 3, 0, 0]


async def test_a_validator_that_hangs_does_not_use_up_the_whole_time(
    validators: Validators, fake_validators: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ATTEMPT_SECONDS_MAX", 0.2)
    fake_validators[0].delay_seconds = 30
    await validators.get_account(ACCOUNT)
    assert fake_validators[1].calls == 1


async def test_when_all_hang_the_client_is_told_in_time(
    validators: Validators, fake_validators: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ATTEMPT_SECONDS_MAX", 0.1)
    monkeypatch.setattr(module, "READ_SECONDS_MAX", 0.3)
    for validator in fake_validators:
        validator.delay_seconds = 30
    with pytest.raises(DeadlineExceeded):
        await validators.get_account(ACCOUNT)


async def test_without_any_validator_a_read_is_unavailable_not_an_error_of_ours(
    validators: Validators, fake_validators: Any
) -> None:
    for validator in fake_validators:
        await validator.stop()
    with pytest.raises(Unavailable) as outage:
        await validators.get_account(ACCOUNT)
    assert outage.value.reason == "NO_VALIDATOR_REACHABLE"


async def test_a_validator_that_comes_back_is_asked_again(
    validators: Validators, fake_validators: Any
) -> None:
    for validator in fake_validators:
        await validator.stop()
    with pytest.raises(Unavailable):
        await validators.get_account(ACCOUNT)
    await fake_validators[2].start()
    async with asyncio.timeout(20):
        while True:
            try:
                await validators.get_account(ACCOUNT)
                break
            except Unavailable:
                await asyncio.sleep(0.1)
    assert fake_validators[2].calls > 0


@pytest.mark.parametrize(
    "refusal",
    [
        NotFound("ACCOUNT_UNKNOWN", "no such account", name="x"),
        InvalidArgument("MALFORMED_NAME", "not a name"),
        ResourceExhausted("POOL_FULL", "later"),
    ],
)
async def test_a_refusal_is_an_answer_and_is_not_asked_for_again_elsewhere(
    validators: Validators, fake_validators: Any, zone: Any, refusal: Any
) -> None:
    zone.fault = refusal
    with pytest.raises(type(refusal)) as caught:
        await validators.get_account(ACCOUNT)
    assert (caught.value.reason, caught.value.message) == (refusal.reason, refusal.message)
    assert [validator.calls for validator in fake_validators] == [1, 0, 0, 0]


async def test_a_validator_that_says_it_is_not_ready_is_passed_over(
    validators: Validators, fake_validators: Any, zone: Any
) -> None:
    zone.fault = Unavailable("CATCHING_UP", "fetching blocks")
    with pytest.raises(Unavailable):
        await validators.get_account(ACCOUNT)
    assert [validator.calls for validator in fake_validators] == [1, 1, 1, 1]


async def test_a_lagging_validator_is_not_read_from_while_another_is_up_to_date(
    validators: Validators, fake_validators: Any
) -> None:
    fake_validators[0].is_catching_up = True
    await validators.read_statuses()
    await validators.get_account(ACCOUNT)
    assert [validator.calls for validator in fake_validators] == [1, 2, 1, 1]


async def test_statuses_show_who_answers_and_who_does_not(
    validators: Validators, fake_validators: Any
) -> None:
    await fake_validators[1].stop()
    reports = await validators.read_statuses()
    assert [report.status is not None for report in reports] == [True, False, True, True]
    assert [report.status.seat for report in reports if report.status] == [0, 2, 3]


async def test_a_validator_too_slow_to_say_where_it_stands_is_shown_as_not_reachable(
    validators: Validators, fake_validators: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STATUS_SECONDS_MAX", 0.1)
    fake_validators[3].delay_seconds = 30
    reports = await validators.read_statuses()
    assert [report.status is not None for report in reports] == [True, True, True, False]


async def test_a_submission_goes_to_another_validator_when_the_first_is_gone(
    validators: Validators, fake_validators: Any, make: Any
) -> None:
    await fake_validators[0].stop()
    (outcome,) = await validators.submit([make.signed(50)], 0)
    assert outcome.transaction_id
    assert fake_validators[1].calls == 1


async def test_a_submission_may_wait_as_long_as_the_client_asked(
    validators: Validators, fake_validators: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBMIT_SECONDS_MARGIN", 0.3)
    fake_validators[0].block_seconds = 1.0
    assert len(await validators.submit([make.signed(50)], 20_000)) == 1
    with pytest.raises(DeadlineExceeded):
        await validators.submit([make.signed(50)], 0)


async def test_a_submission_does_not_wait_for_a_host_that_went_away_without_a_word(
    fake_validators: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBMIT_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(module, "STATUS_SECONDS_MAX", 0.5)
    channels = ChannelFactory()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing on them
        nobody = f"127.0.0.1:{silent.getsockname()[1]}"
        addresses = [ValidatorAddress(0, nobody, nobody)]
        addresses += [ValidatorAddress(one.seat, one.address, one.address) for one in fake_validators[1:]]
        validators = Validators(addresses, channels)
        async with asyncio.timeout(CONNECT_MS_MAX / 1_000 - 1):
            outcomes = await asyncio.gather(
                *(validators.submit([make.signed(number)], 5_000) for number in (50, 51))
            )
        assert [len(each) for each in outcomes] == [1, 1]
        await validators.submit([make.signed(52)], 5_000)  # goes where those before found an answer
        await channels.close()
    assert [validator.submissions for validator in fake_validators] == [0, 3, 0, 0]


async def test_a_submission_stays_where_blocks_take_long_and_the_validator_says_where_it_stands(
    validators: Validators, fake_validators: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBMIT_PATIENCE_SECONDS", 0.05)
    fake_validators[0].block_seconds = 1.0
    assert len(await validators.submit([make.signed(50)], 5_000)) == 1
    assert [validator.submissions for validator in fake_validators] == [1, 0, 0, 0]


async def test_a_validator_that_stops_to_answer_loses_the_submissions_that_wait_at_it(
    validators: Validators, fake_validators: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBMIT_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(module, "STATUS_SECONDS_MAX", 0.5)
    fake_validators[0].block_seconds = fake_validators[0].delay_seconds = 30.0
    assert len(await validators.submit([make.signed(50)], 20_000)) == 1
    assert [validator.submissions for validator in fake_validators] == [1, 1, 0, 0]


async def test_the_next_to_get_a_submission_is_one_that_says_where_it_stands(
    validators: Validators, fake_validators: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBMIT_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(module, "STATUS_SECONDS_MAX", 0.5)
    for silent in fake_validators[:2]:
        silent.delay_seconds = 30.0
    assert len(await validators.submit([make.signed(50)], 20_000)) == 1
    assert [validator.submissions for validator in fake_validators] == [1, 0, 1, 0]


async def test_where_nobody_says_where_it_stands_a_submission_waits_for_its_answer(
    validators: Validators, fake_validators: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBMIT_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(module, "STATUS_SECONDS_MAX", 0.1)
    for validator in fake_validators:
        validator.delay_seconds = 1.0
    assert len(await validators.submit([make.signed(50)], 20_000)) == 1
    assert [validator.submissions for validator in fake_validators] == [1, 0, 0, 0]


async def test_the_last_validator_that_is_left_keeps_a_submission(
    validators: Validators, fake_validators: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBMIT_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(module, "STATUS_SECONDS_MAX", 0.1)
    for validator in fake_validators[:3]:
        validator.submit_fault = Unavailable("VALIDATOR_HALTED", "it takes no part")
    fake_validators[3].delay_seconds = 1.0
    assert len(await validators.submit([make.signed(50)], 20_000)) == 1


async def test_who_refuses_to_say_where_it_stands_is_there(
    validators: Validators, fake_validators: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBMIT_PATIENCE_SECONDS", 0.05)
    fake_validators[0].block_seconds = 1.0
    fake_validators[0].status_fault = ResourceExhausted("TOO_MANY_CALLS", "1,024 calls are under way")
    assert len(await validators.submit([make.signed(50)], 20_000)) == 1
    assert [validator.submissions for validator in fake_validators] == [1, 0, 0, 0]
    assert (await validators.read_statuses())[0].status is None


async def test_a_bug_in_the_question_is_told_and_not_taken_for_an_outage(
    validators: Validators, fake_validators: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> Any:
        raise AssertionError("channels leak")

    monkeypatch.setattr(module, "SUBMIT_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(validators, "read_statuses", broken)
    fake_validators[0].block_seconds = 1.0
    with pytest.raises(AssertionError, match="channels leak"):
        await validators.submit([make.signed(50)], 20_000)


async def test_a_submission_that_nobody_waits_for_any_more_leaves_no_task(
    validators: Validators, fake_validators: Any, make: Any
) -> None:
    fake_validators[0].block_seconds = 30.0
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await validators.submit([make.signed(50)], 20_000)
    left = [repr(task.get_coro()) for task in asyncio.all_tasks() - before]
    assert not [coro for coro in left if "_until_gone" in coro or "_wrap_awaitable" in coro]


@pytest.mark.parametrize(
    "reason,state",
    [
        ("SEQUENCE_GAP", consensus.SUBMIT_STATE_UNKNOWN),
        ("PAYER_NOT_ALLOWED", consensus.SUBMIT_STATE_UNKNOWN),
        ("POOL_FULL", consensus.SUBMIT_STATE_UNKNOWN),
        ("SIGNATURE_INVALID", consensus.SUBMIT_STATE_REFUSED),
    ],
)
async def test_what_a_second_validator_refuses_may_be_in_a_block_by_way_of_the_first(
    validators: Validators, fake_validators: Any, zone: Any, make: Any, reason: str, state: Any
) -> None:
    signed = make.signed(50)
    zone.outcomes[signed] = consensus.SubmitOutcome(
        transaction_id=bytes(32), state=consensus.SUBMIT_STATE_REFUSED, reason=reason
    )
    (first,) = await validators.submit([signed], 0)
    await fake_validators[0].stop()
    (second,) = await validators.submit([signed], 0)
    (third,) = await validators.submit([signed], 0)
    assert [first.state, second.state] == [consensus.SUBMIT_STATE_REFUSED, state]
    assert third.state == consensus.SUBMIT_STATE_REFUSED, "asked first, it answers for itself"


async def test_a_second_validator_without_room_does_not_refuse_what_the_first_may_have(
    validators: Validators, fake_validators: Any, zone: Any, make: Any
) -> None:
    zone.fault = ResourceExhausted("POOL_FULL", "20,000 of 20,000 transactions wait")
    with pytest.raises(ResourceExhausted):
        await validators.submit([make.signed(50)], 0)
    await fake_validators[0].stop()
    with pytest.raises(Unavailable) as outage:
        await validators.submit([make.signed(50)], 0)
    assert outage.value.reason == "POOL_FULL"


async def test_an_answer_with_missing_outcomes_is_not_believed(
    validators: Validators, zone: Any, make: Any
) -> None:
    async def forgetful(_transactions: Any, _wait_ms: int) -> list[Any]:
        return []

    zone.submit = forgetful
    with pytest.raises(DeadlineExceeded) as failure:
        await validators.submit([make.signed(50)], 0)
    assert failure.value.reason == "OUTCOMES_MISSING"


async def test_an_address_where_nobody_listens_is_not_waited_for(
    fake_validators: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_SECONDS_MAX", 600.0)
    monkeypatch.setattr(module, "ATTEMPT_SECONDS_MAX", 600.0)
    channels = ChannelFactory()
    addresses = [
        ValidatorAddress(0, "127.0.0.1:1", "127.0.0.1:1"),
        ValidatorAddress(1, fake_validators[1].address, fake_validators[1].address),
    ]
    async with asyncio.timeout(60):
        response = await Validators(addresses, channels).get_account(ACCOUNT)
    assert response.account.name == ACCOUNT
    await channels.close()


@pytest.mark.parametrize("liar", range(4))
async def test_one_lying_validator_of_four_cannot_forge_a_members_command(
    validators: Validators, fake_validators: Any, zone: Any, liar: int
) -> None:
    """It claims a height that makes everybody else look old, and keys of its own for whom it likes."""
    victim = zone.genesis.organizations[0].principal
    thief = KeyPair.generate((Suite.ED25519,))
    key = transaction_pb2.PublicKey(suite=1, public_key=thief.public_keys[Suite.ED25519])
    fake_validators[liar].claimed_height = 2**62
    fake_validators[liar].forged_controller = GetControllerResponse(
        controller=state_pb2.ControllerLeaf(
            principal=victim, threshold=1, keys=[transaction_pb2.ControllerKey(public_keys=[key])]
        )
    )
    await validators.read_statuses()
    method = "/icn.governance.v1.GovernanceService/RegisterOrganization"
    request = RegisterOrganization(organization=victim, display_name="x", kind="x")
    command = sign_command(zone.genesis.hash, [thief], victim, method, request)
    verifier = CommandVerifier(zone.genesis.hash, LedgerKeyDirectory(validators.agreed), SystemClock())
    with pytest.raises(Unauthenticated) as refusal:
        await verifier.read(command, method, RegisterOrganization)
    assert refusal.value.reason == "KEY_UNKNOWN"
    true = await zone.get_controller(f"principals/{victim.hex()}")
    true.controller.ClearField("lanes")
    assert await validators.agreed.get_controller(f"principals/{victim.hex()}") == true


async def test_with_fewer_validators_than_must_agree_nothing_rests_on_the_rest(
    validators: Validators, fake_validators: Any, zone: Any
) -> None:
    for seat in (0, 1, 2):
        await fake_validators[seat].stop()
    name = f"principals/{zone.genesis.organizations[0].principal.hex()}"
    assert await validators.get_controller(name)
    with pytest.raises(Unavailable) as refusal:
        await validators.agreed.get_controller(name)
    assert refusal.value.reason == "TOO_FEW_VALIDATORS_AGREE"
    assert refusal.value.metadata == {"agreed": 1, "validators": 4, "needed": 2}
    await fake_validators[1].start()
    async with asyncio.timeout(20):
        while True:
            try:
                assert (await validators.agreed.get_controller(name)).controller.threshold
                return
            except Unavailable:
                await asyncio.sleep(0.1)


async def test_a_validator_that_is_behind_a_wanted_height_is_passed_over_and_not_taken_for_gone(
    validators: Validators, fake_validators: Any
) -> None:
    fake_validators[0].executed_height = 6
    fake_validators[1].executed_height = 7
    token = min_height.set(7)
    try:
        assert (await validators.get_account(ACCOUNT)).account.name == ACCOUNT
        fake_validators[1].executed_height = 6
        for validator in fake_validators[2:]:
            validator.executed_height = 5
        with pytest.raises(Unavailable) as refusal:
            await validators.get_account(ACCOUNT)
        assert refusal.value.reason == "STATE_BEHIND"
        assert refusal.value.metadata["height"] == "7"
    finally:
        min_height.reset(token)
    assert (await validators.get_account(ACCOUNT)).account.name == ACCOUNT
    calls = [validator.calls for validator in fake_validators]
    assert calls == [2, 3, 1, 1], "each is asked again once it will do"


async def test_who_has_not_come_so_far_yet_has_not_failed(
    validators: Validators, fake_validators: Any
) -> None:
    """Who asked for a height of the future made all validators suspects, so that a dead one was no more the
    last to be asked."""
    for validator in fake_validators:
        validator.executed_height = 6
    token = min_height.set(7)
    try:
        with pytest.raises(Unavailable):
            await validators.agreed.get_account(ACCOUNT)
    finally:
        min_height.reset(token)
    assert sum(validator.calls for validator in fake_validators) >= 2
    assert not any(standing.failures for standing in validators._standings)


async def test_a_statement_is_joined_until_it_is_long_enough(
    validators: Validators, fake_validators: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [Entry(height=height, reference=bytes(32)) for height in range(1, 7)]
    fake_validators[0].statement = [
        GetStatementResponse(opening=StatementEdge(balance_minor=-1)),
        GetStatementResponse(entries=entries[:2]),
        GetStatementResponse(entries=entries[2:]),
        GetStatementResponse(closing=StatementEdge(balance_minor=5)),
    ]
    whole = await validators.ask(GetStatementRequest(name=ACCOUNT))
    assert whole == GetStatementResponse(
        opening=StatementEdge(balance_minor=-1), entries=entries, closing=StatementEdge(balance_minor=5)
    )
    monkeypatch.setattr(module, "STATEMENT_PART_BYTES", 60)
    begun = await validators.ask(GetStatementRequest(name=ACCOUNT))
    assert begun == GetStatementResponse(opening=StatementEdge(balance_minor=-1), entries=entries[:2])
