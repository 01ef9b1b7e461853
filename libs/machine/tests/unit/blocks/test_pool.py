"""CheckTransactions, PrepareBlock and ValidateBlock over a ledger in memory, with real signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.ledger.v1 import transaction_pb2 as pb
from icn_crypto.ed25519 import Verdict
from icn_crypto.suites import SignedItem, Suite, verdict_batch
from icn_kit.errors import InvalidArgument
from icn_machine.blocks.branches import AncestorUnknown, Branch, BranchCache
from icn_machine.blocks.check_transactions import TransactionCheck, check_transactions
from icn_machine.blocks.ports import StateBehind
from icn_machine.blocks.prepare_block import Choice, prepare_block
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.blocks.validate_block import BlockJudgement, validate_block
from icn_machine.validity import Moment

from libs.machine.tests.zone import (
    FUEL,
    PLENTY,
    FixedClock,
    Ledger,
    Member,
    TestKey,
    Zone,
    anchor,
    create_unit,
    execute,
    identifier,
    make_zone,
    memory_ledger,
    open_controller,
    set_allowance,
    transfer,
    update_controller,
)

A, B = identifier("a"), identifier("b")
MOVE = transfer(A, B, 1)
HASHES = [bytes([number]) * 32 for number in range(10)]


class Counting:
    """A verifier that says how often it was asked about each message."""

    def __init__(self) -> None:
        self.items: list[SignedItem] = []

    async def __call__(self, items: Sequence[SignedItem]) -> list[Verdict]:
        self.items += items
        return verdict_batch(items)


@pytest.fixture
def counting(ledger: Ledger) -> Counting:
    verifier = Counting()
    ledger.cache.verify = verifier
    return verifier


def moment(ledger: Ledger, after_ms: int = 1_000) -> Moment:
    newest = ledger.state.newest
    return Moment(newest.epoch, newest.time_ms + after_ms)


async def check(ledger: Ledger, *transactions: bytes) -> list[TransactionCheck]:
    clock = FixedClock(ledger.state.newest.time_ms)
    return await check_transactions(transactions, ledger.zone.genesis, ledger.state, ledger.cache, clock)


async def prepare(ledger: Ledger, *candidates: bytes, branch: Branch | None = None, **limits: Any) -> Choice:
    bounds = {"size_bytes_max": 10**6, "transactions_max": 4_000, **limits}
    return await prepare_block(
        branch or Branch(ledger.state.newest.height, ()),
        moment(ledger),
        candidates,
        state=ledger.state,
        cache=ledger.cache,
        branches=ledger.branches,
        **bounds,
    )


async def validate(
    ledger: Ledger,
    *transactions: bytes,
    block: bytes = HASHES[0],
    branch: Branch | None = None,
    after_ms: int = 1_000,
) -> BlockJudgement:
    return await validate_block(
        block,
        branch or Branch(ledger.state.newest.height, ()),
        moment(ledger, after_ms),
        transactions,
        genesis=ledger.zone.genesis,
        state=ledger.state,
        cache=ledger.cache,
        branches=ledger.branches,
    )


def spoiled(data: bytes) -> bytes:
    """The same transaction with another signature."""
    message = pb.Transaction.FromString(data)
    signature = bytearray(message.signatures[0].signature)
    signature[5] ^= 1
    message.signatures[0].signature = bytes(signature)
    return message.SerializeToString(deterministic=True)


async def test_a_good_transaction_may_enter_the_pool(zone: Zone, ledger: Ledger) -> None:
    data = zone.transaction(zone.organizations[0], MOVE)
    (answer,) = await check(ledger, data)
    assert (answer.reason, answer.message, answer.executed_height) == ("", "", 0)
    assert len(answer.transaction_id) == 32
    assert answer.expire_time_ms == zone.genesis.time_ms + 3_600_000


async def test_malformed_bytes_have_no_id(ledger: Ledger) -> None:
    (answer,) = await check(ledger, b"garbage")
    assert (answer.transaction_id, answer.reason) == (b"", "MALFORMED_TRANSACTION")
    assert answer.message


async def test_a_signature_for_another_zone_is_invalid(zone: Zone, ledger: Ledger) -> None:
    shop = zone.organizations[0]
    other = make_zone({"bytes_per_epoch": 1, "signatures_per_epoch": 1, "state_leaves": 1})
    (answer,) = await check(ledger, other.transaction(shop, MOVE))
    assert answer.reason == "SIGNATURE_INVALID"


async def test_every_suite_of_a_key_may_sign(zone: Zone, ledger: Ledger) -> None:
    shop = zone.organizations[0]
    body = zone.body(shop, MOVE).SerializeToString(deterministic=True)
    (answer,) = await check(ledger, zone.sign(body, shop.keys, Suite.ML_DSA_65))
    assert answer.reason == ""


async def test_each_transaction_of_a_request_has_its_own_verdict(zone: Zone, ledger: Ledger) -> None:
    shop = zone.organizations[0]
    good, late = zone.transaction(shop, MOVE), zone.transaction(shop, MOVE, sequence=20_000)
    expired = zone.transaction(shop, MOVE, sequence=2, expire_time_ms=1)
    answers = await check(ledger, good, spoiled(good), b"", late, expired, good)
    assert [answer.reason for answer in answers] == [
        "",
        "SIGNATURE_INVALID",
        "MALFORMED_TRANSACTION",
        "SEQUENCE_GAP",
        "EXPIRED",
        "",
    ]


async def test_an_executed_transaction_says_at_which_height(zone: Zone, ledger: Ledger) -> None:
    shop = zone.organizations[0]
    done = zone.transaction(shop, create_unit(A))
    await ledger.execute(done)
    other = zone.transaction(shop, create_unit(B), sequence=1)
    first, second = await check(ledger, done, other)
    assert (first.reason, first.executed_height) == ("SEQUENCE_USED", 1)
    assert (second.reason, second.executed_height) == ("SEQUENCE_USED", 0)


async def test_a_thousand_transactions_are_checked_and_one_more_is_refused(ledger: Ledger) -> None:
    assert len(await check(ledger, *[b"x"] * 1_000)) == 1_000
    with pytest.raises(InvalidArgument) as refusal:
        await check(ledger, *[b"x"] * 1_001)
    assert refusal.value.reason == "TOO_MANY_TRANSACTIONS"


async def test_the_pool_judges_at_the_time_of_the_clock_when_the_chain_was_idle(
    zone: Zone, ledger: Ledger
) -> None:
    data = zone.transaction(zone.organizations[0], MOVE)
    clock = FixedClock(zone.genesis.time_ms + 3_600_001 + zone.genesis.block_time_distance_ms_max)
    (answer,) = await check_transactions([data], zone.genesis, ledger.state, ledger.cache, clock)
    assert answer.reason == "EXPIRED"


async def test_what_a_block_under_way_may_still_include_is_not_called_expired(
    zone: Zone, ledger: Ledger
) -> None:
    data = zone.transaction(zone.organizations[0], MOVE)
    for late_ms in (1, zone.genesis.block_time_distance_ms_max):
        clock = FixedClock(zone.genesis.time_ms + 3_600_000 + late_ms)
        (answer,) = await check_transactions([data], zone.genesis, ledger.state, ledger.cache, clock)
        assert answer.reason == ""


async def test_signatures_are_verified_once_on_the_way_from_the_pool_to_execution(
    zone: Zone, ledger: Ledger, counting: Counting
) -> None:
    data = zone.transaction(zone.organizations[0], create_unit(A))
    await check(ledger, data, data)
    await prepare(ledger, data)
    assert (await validate(ledger, data)).reason == ""
    await ledger.execute(data)
    assert len(counting.items) == 1


async def test_nothing_is_verified_that_an_earlier_rule_refuses(
    zone: Zone, ledger: Ledger, counting: Counting
) -> None:
    shop = zone.organizations[0]
    late = zone.transaction(shop, MOVE, sequence=20_000)
    stranger = zone.transaction(shop, MOVE, sequence=1, keys=[TestKey("stranger")])
    await check(ledger, late, stranger)
    await validate(ledger, late)
    assert counting.items == []


async def test_a_proposal_takes_candidates_in_their_order(zone: Zone, ledger: Ledger) -> None:
    data = [zone.transaction(organization, MOVE) for organization in zone.organizations]
    assert await prepare(ledger, *data) == Choice((0, 1, 2, 3), ())


async def test_a_candidate_ahead_of_its_lane_follows_right_after_its_predecessor(
    zone: Zone, ledger: Ledger
) -> None:
    shop, other = zone.organizations[:2]
    first, second, third = (zone.transaction(shop, MOVE) for _ in range(3))
    lone = zone.transaction(other, MOVE, sequence=2)
    choice = await prepare(ledger, third, second, lone, first, zone.transaction(zone.organizations[2], MOVE))
    assert choice == Choice((3, 1, 0, 4), ())


async def test_a_proposal_keeps_to_its_bounds(zone: Zone, ledger: Ledger) -> None:
    data = [zone.transaction(organization, MOVE) for organization in zone.organizations]
    assert (await prepare(ledger, *data, transactions_max=2)).chosen == (0, 1)
    assert (await prepare(ledger, *data, transactions_max=0)).chosen == ()
    size = len(data[0]) + 4
    assert (await prepare(ledger, *data, size_bytes_max=3 * size - 1)).chosen == (0, 1)
    assert (await prepare(ledger, *data, size_bytes_max=3 * size)).chosen == (0, 1, 2)


async def test_a_large_candidate_does_not_block_smaller_ones_behind_it(zone: Zone, ledger: Ledger) -> None:
    large = zone.transaction(zone.organizations[0], *[MOVE] * 16)
    small = zone.transaction(zone.organizations[1], MOVE)
    assert (await prepare(ledger, large, small, size_bytes_max=len(small) + 4)).chosen == (1,)


async def test_candidates_that_can_never_be_valid_are_refused(zone: Zone, ledger: Ledger) -> None:
    shop = zone.organizations[0]
    await ledger.execute(zone.transaction(shop, create_unit(A)))
    good = zone.transaction(shop, MOVE)
    used = zone.transaction(shop, create_unit(B), sequence=1)
    expired = zone.transaction(zone.organizations[1], MOVE, expire_time_ms=1)
    bad = spoiled(zone.transaction(zone.organizations[2], MOVE))
    choice = await prepare(ledger, b"garbage", used, expired, good, bad)
    assert choice.chosen == (3,)
    assert [(one.position, one.reason) for one in choice.refused] == [
        (0, "MALFORMED_TRANSACTION"),
        (1, "SEQUENCE_USED"),
        (2, "EXPIRED"),
        (4, "SIGNATURE_INVALID"),
    ]


async def test_what_only_this_branch_cannot_take_stays_in_the_pool(zone: Zone, ledger: Ledger) -> None:
    """Of two transactions for one number one is on the branch, which may be left behind: the other stays."""
    shop = zone.organizations[0]
    one, two = zone.transaction(shop, MOVE, sequence=1), zone.transaction(shop, create_unit(A), sequence=1)
    assert (await validate(ledger, one, block=HASHES[1])).reason == ""
    assert await prepare(ledger, two, branch=Branch(0, (HASHES[1],))) == Choice((), ())
    assert await prepare(ledger, two) == Choice((0,), ())


async def test_a_principal_that_is_newer_than_the_branch_stays_in_the_pool(
    zone: Zone, ledger: Ledger
) -> None:
    shop = zone.organizations[0]
    ana = zone.member("ana", shop)
    await ledger.execute(zone.transaction(shop, open_controller(ana)))
    data = zone.transaction(ana, MOVE)
    assert await prepare(ledger, data, branch=Branch(0, ())) == Choice((), ())
    assert await prepare(ledger, data) == Choice((0,), ())


async def test_a_proposal_counts_the_allowance_of_all_it_holds() -> None:
    limits = {"bytes_per_epoch": 2**40, "signatures_per_epoch": 2, "state_leaves": 2**40}
    zone = make_zone(limits)
    ledger = memory_ledger(zone)
    data = [zone.transaction(zone.organizations[0], MOVE) for _ in range(3)]
    choice = await prepare(ledger, *data)
    assert choice == Choice((0, 1), ())
    assert (await validate(ledger, *data[:2])).reason == ""
    judgement = await validate(ledger, *data)
    assert (judgement.reason, judgement.transaction_ids) == ("ALLOWANCE_EXCEEDED", ())
    assert judgement.message.startswith("transaction 2: ")


async def test_a_proposal_keeps_to_the_fuel_of_a_block_and_refuses_nothing_for_it(
    zone: Zone, ledger: Ledger
) -> None:
    organizations = zone.organizations
    data = [
        zone.transaction(organization, execute(A, fuel_limit=limit))
        for organization, limit in zip(organizations, (600_000_000, 600_000_000, 400_000_000, 1), strict=True)
    ]
    native = zone.transaction(organizations[3], MOVE)
    assert await prepare(ledger, *data, native) == Choice((0, 2), ())
    assert (await validate(ledger, data[0], data[2])).reason == ""
    judgement = await validate(ledger, data[0], data[2], data[3])
    assert judgement.reason == "BLOCK_FUEL_EXCEEDED"
    assert judgement.message == ("transaction 2: fuel: 1000000000 used, 1 more, the limit is 1000000000")
    answers = await check(ledger, *data)
    assert [answer.reason for answer in answers] == [""] * 4, "a pool asks of each alone"


async def test_a_valid_block_names_its_ids(zone: Zone, ledger: Ledger) -> None:
    data = [zone.transaction(zone.organizations[0], MOVE) for _ in range(3)]
    judgement = await validate(ledger, *data)
    answers = await check(ledger, *data)
    assert judgement.transaction_ids == tuple(answer.transaction_id for answer in answers)


async def test_a_block_with_one_bad_signature_is_invalid(zone: Zone, ledger: Ledger) -> None:
    data = [zone.transaction(organization, MOVE) for organization in zone.organizations]
    judgement = await validate(ledger, *data[:2], spoiled(data[2]), data[3])
    assert judgement.reason == "SIGNATURE_INVALID"
    assert judgement.message.startswith("transaction 2: ")


async def test_a_block_with_a_malformed_transaction_is_invalid(zone: Zone, ledger: Ledger) -> None:
    judgement = await validate(ledger, zone.transaction(zone.organizations[0], MOVE), b"garbage")
    assert judgement.reason == "MALFORMED_TRANSACTION"
    assert judgement.message.startswith("transaction 1: ")


async def test_a_block_may_not_hold_a_transaction_twice(zone: Zone, ledger: Ledger) -> None:
    data = zone.transaction(zone.organizations[0], MOVE)
    assert (await validate(ledger, data, data)).reason == "SEQUENCE_USED"


async def test_unexecuted_ancestors_count(zone: Zone, ledger: Ledger) -> None:
    first, second, third = (zone.transaction(zone.organizations[0], MOVE) for _ in range(3))
    assert (await validate(ledger, first, block=HASHES[1])).reason == ""
    assert (await validate(ledger, second, block=HASHES[2], branch=Branch(0, (HASHES[1],)))).reason == ""
    long = Branch(0, (HASHES[1], HASHES[2]))
    assert (await validate(ledger, third, branch=long)).reason == ""
    assert (await validate(ledger, second, branch=long)).reason == "SEQUENCE_USED"
    assert (await validate(ledger, third, branch=Branch(0, (HASHES[1],)))).reason == "SEQUENCE_GAP"


async def test_validity_is_that_of_the_branch_also_when_this_ledger_is_ahead(
    zone: Zone, ledger: Ledger
) -> None:
    """Executed here or not: the same branch gives the same judgement."""
    shop = zone.organizations[0]
    first, second = zone.transaction(shop, create_unit(A)), zone.transaction(shop, MOVE)
    assert (await validate(ledger, first, block=HASHES[1])).reason == ""
    branch = Branch(0, (HASHES[1],))
    before = await validate(ledger, second, branch=branch)
    await ledger.execute(first)
    assert await validate(ledger, second, branch=branch) == before
    assert (await validate(ledger, second, branch=Branch(1, ()))).transaction_ids == before.transaction_ids
    assert (await validate(ledger, first, branch=Branch(0, ()))).reason == ""


async def test_a_key_that_was_revoked_meanwhile_is_still_valid_on_an_older_branch(
    zone: Zone, ledger: Ledger
) -> None:
    shop = zone.organizations[0]
    ana = zone.member("ana", shop)
    await ledger.execute(zone.transaction(shop, open_controller(ana)))
    await ledger.execute(zone.transaction(ana, update_controller(1, TestKey("new"))))
    data = zone.transaction(ana, MOVE, sequence=1)
    assert (await validate(ledger, data, branch=Branch(1, ()))).reason == ""
    assert (await validate(ledger, data, branch=Branch(2, ()))).reason == "SEQUENCE_USED"
    later = zone.transaction(ana, MOVE, sequence=2)
    assert (await validate(ledger, later, branch=Branch(2, ()))).reason == "KEY_UNKNOWN"


async def test_a_proposal_of_ours_is_not_judged_again_and_its_descendants_count_it(
    zone: Zone, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [zone.transaction(organization, MOVE) for organization in zone.organizations]
    fresh = await validate(ledger, *data)
    assert (await prepare(ledger, *data)).chosen == (0, 1, 2, 3)
    with monkeypatch.context() as patch:
        patch.setattr(ledger.state, "load_validity", None)
        assert await validate(ledger, *data, block=HASHES[1]) == fresh
    assert (await validate(ledger, data[0], branch=Branch(0, (HASHES[1],)))).reason == "SEQUENCE_USED"


async def test_what_differs_from_our_proposal_is_judged(zone: Zone, ledger: Ledger) -> None:
    shop, other = zone.organizations[:2]
    first, second = (zone.transaction(shop, MOVE) for _ in range(2))
    brief = zone.transaction(other, MOVE, expire_time_ms=moment(ledger).time_ms)
    assert (await prepare(ledger, first, second, brief)).chosen == (0, 1, 2)
    assert (await validate(ledger, second, first, brief)).reason == "SEQUENCE_GAP"
    assert (await validate(ledger, first, second, spoiled(brief))).reason == "SIGNATURE_INVALID"
    assert (await validate(ledger, first, first, brief)).reason == "SEQUENCE_USED"
    assert (await validate(ledger, first, second, brief, after_ms=1_001)).reason == "EXPIRED"
    assert (await validate(ledger, first, second, block=HASHES[1])).reason == ""
    branch = Branch(0, (HASHES[1],))
    assert (await validate(ledger, first, second, brief, branch=branch)).reason == "SEQUENCE_USED"
    assert (await validate(ledger, first, second, brief)).reason == ""


async def test_an_unknown_ancestor_and_a_height_to_come_are_told_apart(ledger: Ledger) -> None:
    with pytest.raises(AncestorUnknown) as unknown:
        await validate(ledger, branch=Branch(0, (HASHES[5],)))
    assert unknown.value.metadata == {"block_hash": HASHES[5].hex()}
    with pytest.raises(StateBehind) as behind:
        await validate(ledger, branch=Branch(1, ()))
    assert behind.value.metadata == {"height": 1, "executed_height": 0}


async def test_an_invalid_block_cannot_be_an_ancestor(ledger: Ledger) -> None:
    assert (await validate(ledger, b"garbage", block=HASHES[1])).reason
    with pytest.raises(AncestorUnknown):
        await validate(ledger, branch=Branch(0, (HASHES[1],)))


async def test_an_allowance_is_that_of_the_branch(zone: Zone, ledger: Ledger) -> None:
    shop = zone.organizations[0].principal
    limits = {"bytes_per_epoch": 0, "signatures_per_epoch": 0, "state_leaves": 0}
    await ledger.execute(zone.transaction(zone.authority, set_allowance(shop, **limits)))
    data = zone.transaction(zone.organizations[0], anchor(bytes(32)))
    assert (await validate(ledger, data, branch=Branch(0, ()))).reason == ""
    assert (await validate(ledger, data, branch=Branch(1, ()))).reason == "ALLOWANCE_EXCEEDED"
    (answer,) = await check(ledger, data)
    assert answer.reason == "ALLOWANCE_EXCEEDED"


async def test_what_unexecuted_ancestors_use_counts_in_their_epoch_and_what_they_make_for_ever() -> None:
    zone = make_zone({"bytes_per_epoch": 2**40, "signatures_per_epoch": 1, "state_leaves": 2})
    ledger = memory_ledger(zone)
    shop = zone.organizations[0]
    first = zone.transaction(shop, create_unit(A))
    assert (await validate(ledger, first, block=HASHES[1])).reason == ""
    behind = Branch(0, (HASHES[1],))
    epoch = ledger.state.newest.epoch

    async def reason_in(wanted: int, *messages: pb.Message) -> str:
        next_day_ms = (wanted - epoch) * zone.genesis.epoch_ms
        time_ms = ledger.state.newest.time_ms + next_day_ms
        judgement = await validate_block(
            HASHES[2],
            behind,
            Moment(wanted, time_ms + 1_000),
            [zone.transaction(shop, *messages, sequence=2, time_ms=time_ms)],
            genesis=zone.genesis,
            state=ledger.state,
            cache=ledger.cache,
            branches=ledger.branches,
        )
        return f"{judgement.reason} {judgement.message}".strip()

    assert (await reason_in(epoch, MOVE)).startswith("ALLOWANCE_EXCEEDED transaction 0: signatures")
    assert await reason_in(epoch + 1, MOVE) == ""
    assert await reason_in(epoch + 1, create_unit(B)) == ""
    assert "state leaves: 1 used, 2 more" in await reason_in(
        epoch + 1, create_unit(B), create_unit(identifier("c"))
    )


@pytest.mark.parametrize(
    ("name", "of_each"),
    [
        ("bytes_per_epoch", None),
        ("signatures_per_epoch", 1),
        ("state_leaves", 1),
        ("new_leaves_per_epoch", 1),
        ("fuel_per_epoch", FUEL),
    ],
)
async def test_no_proposer_exceeds_an_allowance_nor_do_several_of_one_branch(
    zone: Zone, ledger: Ledger, name: str, of_each: int | None
) -> None:
    shop = zone.organizations[1]
    calls = name == "fuel_per_epoch"
    data = [
        zone.transaction(shop, execute(A) if calls else anchor(bytes([number]) * 32)) for number in range(3)
    ]
    assert len(set(map(len, data))) == 1
    limit = 2 * (len(data[0]) if of_each is None else of_each)
    await ledger.execute(
        zone.transaction(zone.authority, set_allowance(shop.principal, **{**PLENTY, name: limit}))
    )
    assert (await validate(ledger, *data[:2], block=HASHES[1])).reason == ""
    assert (await validate(ledger, *data, block=HASHES[2])).reason == "ALLOWANCE_EXCEEDED"
    assert (await validate(ledger, data[0], block=HASHES[3])).reason == ""
    after = Branch(1, (HASHES[3],))
    assert (await validate(ledger, data[1], block=HASHES[4], branch=after)).reason == ""
    assert (await validate(ledger, *data[1:], block=HASHES[5], branch=after)).reason == "ALLOWANCE_EXCEEDED"
    assert (
        await validate(ledger, data[2], block=HASHES[6], branch=Branch(1, (HASHES[3], HASHES[4])))
    ).reason == "ALLOWANCE_EXCEEDED"


async def test_the_pool_judges_in_the_epoch_of_the_next_block() -> None:
    zone = make_zone({"bytes_per_epoch": 2**40, "signatures_per_epoch": 1, "state_leaves": 2**40})
    ledger = memory_ledger(zone)
    shop = zone.organizations[0]
    await ledger.execute(zone.transaction(shop, create_unit(A)))
    day = zone.genesis.epoch_ms
    (spent,) = await check(ledger, zone.transaction(shop, MOVE, sequence=2))
    await ledger.execute(after_ms=day)
    (fresh,) = await check(
        ledger, zone.transaction(shop, MOVE, sequence=2, time_ms=ledger.state.newest.time_ms)
    )
    assert (spent.reason, fresh.reason) == ("ALLOWANCE_EXCEEDED", "")


def test_the_branch_cache_is_bounded_by_blocks_and_by_lanes() -> None:
    from icn_machine.validity import Use

    by_blocks = BranchCache(blocks_max=2)
    for block in HASHES[:3]:
        by_blocks.add(block, Use(0))
    with pytest.raises(AncestorUnknown):
        by_blocks.ancestors([HASHES[0]])
    assert len(by_blocks.ancestors(HASHES[1:3])) == 2
    by_lanes = BranchCache(lanes_max=5)
    for block in HASHES[:3]:
        by_lanes.add(block, Use(0, {(block[:16], lane): 1 for lane in range(3)}))
    with pytest.raises(AncestorUnknown):
        by_lanes.ancestors([HASHES[1]])
    assert len(by_lanes.ancestors([HASHES[2]])) == 1


def test_the_transaction_cache_is_bounded_by_count_and_by_bytes(zone: Zone) -> None:
    data = [zone.transaction(zone.organizations[0], MOVE) for _ in range(4)]
    by_count = TransactionCache(zone.genesis.hash, transactions_max=2)
    first = by_count.read(data[0])
    assert by_count.read(data[0]) is first
    by_count.read(data[1])
    by_count.read(data[0])
    by_count.read(data[2])
    assert by_count.read(data[0]) is first
    by_bytes = TransactionCache(zone.genesis.hash, bytes_max=2 * len(data[0]))
    first = by_bytes.read(data[0])
    by_bytes.read(data[1])
    by_bytes.read(data[2])
    assert by_bytes.read(data[0]) is not first


@given(st.permutations(range(6)), st.integers(0, 6))
async def test_whatever_the_order_of_arrival_a_lane_is_taken_in_its_own(
    order: list[int], transactions_max: int
) -> None:
    zone = make_zone()
    ledger = memory_ledger(zone)
    member: Member = zone.organizations[0]
    data = [zone.transaction(member, MOVE) for _ in range(6)]
    choice = await prepare(ledger, *[data[index] for index in order], transactions_max=transactions_max)
    taken = [order[position] for position in choice.chosen]
    assert taken == list(range(transactions_max))
    assert choice.refused == ()
