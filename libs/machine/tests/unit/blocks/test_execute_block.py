"""ExecuteBlock: each height once, in order, or not at all."""

from __future__ import annotations

import asyncio

import pytest
from icn_crypto.merkle_log import leaf_hash, tree_root
from icn_kit.errors import FailedPrecondition, InvalidArgument
from icn_machine.blocks import execute_block
from icn_machine.blocks.execute_block import Halted
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.limits import HOLDS_RELEASED_PER_BLOCK_MAX, POLLS_CLOSED_PER_BLOCK_MAX
from icn_machine.refusals import InvariantBroken

from libs.machine.tests.institutions import open_poll
from libs.machine.tests.zone import (
    Ledger,
    Zone,
    block_hash,
    create_unit,
    identifier,
    open_account,
    place_hold,
    set_floor,
    transfer,
)

UNIT = identifier("unit")


async def test_the_same_height_again_gives_the_first_answer(zone: Zone, ledger: Ledger) -> None:
    shop = zone.organizations[0]
    transactions = [zone.transaction(shop, create_unit(UNIT))]
    final = FinalBlock(ledger.header(transactions), transactions, b"\x08\x03", ())
    first = await ledger.executor.execute(final)
    await ledger.execute()
    assert await ledger.executor.execute(final) == first
    assert len(ledger.executed) == 2


async def test_two_calls_at_once_execute_once(zone: Zone, ledger: Ledger) -> None:
    transactions = [zone.transaction(zone.organizations[0], create_unit(UNIT))]
    final = FinalBlock(ledger.header(transactions), transactions, b"\x08\x03", ())
    first, second = await asyncio.gather(ledger.executor.execute(final), ledger.executor.execute(final))
    assert first == second
    assert ledger.state.newest.height == 1


async def test_a_gap_is_refused(ledger: Ledger) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        await ledger.execute(height=2)
    assert refusal.value.reason == "HEIGHT_GAP"
    assert refusal.value.metadata == {"height": 2, "executed_height": 0}


async def test_another_block_at_an_executed_height_is_refused(ledger: Ledger) -> None:
    await ledger.execute()
    newest = ledger.state.newest
    with pytest.raises(FailedPrecondition) as refusal:
        await ledger.execute(height=1, parent=newest.hash)
    assert refusal.value.reason == "BLOCK_CONFLICT"


async def test_a_block_that_does_not_extend_the_newest_is_refused(ledger: Ledger) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        await ledger.execute(parent=bytes(32))
    assert refusal.value.reason == "BLOCK_CONFLICT"
    assert ledger.halts == []


async def test_other_transactions_than_the_header_names_are_refused(zone: Zone, ledger: Ledger) -> None:
    transactions = [zone.transaction(zone.organizations[0], create_unit(UNIT))]
    with pytest.raises(InvalidArgument) as refusal:
        await ledger.executor.execute(FinalBlock(ledger.header(transactions), [], b"\x08\x03", ()))
    assert refusal.value.reason == "TRANSACTIONS_ROOT_MISMATCH"


async def test_an_executed_block_is_answered_again_with_its_own_transactions_only(
    zone: Zone, ledger: Ledger
) -> None:
    transactions = [zone.transaction(zone.organizations[0], create_unit(UNIT))]
    final = FinalBlock(ledger.header(transactions), transactions, b"\x08\x03", ())
    first = await ledger.executor.execute(final)
    assert await ledger.executor.execute(final) == first
    with pytest.raises(InvalidArgument) as refusal:
        await ledger.executor.execute(final._replace(transactions=[]))
    assert refusal.value.reason == "TRANSACTIONS_ROOT_MISMATCH"


