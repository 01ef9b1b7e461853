"""Validity rules 2 to 10, each at its exact border, and the order they are asked in."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.ledger.v1 import transaction_pb2 as pb
from icn_machine.authority import signing_keys
from icn_machine.limits import EXPIRY_AHEAD_MS_MAX, FUEL_PER_BLOCK_MAX, SEQUENCE_AHEAD_MAX
from icn_machine.messages import SignatureVerdict, Transaction
from icn_machine.parsing import controller_keys, parse_transaction
from icn_machine.records import Allowance, AllowanceLimits, Controller
from icn_machine.refusals import NotValid
from icn_machine.validity import (
    BLOCK_DOOR,
    POOL_DOOR,
    Charge,
    Door,
    Moment,
    Use,
    ValidityView,
    include,
    judge,
)

from libs.machine.tests.credit_messages import (
    close_account,
    close_period,
    legs,
    offer_exchange,
    order_transfers,
    pledge_account,
    set_unit_policy,
)
from libs.machine.tests.zone import (
    GENESIS_TIME_MS,
    Member,
    TestKey,
    anchor,
    cancel_recovery,
    capture_hold,
    complete_recovery,
    create_unit,
    identifier,
    make_zone,
    open_account,
    open_controller,
    place_hold,
    set_allowance,
    set_floor,
    sorted_keys,
    start_recovery,
    transfer,
    update_controller,
    void_hold,
)

ZONE = make_zone()
SHOP = ZONE.organizations[0]
A, B, C = identifier("a"), identifier("b"), identifier("c")
NOW = Moment(0, GENESIS_TIME_MS)
VALID = SignatureVerdict(True, 0)
PLENTY = AllowanceLimits(2**40, 2**40, 2**40)


def member(name: str = "ana", keys: int = 1) -> Member:
    return ZONE.member(name, SHOP, keys)


def registered(
    who: Member,
    threshold: int = 1,
    lanes: tuple[tuple[int, int], ...] = (),
    keys: list[Any] | None = None,
) -> Controller:
    values = controller_keys(sorted_keys(*(who.keys if keys is None else keys)))
    return Controller(who.principal, threshold, values, None, False, SHOP.principal, lanes, b"")


def allowance(limits: AllowanceLimits = PLENTY, **changes: int) -> Allowance:
    return Allowance(SHOP.principal, limits, 0, 0, 0, 0)._replace(**changes)


def view(*controllers: Controller, **allowances: Allowance | None) -> ValidityView:
    known = {SHOP.principal: allowances.get("shop", allowance()), A: None}
    return ValidityView({one.principal: one for one in controllers}, known)


def verdict(
    data: bytes,
    state: ValidityView,
    *,
    use: Use | None = None,
    moment: Moment = NOW,
    signatures: SignatureVerdict = VALID,
    door: Door = BLOCK_DOOR,
) -> str:
    """The reason, empty when valid."""
    transaction = parse_transaction(data, ZONE.genesis.hash)
    try:
        judge(
            transaction,
            state,
            use or Use(moment.epoch),
            moment,
            verdict_of=lambda _transaction, _controller: signatures,
            door=door,
        )
    except NotValid as refusal:
        return refusal.reason
    return ""


def test_expiry_may_be_block_time_and_not_a_millisecond_before() -> None:
    ana = member()
    state = view(registered(ana))
    assert (
        verdict(ZONE.transaction(ana, transfer(A, B, 5), expire_time_ms=GENESIS_TIME_MS, sequence=1), state)
        == ""
    )
    data = ZONE.transaction(ana, transfer(A, B, 5), expire_time_ms=GENESIS_TIME_MS - 1, sequence=1)
    assert verdict(data, state) == "EXPIRED"


def test_expiry_may_be_a_day_ahead_and_not_a_millisecond_more() -> None:
    ana = member()
    state = view(registered(ana))
    limit = GENESIS_TIME_MS + EXPIRY_AHEAD_MS_MAX
    assert verdict(ZONE.transaction(ana, transfer(A, B, 5), expire_time_ms=limit, sequence=1), state) == ""
    data = ZONE.transaction(ana, transfer(A, B, 5), expire_time_ms=limit + 1, sequence=1)
    assert verdict(data, state) == "EXPIRY_TOO_FAR"


def test_a_principal_needs_a_controller() -> None:
    ana = member()
    state = ValidityView({ana.principal: None}, {SHOP.principal: allowance()})
    assert verdict(ZONE.transaction(ana, transfer(A, B, 5)), state) == "CONTROLLER_UNKNOWN"


def test_the_payer_is_the_principal_or_its_sponsor() -> None:
    ana = member()
    other = ZONE.organizations[1].principal
    state = ValidityView({ana.principal: registered(ana)}, {SHOP.principal: allowance(), other: allowance()})
    assert verdict(ZONE.transaction(ana, transfer(A, B, 5), sequence=1), state) == ""
    data = ZONE.transaction(ana, transfer(A, B, 5), payer=other, sequence=1)
    assert verdict(data, state) == "PAYER_NOT_ALLOWED"


def test_a_principal_without_an_allowance_cannot_pay_for_itself() -> None:
    ana = member()
    state = ValidityView({ana.principal: registered(ana)}, {ana.principal: None})
    data = ZONE.transaction(ana, transfer(A, B, 5), payer=ana.principal)
    assert verdict(data, state) == "PAYER_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("sequence", "reason"), [(4, "SEQUENCE_USED"), (5, "SEQUENCE_USED"), (6, ""), (7, "SEQUENCE_GAP")]
)
def test_a_block_takes_the_next_number_of_a_lane_only(sequence: int, reason: str) -> None:
    ana = member()
    state = view(registered(ana, lanes=((0, 5), (1, 9))))
    assert verdict(ZONE.transaction(ana, transfer(A, B, 5), sequence=sequence), state) == reason


def test_each_lane_counts_for_itself() -> None:
    ana = member()
    state = view(registered(ana, lanes=((0, 5), (1, 9))))
    assert verdict(ZONE.transaction(ana, transfer(A, B, 5), lane=1, sequence=10), state) == ""
    assert verdict(ZONE.transaction(ana, transfer(A, B, 5), lane=2, sequence=1), state) == ""


def test_a_pool_holds_numbers_up_to_ten_thousand_ahead() -> None:
    ana = member()
    state = view(registered(ana, lanes=((0, 5),)))
    last = 6 + SEQUENCE_AHEAD_MAX
    assert verdict(ZONE.transaction(ana, transfer(A, B, 5), sequence=last), state, door=POOL_DOOR) == ""
    data = ZONE.transaction(ana, transfer(A, B, 5), sequence=last + 1)
    assert verdict(data, state, door=POOL_DOOR) == "SEQUENCE_GAP"


def test_numbers_that_ancestors_and_earlier_transactions_use_count() -> None:
    ana = member()
    state = view(registered(ana))
    ancestor = Use(0, {(ana.principal, 0): 1})
    use = Use.after([ancestor], 0)
    assert verdict(ZONE.transaction(ana, transfer(A, B, 5), sequence=1), state, use=use) == "SEQUENCE_USED"
    second = parse_transaction(ZONE.transaction(ana, transfer(A, B, 5), sequence=2), ZONE.genesis.hash)
    include(second, state, use, NOW, verdict_of=lambda _t, _c: VALID)
    assert verdict(ZONE.transaction(ana, transfer(A, B, 5), sequence=3), state, use=use) == ""
    assert use.alone().lanes == {(ana.principal, 0): 2}


def test_a_signature_must_name_a_key_and_one_of_its_suites() -> None:
    ana = member()
    state = view(registered(ana))
    stranger = TestKey("stranger")
    data = ZONE.transaction(ana, transfer(A, B, 5), keys=[stranger], sequence=1)
    assert verdict(data, state) == "KEY_UNKNOWN"
    signed = pb.Transaction.FromString(ZONE.transaction(ana, transfer(A, B, 5), sequence=1))
    signed.signatures[0].suite = 2
    signed.signatures[0].signature = bytes(3309)
    assert verdict(signed.SerializeToString(deterministic=True), state) == "KEY_UNKNOWN"


def test_the_threshold_is_reached_or_not() -> None:
    ana = member(keys=3)
    state = view(registered(ana, threshold=2))
    for signing, reason in ((1, "THRESHOLD_NOT_MET"), (2, ""), (3, "")):
        data = ZONE.transaction(ana, transfer(A, B, 5), keys=ana.keys[:signing], sequence=1)
        assert verdict(data, state) == reason


@given(st.randoms(use_true_random=False))
def test_what_sufficed_once_is_asked_anew_under_another_controller_or_at_another_time(
    draw: random.Random,
) -> None:
    ana = member(keys=3)
    scope = pb.KeyScope(message_kinds=[6], expire_time_ms=NOW.time_ms)
    sets = [
        registered(ana).keys,
        registered(ana).keys,
        registered(ana, keys=ana.keys[:2]).keys,
        registered(ana, keys=[(ana.keys[0], scope), *ana.keys[1:]]).keys,
    ]
    signing = draw.sample(ana.keys, draw.randrange(1, 4))
    data = ZONE.transaction(ana, transfer(A, B, 5), keys=signing, sequence=1)
    asked_before = parse_transaction(data, ZONE.genesis.hash)
    for _ in range(20):
        controller = registered(ana, draw.randrange(1, 4))._replace(keys=draw.choice(sets))
        time_ms = NOW.time_ms + draw.randrange(2)
        first = signing_keys(parse_transaction(data, ZONE.genesis.hash), controller, time_ms)
        assert signing_keys(asked_before, controller, time_ms) == first


ACCOUNT_SCOPE = pb.KeyScope(
    message_kinds=[6, 7], amount_minor_max=10, accounts=[A], expire_time_ms=NOW.time_ms
)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([transfer(A, B, 10)], ""),
        ([transfer(A, B, 11)], "KEY_SCOPE_EXCEEDED"),
        ([transfer(B, A, 10)], "KEY_SCOPE_EXCEEDED"),
        ([place_hold(C, A, B, 10, NOW.time_ms)], ""),
        ([place_hold(C, A, B, 11, NOW.time_ms)], "KEY_SCOPE_EXCEEDED"),
        ([place_hold(C, B, A, 10, NOW.time_ms)], "KEY_SCOPE_EXCEEDED"),
        ([void_hold(C)], "KEY_SCOPE_EXCEEDED"),
        ([transfer(A, B, 10), transfer(A, B, 10)], ""),
        ([transfer(A, B, 10), void_hold(C)], "KEY_SCOPE_EXCEEDED"),
    ],
)
def test_a_scoped_key_signs_what_lies_inside_its_scope(messages: list[pb.Message], reason: str) -> None:
    ana = member()
    scoped = TestKey("scoped")
    state = view(registered(ana, keys=[ana.keys[0], (scoped, ACCOUNT_SCOPE)]))
    assert verdict(ZONE.transaction(ana, *messages, keys=[scoped], sequence=1), state) == reason


def test_a_scoped_key_may_capture_up_to_its_amount() -> None:
    ana = member()
    scoped = TestKey("scoped")
    scope = pb.KeyScope(message_kinds=[8], amount_minor_max=10)
    state = view(registered(ana, keys=[ana.keys[0], (scoped, scope)]))
    assert verdict(ZONE.transaction(ana, capture_hold(C, 10), keys=[scoped], sequence=1), state) == ""
    data = ZONE.transaction(ana, capture_hold(C, 11), keys=[scoped], sequence=1)
    assert verdict(data, state) == "KEY_SCOPE_EXCEEDED"


def test_a_scoped_key_may_veto_where_its_scope_says_so() -> None:
    ana = member()
    phone = TestKey("phone")
    state = view(registered(ana, keys=[ana.keys[0], (phone, pb.KeyScope(message_kinds=[13]))]))
    for message, reason in (
        (cancel_recovery(ana.principal), ""),
        (complete_recovery(ana.principal), "KEY_SCOPE_EXCEEDED"),
        (start_recovery(ana.principal, 1, TestKey("new")), "KEY_SCOPE_EXCEEDED"),
    ):
        assert verdict(ZONE.transaction(ana, message, keys=[phone], sequence=1), state) == reason


def test_a_scoped_key_ends_after_its_last_block_time() -> None:
    ana = member()
    scoped = TestKey("scoped")
    state = view(registered(ana, keys=[ana.keys[0], (scoped, ACCOUNT_SCOPE)]))
    data = ZONE.transaction(ana, transfer(A, B, 5), keys=[scoped], sequence=1)
    assert verdict(data, state, moment=NOW) == ""
    assert verdict(data, state, moment=Moment(0, NOW.time_ms + 1)) == "KEY_SCOPE_EXCEEDED"


def test_zero_in_a_scope_means_no_limit_and_no_end() -> None:
    ana = member()
    scoped = TestKey("scoped")
    state = view(registered(ana, keys=[ana.keys[0], (scoped, pb.KeyScope(message_kinds=[6]))]))
    data = ZONE.transaction(ana, transfer(B, A, 2**62), keys=[scoped], sequence=1)
    assert verdict(data, state) == ""


def test_a_scoped_key_does_not_sign_beside_others() -> None:
    ana = member()
    scoped, other = TestKey("scoped"), TestKey("other")
    scope = pb.KeyScope(message_kinds=[6])
    state = view(registered(ana, keys=[ana.keys[0], (scoped, scope), (other, scope)]))
    for keys in ([ana.keys[0], scoped], [scoped, other]):
        data = ZONE.transaction(ana, transfer(A, B, 5), keys=keys, sequence=1)
        assert verdict(data, state) == "KEY_SCOPE_EXCEEDED"


def test_a_bad_signature_is_refused() -> None:
    ana = member()
    data = ZONE.transaction(ana, transfer(A, B, 5))
    assert verdict(data, view(registered(ana)), signatures=SignatureVerdict(False, 0)) == "SIGNATURE_INVALID"


def test_a_block_takes_eight_cofactored_only_signatures_and_a_pool_none() -> None:
    ana = member()
    state = view(registered(ana))
    odd = SignatureVerdict(True, 1)
    use = Use(0)
    for sequence in range(1, 9):
        transaction = parse_transaction(
            ZONE.transaction(ana, transfer(A, B, 5), sequence=sequence), ZONE.genesis.hash
        )
        include(transaction, state, use, NOW, verdict_of=lambda _t, _c: odd)
    ninth = ZONE.transaction(ana, transfer(A, B, 5), sequence=9)
    assert verdict(ninth, state, use=use, signatures=odd) == "SIGNATURE_INVALID"
    assert verdict(ninth, state, use=use) == ""
    first = ZONE.transaction(ana, transfer(A, B, 5), sequence=1)
    assert verdict(first, state, signatures=odd, door=POOL_DOOR) == "SIGNATURE_INVALID"
    assert verdict(first, state, signatures=odd) == ""


def test_cofactored_only_signatures_of_ancestors_do_not_count() -> None:
    ana = member()
    use = Use.after([Use(0, {}, {}, cofactored_only=8)], 0)
    data = ZONE.transaction(ana, transfer(A, B, 5))
    assert verdict(data, view(registered(ana)), use=use, signatures=SignatureVerdict(True, 1)) == ""


def test_bytes_and_signatures_fit_exactly_or_are_refused() -> None:
    ana = member(keys=2)
    data = ZONE.transaction(ana, transfer(A, B, 5), sequence=1)
    for limits, reason in (
        (AllowanceLimits(len(data), 2, 0), ""),
        (AllowanceLimits(len(data) - 1, 2, 0), "ALLOWANCE_EXCEEDED"),
        (AllowanceLimits(len(data), 1, 0), "ALLOWANCE_EXCEEDED"),
    ):
        assert verdict(data, view(registered(ana), shop=allowance(limits))) == reason


def test_a_veto_needs_no_cover_once_per_lane_zero_while_a_recovery_is_announced() -> None:
    ana = member()
    veto = [cancel_recovery(ana.principal)]
    announced = registered(ana)._replace(is_being_recovered=True)
    nothing = allowance(AllowanceLimits(0, 0, 0))

    def reason(controller: Controller, messages: list[pb.Message], lane: int = 0) -> str:
        data = ZONE.transaction(ana, *messages, sequence=1, lane=lane)
        return verdict(data, view(controller, shop=nothing))

    assert reason(announced, veto) == ""
    assert reason(registered(ana), veto) == "ALLOWANCE_EXCEEDED"
    assert reason(announced, [cancel_recovery(A)]) == "ALLOWANCE_EXCEEDED"
    assert reason(announced, [*veto, transfer(A, B, 5)]) == "ALLOWANCE_EXCEEDED"
    assert reason(announced, veto, lane=1) == "ALLOWANCE_EXCEEDED"
    unexecuted = Use.after([Use(0, {(ana.principal, 0): 1}, {})], 0)
    second = ZONE.transaction(ana, *veto, sequence=2)
    assert verdict(second, view(announced, shop=nothing), use=unexecuted) == "ALLOWANCE_EXCEEDED"
    charged = judge(
        parse_transaction(ZONE.transaction(ana, *veto, sequence=1), ZONE.genesis.hash),
        view(announced, shop=nothing),
        Use(0),
        NOW,
        verdict_of=lambda _transaction, _controller: VALID,
    )
    assert charged.signatures == 1


def test_what_was_used_in_this_epoch_counts_and_in_an_earlier_one_does_not() -> None:
    ana = member()
    data = ZONE.transaction(ana, transfer(A, B, 5), sequence=1)
    spent = allowance(AllowanceLimits(len(data), 1, 0), used_bytes=1, used_signatures=0)
    assert verdict(data, view(registered(ana), shop=spent)) == "ALLOWANCE_EXCEEDED"
    assert verdict(data, view(registered(ana), shop=spent), moment=Moment(1, NOW.time_ms)) == ""


def test_what_ancestors_use_counts_in_their_epoch_and_leaves_in_every_epoch() -> None:
    ana = member()
    data = ZONE.transaction(ana, create_unit(A), sequence=1)
    state = view(registered(ana), shop=allowance(AllowanceLimits(len(data), 1, 1)))
    charged = {SHOP.principal: Charge(1, 0, 0)}
    assert verdict(data, state, use=Use.after([Use(0, {}, charged)], 0)) == "ALLOWANCE_EXCEEDED"
    tomorrow = Moment(1, NOW.time_ms)
    assert verdict(data, state, use=Use.after([Use(0, {}, charged)], 1), moment=tomorrow) == ""
    made = {SHOP.principal: Charge(0, 0, 1)}
    assert verdict(data, state, use=Use.after([Use(0, {}, made)], 1), moment=tomorrow) == "ALLOWANCE_EXCEEDED"


def test_leaves_made_in_an_epoch_are_bounded_apart_from_those_that_are_kept() -> None:
    ana = member()
    data = ZONE.transaction(ana, create_unit(A), sequence=1)
    limits = AllowanceLimits(2**40, 2**40, 2**40, new_leaves_per_epoch=3)
    for made, under_way, reason in ((2, 0, ""), (3, 0, "ALLOWANCE_EXCEEDED"), (1, 2, "ALLOWANCE_EXCEEDED")):
        state = view(registered(ana), shop=allowance(limits, used_new_leaves=made))
        use = Use.after([Use(0, {}, {SHOP.principal: Charge(0, 0, under_way)})], 0)
        assert verdict(data, state, use=use) == reason
        assert verdict(data, state, use=use, moment=Moment(1, NOW.time_ms)) in ("", reason)
    later = view(registered(ana), shop=allowance(limits, used_new_leaves=3))
    assert verdict(data, later, use=Use(1), moment=Moment(1, NOW.time_ms)) == ""


def test_without_a_bound_of_its_own_an_epoch_makes_as_many_leaves_as_may_be_kept() -> None:
    ana = member()
    data = ZONE.transaction(ana, create_unit(A), sequence=1)
    for used, reason in ((4, ""), (5, "ALLOWANCE_EXCEEDED")):
        state = view(registered(ana), shop=allowance(AllowanceLimits(2**40, 2**40, 5), used_new_leaves=used))
        assert verdict(data, state) == reason
    idle = view(registered(ana), shop=allowance(AllowanceLimits(2**40, 2**40, 5), used_new_leaves=9))
    assert verdict(ZONE.transaction(ana, transfer(A, B, 5), sequence=1), idle) == ""


@pytest.mark.parametrize(
    ("messages", "leaves"),
    [
        ([transfer(A, B, 5)], 0),
        ([set_floor(A, 0)], 0),
        ([capture_hold(C, 1)], 0),
        ([void_hold(C)], 0),
        ([update_controller(1, TestKey("new"))], 0),
        ([open_controller(ZONE.member("ben", SHOP))], 1),
        ([create_unit(A)], 1),
        ([open_account(A, B)], 2),
        ([offer_exchange(C, (A, 1), (B, 1), 1)], 1),
        ([order_transfers(C, A, B, 1, 1)], 1),
        ([set_unit_policy(A)], 1),
        ([close_period(A, 1)], 1),
        ([legs((A, B, 1), (B, A, 1))], 0),
        ([pledge_account(A, 1)], 0),
        ([close_account(A)], 0),
        ([place_hold(C, A, B, 1, 1)], 1),
        ([anchor(bytes(32))], 1),
        ([start_recovery(A, 1, TestKey("new"))], 1),
        ([cancel_recovery(A)], 0),
        ([complete_recovery(A)], 0),
        ([set_allowance(A, state_leaves=1)], 1),
        ([set_allowance(SHOP.principal, state_leaves=1)], 0),
        ([set_allowance(A), set_allowance(A)], 1),
        ([create_unit(A), open_account(A, B), open_account(B, B)], 5),
    ],
)
def test_leaves_that_messages_may_create_are_covered_or_refused(
    messages: list[pb.Message], leaves: int
) -> None:
    ana = member()
    data = ZONE.transaction(ana, *messages, sequence=1)
    fits = allowance(AllowanceLimits(2**40, 2**40, leaves + 3), used_state_leaves=3)
    assert verdict(data, view(registered(ana), shop=fits)) == ""
    if leaves:
        short = allowance(AllowanceLimits(2**40, 2**40, leaves + 2), used_state_leaves=3)
        assert verdict(data, view(registered(ana), shop=short)) == "ALLOWANCE_EXCEEDED"


def test_a_transaction_without_leaves_passes_a_limit_lowered_below_what_is_occupied() -> None:
    ana = member()
    over = allowance(AllowanceLimits(2**40, 2**40, 1), used_state_leaves=3)
    assert verdict(ZONE.transaction(ana, transfer(A, B, 5)), view(registered(ana), shop=over)) == ""


def test_the_first_rule_that_fails_gives_the_reason() -> None:
    """One transaction that breaks every rule; each rule mended in turn shows the next."""
    ana = member(keys=2)
    stranger = TestKey("stranger")
    bad = SignatureVerdict(False, 0)
    poor = allowance(AllowanceLimits(0, 0, 0))
    unknown = ValidityView({ana.principal: None}, {A: None, SHOP.principal: poor})
    known = ValidityView({ana.principal: registered(ana, threshold=2)}, {A: None, SHOP.principal: poor})
    fields: dict[str, Any] = {
        "sequence": 2,
        "payer": A,
        "expire_time_ms": NOW.time_ms - 1,
        "keys": [stranger],
    }

    def reason(state: ValidityView, signatures: SignatureVerdict, **mended: Any) -> str:
        fields.update(mended)
        return verdict(ZONE.transaction(ana, transfer(A, B, 5), **fields), state, signatures=signatures)

    assert reason(unknown, bad) == "EXPIRED"
    assert reason(unknown, bad, expire_time_ms=NOW.time_ms) == "CONTROLLER_UNKNOWN"
    assert reason(known, bad) == "PAYER_NOT_ALLOWED"
    assert reason(known, bad, payer=SHOP.principal) == "SEQUENCE_GAP"
    assert reason(known, bad, sequence=1) == "KEY_UNKNOWN"
    assert reason(known, bad, keys=ana.keys[:1]) == "THRESHOLD_NOT_MET"
    assert reason(known, bad, keys=ana.keys) == "SIGNATURE_INVALID"
    assert reason(known, VALID) == "ALLOWANCE_EXCEEDED"


def fuelled(limit: int, sequence: int = 1) -> tuple[Member, Transaction]:
    """A transaction that asks for fuel, as contract calls do."""
    ana = member()
    data = ZONE.transaction(ana, transfer(A, B, 5), sequence=sequence)
    transaction = parse_transaction(data, ZONE.genesis.hash)
    transaction.fuel_limit = limit
    return ana, transaction


def fuel_reason(
    transaction: Transaction, state: ValidityView, use: Use, moment: Moment = NOW, door: Door = BLOCK_DOOR
) -> str:
    try:
        charge = judge(transaction, state, use, moment, verdict_of=lambda *_: VALID, door=door)
    except NotValid as refusal:
        return refusal.reason
    assert charge.fuel == transaction.fuel_limit
    return ""


def test_a_fuel_limit_fits_the_allowance_exactly_or_is_refused() -> None:
    ana, transaction = fuelled(500)
    for limit, used, epoch, reason in (
        (500, 0, 0, ""),
        (499, 0, 0, "ALLOWANCE_EXCEEDED"),
        (500, 1, 0, "ALLOWANCE_EXCEEDED"),
        (500, 1, 1, ""),
    ):
        shop = allowance(AllowanceLimits(2**40, 2**40, 2**40, limit), used_fuel=used)
        state = view(registered(ana), shop=shop)
        assert fuel_reason(transaction, state, Use(epoch), Moment(epoch, NOW.time_ms)) == reason


def test_fuel_of_unexecuted_ancestors_counts_in_their_epoch() -> None:
    ana, transaction = fuelled(500)
    state = view(registered(ana), shop=allowance(AllowanceLimits(2**40, 2**40, 2**40, 999)))
    before = [Use(0, {}, {SHOP.principal: Charge(0, 0, 0, fuel=500)})]
    assert fuel_reason(transaction, state, Use.after(before, 0)) == "ALLOWANCE_EXCEEDED"
    assert fuel_reason(transaction, state, Use.after(before, 1), Moment(1, NOW.time_ms)) == ""


def test_fuel_limits_of_a_block_are_bounded_and_those_of_its_ancestors_do_not_count() -> None:
    ana, transaction = fuelled(500)
    rich = AllowanceLimits(2**40, 2**40, 2**40, 2**50)
    state = view(registered(ana), shop=allowance(rich))
    for others, reason in ((FUEL_PER_BLOCK_MAX - 500, ""), (FUEL_PER_BLOCK_MAX - 499, "BLOCK_FUEL_EXCEEDED")):
        use = Use(0)
        _, other = fuelled(others)
        other.principal = A
        use.include(other, Charge(1, 1, 0, fuel=others))
        assert fuel_reason(transaction, state, use) == reason
        assert fuel_reason(transaction, state, Use.after([use.alone()], 0)) == ""
