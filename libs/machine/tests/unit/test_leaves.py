"""Leaves are canonical, and a record read back is the record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.ledger.v1 import state_pb2, transaction_pb2
from icn_crypto.merkle_log import EMPTY_ROOT, leaf_hash, node_hash
from icn_crypto.suites import Suite
from icn_crypto.wire import parse_canonical
from icn_machine.credit_messages import OrderTransfers, UnitPolicy
from icn_machine.entries import PostingKind
from icn_machine.events import ContractResult, Movement, Receipt
from icn_machine.genesis_state import genesis_records
from icn_machine.leaves import controller_head, decode_leaf, encode_leaf
from icn_machine.limits import QUANTITY_MAX, RECOVERY_DELAY_MS_MAX
from icn_machine.parsing import controller_keys
from icn_machine.receipts import encode_postings, encode_receipt, encode_receipts, receipts_root
from icn_machine.records import (
    NO_TERMS,
    Account,
    AccountTerms,
    Allowance,
    AllowanceLimits,
    Anchor,
    Authority,
    AuthorityRules,
    Ballot,
    Code,
    ConsensusKey,
    Contract,
    ContractEntry,
    Controller,
    CreditLine,
    Decision,
    Duty,
    Electorate,
    ExchangePrice,
    Hold,
    Membership,
    MembershipStatus,
    Namespace,
    PendingSeats,
    Period,
    PolicyInForce,
    Poll,
    Record,
    RecordedEquivocation,
    Recovery,
    RecoveryPolicy,
    Share,
    StandingOrder,
    Trade,
    Unit,
    Validators,
    Zone,
)

from libs.machine.tests.zone import TestKey, identifier, make_zone, sorted_keys

MESSAGES = {
    Namespace.CONTROLLER: state_pb2.ControllerLeaf,
    Namespace.UNIT: state_pb2.UnitLeaf,
    Namespace.ACCOUNT: state_pb2.AccountLeaf,
    Namespace.HOLD: state_pb2.HoldLeaf,
    Namespace.ANCHOR: state_pb2.AnchorLeaf,
    Namespace.ALLOWANCE: state_pb2.AllowanceLeaf,
    Namespace.ZONE: state_pb2.ZoneLeaf,
    Namespace.RECOVERY: state_pb2.RecoveryLeaf,
    Namespace.AUTHORITY: state_pb2.AuthorityLeaf,
    Namespace.MEMBERSHIP: state_pb2.MembershipLeaf,
    Namespace.POLL: state_pb2.PollLeaf,
    Namespace.BALLOT: state_pb2.BallotLeaf,
    Namespace.DECISION: state_pb2.DecisionLeaf,
    Namespace.DUTY: state_pb2.DutyLeaf,
    Namespace.EQUIVOCATION: state_pb2.EquivocationLeaf,
    Namespace.VALIDATORS: state_pb2.ValidatorsLeaf,
    Namespace.CONSENSUS_KEY: state_pb2.ConsensusKeyLeaf,
    Namespace.CODE: state_pb2.CodeLeaf,
    Namespace.CONTRACT: state_pb2.ContractLeaf,
    Namespace.CONTRACT_ENTRY: state_pb2.ContractEntryLeaf,
    Namespace.UNIT_POLICY: state_pb2.UnitPolicyLeaf,
    Namespace.CREDIT_LINE: state_pb2.CreditLineLeaf,
    Namespace.TRADE: state_pb2.TradeLeaf,
    Namespace.ORDER: state_pb2.StandingOrderLeaf,
    Namespace.PERIOD: state_pb2.PeriodLeaf,
}
ids = st.binary(min_size=16, max_size=16)
quantities = st.integers(0, QUANTITY_MAX)
balances = st.integers(-QUANTITY_MAX, QUANTITY_MAX)
digests = st.binary(min_size=32, max_size=32)
counts = st.integers(0, 2**32 - 1)
shares = st.none() | st.builds(Share, counts, counts)
sets_of_ids = st.lists(ids, max_size=16, unique=True).map(lambda found: tuple(sorted(found)))
maybe_ids = ids | st.just(b"")
millionths = st.integers(0, 1_000_000)
chains = st.just((0, b"")) | st.tuples(st.integers(1, 2**62), digests)
terms = st.builds(
    lambda subs, *fields: AccountTerms(fields[0], *subs, *fields[1:]),
    chains,
    maybe_ids,
    st.booleans(),
    balances,
    quantities,
    quantities,
    st.booleans(),
    quantities,
    quantities,
    st.booleans(),
    quantities,
)
records = st.one_of(
    st.tuples(
        st.just(Namespace.UNIT), st.builds(Unit, ids, st.just("HOUR"), st.integers(0, 9), ids, ids, balances)
    ),
    st.tuples(
        st.just(Namespace.ACCOUNT),
        st.builds(
            lambda chain, payer, terms, *fields: Account(
                *fields, *chain, payer, None if terms == NO_TERMS else terms
            ),
            chains,
            maybe_ids,
            terms,
            *(ids, ids, ids, balances, quantities, balances, quantities),
        ),
    ),
    st.tuples(
        st.just(Namespace.HOLD),
        st.builds(
            Hold,
            ids,
            ids,
            maybe_ids,
            quantities,
            quantities,
            ids,
            st.none() | st.builds(ExchangePrice, ids, quantities, quantities, maybe_ids),
        ),
    ),
    st.tuples(
        st.just(Namespace.ANCHOR),
        st.builds(Anchor, st.binary(min_size=32, max_size=32), st.just("a"), ids, quantities, quantities),
    ),
    st.tuples(st.just(Namespace.CODE), st.builds(Code, st.binary(min_size=1), ids)),
    st.tuples(
        st.just(Namespace.CONTRACT),
        st.builds(
            Contract,
            ids,
            st.binary(min_size=32, max_size=32),
            ids,
            st.integers(0, 4_096),
            quantities,
            st.integers(0, 61_440),
        ),
    ),
    st.tuples(st.just(Namespace.CONTRACT_ENTRY), st.builds(ContractEntry, st.binary(min_size=1), ids)),
    st.tuples(
        st.just(Namespace.ALLOWANCE),
        st.builds(
            Allowance,
            ids,
            st.builds(AllowanceLimits, quantities, quantities, quantities, quantities, quantities),
            quantities,
            quantities,
            quantities,
            quantities,
            quantities,
            quantities,
        ),
    ),
    st.tuples(
        st.just(Namespace.ZONE), st.builds(Zone, ids, st.integers(0, 2**32 - 1), st.binary(max_size=32))
    ),
    st.tuples(
        st.just(Namespace.AUTHORITY),
        st.builds(
            Authority, ids, st.builds(AuthorityRules, counts, counts, quantities, *[shares] * 4), counts
        ),
    ),
    st.tuples(
        st.just(Namespace.MEMBERSHIP),
        st.builds(
            Membership,
            ids,
            ids,
            st.sampled_from(MembershipStatus),
            quantities,
            quantities,
            quantities,
            sets_of_ids,
            ids,
        ),
    ),
    st.tuples(
        st.just(Namespace.POLL),
        st.builds(
            Poll,
            ids,
            ids,
            st.sampled_from(Electorate),
            digests,
            ids,
            quantities,
            quantities,
            counts,
            digests | st.just(b""),
            digests | st.just(b""),
        ),
    ),
    st.tuples(
        st.just(Namespace.BALLOT),
        st.builds(Ballot, ids, ids, digests, ids | st.just(b""), quantities, ids),
    ),
    st.tuples(
        st.just(Namespace.DECISION),
        st.builds(Decision, ids, ids | st.just(b""), digests, sets_of_ids, counts, quantities),
    ),
    st.tuples(
        st.just(Namespace.DUTY),
        st.builds(Duty, ids, quantities, quantities, quantities, quantities),
    ),
    st.tuples(
        st.just(Namespace.EQUIVOCATION),
        st.builds(
            RecordedEquivocation,
            quantities,
            st.integers(0, 49),
            ids,
            quantities,
            st.binary(min_size=1),
            ids,
            quantities,
            quantities,
        ),
    ),
    st.tuples(
        st.just(Namespace.VALIDATORS),
        st.builds(
            Validators,
            digests,
            quantities,
            quantities,
            st.lists(st.builds(PendingSeats, digests, quantities, st.integers(1, 16)), max_size=16).map(
                tuple
            ),
        ),
    ),
    st.tuples(st.just(Namespace.CONSENSUS_KEY), st.builds(ConsensusKey, ids, quantities, quantities)),
    st.tuples(
        st.just(Namespace.UNIT_POLICY),
        st.builds(
            PolicyInForce,
            st.builds(
                UnitPolicy,
                growth_ppm=millionths,
                growth_max_minor=quantities,
                counterparty_max_minor=quantities,
                soft_ppm=millionths,
                fee_fixed_minor=quantities,
                fee_ppm=millionths,
                fee_max_minor=quantities,
                demurrage_ppm=millionths,
                demurrage_days=st.integers(0, 366),
                demurrage_free_minor=quantities,
                fund=maybe_ids,
                freezer=maybe_ids,
            ),
            quantities,
            quantities,
        ),
    ),
    st.tuples(st.just(Namespace.CREDIT_LINE), st.builds(CreditLine, maybe_ids, quantities, quantities)),
    st.tuples(st.just(Namespace.TRADE), st.builds(Trade, quantities, quantities, ids)),
    st.tuples(
        st.just(Namespace.ORDER),
        st.builds(
            StandingOrder,
            st.builds(
                OrderTransfers,
                ids,
                ids,
                ids,
                quantities,
                st.sampled_from([b"", bytes(32)]),
                st.binary(max_size=32),
                quantities,
                st.integers(0, 366),
                st.integers(0, 12),
                st.integers(1, 1_200),
                st.booleans(),
            ),
            st.integers(0, 1_200),
            quantities,
            st.integers(0, 3),
            st.lists(ids, max_size=16).map(tuple),
            ids,
        ),
    ),
    st.tuples(st.just(Namespace.PERIOD), st.builds(Period, quantities, digests, quantities, quantities, ids)),
)


@given(records)
def test_a_leaf_is_canonical_and_reads_back(drawn: tuple[Namespace, Record]) -> None:
    namespace, record = drawn
    leaf = encode_leaf(namespace, record)
    parse_canonical(MESSAGES[namespace], leaf, 10_000)
    assert decode_leaf(namespace, leaf) == record


SCOPE = transaction_pb2.KeyScope(message_kinds=[6], amount_minor_max=5, accounts=[identifier("a")])
KEYS = sorted_keys(TestKey("one", (Suite.ED25519, Suite.ML_DSA_65)), (TestKey("two"), SCOPE))
policies = st.none() | st.builds(RecoveryPolicy, ids, st.integers(1, RECOVERY_DELAY_MS_MAX))


def test_every_namespace_has_its_message() -> None:
    assert set(MESSAGES) == set(Namespace)


@given(st.dictionaries(st.integers(0, 15), st.integers(1, QUANTITY_MAX)), policies)
def test_a_controller_is_its_head_and_then_its_lanes_and_its_policy(
    lanes: dict[int, int], policy: RecoveryPolicy | None
) -> None:
    keys = KEYS
    head = controller_head(
        state_pb2.ControllerLeaf(
            principal=identifier("ana"), threshold=1, keys=keys, sponsor=identifier("shop")
        )
    )
    controller = Controller(
        identifier("ana"), 1, controller_keys(keys), policy, policy is not None, identifier("shop"), (), head
    )
    for lane, sequence in lanes.items():
        controller = controller.consume(lane, sequence)
    leaf = encode_leaf(Namespace.CONTROLLER, controller)
    message = parse_canonical(state_pb2.ControllerLeaf, leaf, 10_000)
    assert {lane.lane: lane.last_sequence for lane in message.lanes} == lanes
    assert decode_leaf(Namespace.CONTROLLER, leaf) == controller
    for lane in range(16):
        assert controller.last_sequence(lane) == lanes.get(lane, 0)


@given(ids, ids, ids, quantities)
def test_a_recovery_is_canonical_and_its_head_is_that_of_the_controller_to_be(
    principal: bytes, guardian: bytes, payer: bytes, ready_time_ms: int
) -> None:
    head = controller_head(state_pb2.ControllerLeaf(principal=principal, threshold=1, keys=KEYS))
    recovery = Recovery(principal, 1, controller_keys(KEYS), guardian, ready_time_ms, payer, head)
    leaf = encode_leaf(Namespace.RECOVERY, recovery)
    message = parse_canonical(state_pb2.RecoveryLeaf, leaf, 10_000)
    assert (message.guardian, message.ready_time_ms, list(message.keys)) == (guardian, ready_time_ms, KEYS)
    assert decode_leaf(Namespace.RECOVERY, leaf) == recovery


def test_every_genesis_record_reads_back() -> None:
    for namespace, _, record in genesis_records(make_zone().genesis):
        assert record is not None
        assert decode_leaf(namespace, encode_leaf(namespace, record)) == record


@pytest.mark.parametrize(
    "receipt",
    [
        Receipt(bytes(32), "", 0, ()),
        Receipt(bytes(32), "CREDIT_LIMIT_EXCEEDED", 3, (("balance_minor", -5), ("floor_minor", 0))),
        Receipt(bytes(32), "", 0, (), ContractResult(5, b"data", bytes(32))),
        Receipt(bytes(32), "OUT_OF_GAS", 0, (), ContractResult(0)),
    ],
)
def test_a_receipt_is_canonical(receipt: Receipt) -> None:
    message = parse_canonical(state_pb2.Receipt, encode_receipt(receipt), 10_000)
    assert message.reason == receipt.reason
    assert message.HasField("contract") == (receipt.contract is not None)


_BALANCES = st.integers(-(2**62), 2**62)


@given(
    amounts=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.integers(1, 2**62),
            _BALANCES | st.just(0),
            _BALANCES | st.just(0),
            st.sampled_from(PostingKind),
        )
    )
)
def test_receipts_hold_the_postings_of_their_transactions_in_order(
    amounts: list[tuple[int, int, int, int, PostingKind]],
) -> None:
    movements = [
        Movement(index, b"", b"a" * 16, b"b" * 16, b"", amount, ours, theirs, b"", b"", kind, b"")
        for index, amount, ours, theirs, kind in amounts
    ]
    result = ContractResult(7)
    receipts = [Receipt(bytes([n]) * 32, "", 0, (), None if n < 2 else result) for n in range(3)]
    encoded = encode_receipts(receipts, encode_postings(movements))
    for n, receipt in enumerate(encoded):
        message = parse_canonical(state_pb2.Receipt, receipt, 100_000)
        found = [(one.account, one.amount_minor, one.balance_minor, one.kind) for one in message.postings]
        assert found == [
            posting
            for movement in movements
            if movement.transaction_index == n
            for posting in (
                (b"a" * 16, -movement.amount_minor, movement.source_balance_minor, movement.kind),
                (b"b" * 16, movement.amount_minor, movement.destination_balance_minor, movement.kind),
            )
        ]
        assert message.contract.fuel_used == (7 if n == 2 else 0)


def test_the_receipts_root_of_a_block_covers_those_of_the_blocks_before_it() -> None:
    first = receipts_root(EMPTY_ROOT, [b"one"])
    assert first == node_hash(EMPTY_ROOT, leaf_hash(b"one"))
    assert receipts_root(first, []) == node_hash(first, EMPTY_ROOT)