@pytest.mark.parametrize("header", [b"\xff", b"\x08\x00", bytes(2_000), b"\x10\x01\x10\x01"])
async def test_garbage_is_no_header(ledger: Ledger, header: bytes) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await ledger.executor.execute(FinalBlock(header, [], b"\x08\x03", ()))
    assert refusal.value.reason == "MALFORMED_HEADER"
    assert ledger.state.newest.height == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"after_ms": 0},
        {"time_ms": 2**62 + 1},
        {"epoch": 2},
        {"epoch": 2**64 - 1},
        {"executed_height": 1},
        {"executed_height": 2**64 - 1},
    ],
)
async def test_a_header_that_cannot_follow_is_refused(ledger: Ledger, changes: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await ledger.execute(**changes)
    assert refusal.value.reason == "MALFORMED_HEADER"
    assert ledger.halts == []


async def test_a_block_without_a_finalization_is_refused(ledger: Ledger) -> None:
    for finalization in (b"", bytes(8_193)):
        with pytest.raises(InvalidArgument) as refusal:
            await ledger.executor.execute(FinalBlock(ledger.header([]), [], finalization, ()))
        assert refusal.value.reason == "MALFORMED_FINALIZATION"


async def test_a_final_header_that_names_other_roots_halts_the_ledger(ledger: Ledger) -> None:
    await ledger.execute()
    with pytest.raises(Halted):
        await ledger.execute(state_root=bytes(32))
    assert len(ledger.halts) == 1
    with pytest.raises(Halted):
        await ledger.execute()
    assert len(ledger.halts) == 1


async def test_a_broken_invariant_halts_the_ledger_before_anything_is_written(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise InvariantBroken("made up")

    monkeypatch.setattr(execute_block, "check_block", broken)
    with pytest.raises(Halted):
        await ledger.execute()
    assert ledger.state.newest.height == 0
    assert ledger.halts == ["InvariantBroken: made up"]


async def test_a_final_block_with_a_malformed_transaction_halts_the_ledger(ledger: Ledger) -> None:
    with pytest.raises(Halted):
        await ledger.execute(b"garbage")


async def test_an_empty_block_changes_nothing_but_the_log(ledger: Ledger) -> None:
    before = ledger.state.newest
    block = (await ledger.execute()).block
    assert block.state_root == before.state_root
    assert not block.has_changed_state
    assert block.log_root != before.log_root


async def test_the_log_holds_every_header_from_genesis_on(zone: Zone, ledger: Ledger) -> None:
    hashes = [leaf_hash(ledger.state.newest.hash)]
    for _ in range(5):
        header = ledger.header([])
        execution = await ledger.execute()
        hashes.append(leaf_hash(block_hash(zone, header)))
        assert execution.block.log_root == tree_root(hashes)


async def test_at_most_a_thousand_due_holds_go_in_one_block(zone: Zone, ledger: Ledger) -> None:
    shop = zone.organizations[0]
    ana, ben = identifier("ana"), identifier("ben")
    now = ledger.state.newest.time_ms + 1_000
    await ledger.execute(
        zone.transaction(
            shop, create_unit(UNIT, floor_minor=-(2**40)), open_account(ana, UNIT), open_account(ben, UNIT)
        )
    )
    places = [
        place_hold(identifier(f"hold {n}"), ana, ben, 1, now + 60_000)
        for n in range(HOLDS_RELEASED_PER_BLOCK_MAX + 1)
    ]
    await ledger.execute(
        *[zone.transaction(shop, *places[start : start + 16]) for start in range(0, len(places), 16)]
    )
    await ledger.execute(after_ms=60_000)
    left = [hold for hold in ledger.state.records[-1].holds.values() if hold is not None]
    assert [hold.hold for hold in left] == [max(identifier(f"hold {n}") for n in range(len(places)))]
    assert 0 < ledger.state.newest.next_expiry_time_ms <= ledger.state.newest.time_ms
    await ledger.execute(after_ms=1)
    assert all(hold is None for hold in ledger.state.records[-1].holds.values())


async def test_the_edge_of_an_epoch_is_the_block_whose_time_lies_past_its_end(
    zone: Zone, ledger: Ledger
) -> None:
    day = zone.genesis.epoch_ms
    await ledger.execute(after_ms=day - 1)
    await ledger.execute(after_ms=1)
    await ledger.execute(after_ms=1)
    await ledger.execute(after_ms=3 * day)
    await ledger.execute(after_ms=1)
    edges = [commit.edge for commit in ledger.state.commits]
    assert [edge and (edge.epoch, edge.height) for edge in edges] == [None, None, (0, 2), None, (1, 4), None]
    assert [block.epoch for block in ledger.state.blocks] == [0, 0, 0, 1, 1, 4]


async def test_a_block_of_another_epoch_than_its_parent_leads_to_is_refused(
    zone: Zone, ledger: Ledger
) -> None:
    await ledger.execute(after_ms=zone.genesis.epoch_ms)
    for epoch in (0, 2):
        with pytest.raises(InvalidArgument) as refusal:
            await ledger.execute(epoch=epoch)
        assert refusal.value.reason == "MALFORMED_HEADER"
    await ledger.execute(epoch=1)


async def test_a_caller_that_gives_up_does_not_cut_a_block_in_two(zone: Zone, ledger: Ledger) -> None:
    transactions = [zone.transaction(zone.organizations[0], set_floor(UNIT, 0)) for _ in range(300)]
    call = asyncio.create_task(ledger.execute(*transactions))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ledger.executed == []
    # The next call waits for the lock, and so for the block that goes on by itself.
    with pytest.raises(FailedPrecondition):
        await ledger.execute(parent=bytes(32), height=9)
    await ledger.execute()
    assert [execution.block.height for execution in ledger.executed] == [1, 2]


async def test_transfers_of_one_lane_are_applied_in_order(zone: Zone, ledger: Ledger) -> None:
    shop = zone.organizations[0]
    ana, ben = identifier("ana"), identifier("ben")
    opening = zone.transaction(
        shop, create_unit(UNIT, floor_minor=-10), open_account(ana, UNIT), open_account(ben, UNIT)
    )
    moves = [zone.transaction(shop, transfer(ana, ben, 4)) for _ in range(3)]
    await ledger.execute(opening)
    execution = await ledger.execute(*moves)
    reasons = [commit.events for commit in ledger.state.commits][-1]
    assert len(execution.outcomes) == 3
    assert ledger.state.records[-1].accounts[ana].balance_minor == -8
    assert len(reasons) == 3


async def test_an_idle_chain_closes_a_poll_when_its_time_comes(zone: Zone, ledger: Ledger) -> None:
    shop = zone.organizations[0]
    poll, close = identifier("poll"), ledger.state.newest.time_ms + 60_000
    await ledger.execute(zone.transaction(shop, open_poll(poll, shop.principal, close)))
    assert ledger.state.newest.next_expiry_time_ms == close
    await ledger.execute(after_ms=close - ledger.state.newest.time_ms - 1)
    assert ledger.state.newest.next_expiry_time_ms == close
    await ledger.execute(after_ms=1)
    closed = ledger.state.records[-1].polls[poll]
    assert closed is not None and closed.is_closed
    assert ledger.state.newest.has_changed_state, "a final header will name a state with the closed leaf"
    assert ledger.state.newest.next_expiry_time_ms == 0


async def test_at_most_a_hundred_polls_close_in_one_block(zone: Zone, ledger: Ledger) -> None:
    shop = zone.organizations[0]
    close = ledger.state.newest.time_ms + 60_000
    polls = [
        open_poll(identifier(f"poll {n}"), shop.principal, close)
        for n in range(POLLS_CLOSED_PER_BLOCK_MAX + 1)
    ]
    for start in range(0, len(polls), 16):
        await ledger.execute(zone.transaction(shop, *polls[start : start + 16]))
    await ledger.execute(after_ms=close - ledger.state.newest.time_ms)
    left = [poll for poll in ledger.state.records[-1].polls.values() if poll and not poll.is_closed]
    assert [poll.poll for poll in left] == [max(identifier(f"poll {n}") for n in range(len(polls)))]
    await ledger.execute(after_ms=1)
    assert all(poll and poll.is_closed for poll in ledger.state.records[-1].polls.values())
