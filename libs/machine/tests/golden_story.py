"""The story of the golden chain: every kind of message and every action of a decision, applied and refused.

What is meant to happen stands beside each transaction, so a story that a change of the rules has overtaken
fails here, with the place. `golden_chain` writes it down.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from icn.ledger.v1 import transaction_pb2 as pb
from icn_wasm.assembly import contract

from libs.machine.tests.credit_messages import (
    cancel_order,
    charge_demurrage,
    close_account,
    close_period,
    confirm_openings,
    freeze_account,
    legs,
    offer_exchange,
    open_bringing,
    open_with,
    order_transfers,
    pledge_account,
    release_order,
    set_unit_policy,
    take_exchange,
    void_exchange,
    write_off,
)
from libs.machine.tests.equivocations import evidence, invalid_proposal, record
from libs.machine.tests.institutions import (
    ENACT_DECISION,
    FEDERATION,
    POLL,
    SUBJECT,
    admit,
    admit_member,
    allowance_action,
    apply_for_membership,
    cast_ballot,
    countersign,
    decision,
    enact,
    end_membership,
    exclude,
    floor_action,
    found,
    open_poll,
    set_rules,
    set_zone_authority,
    share,
    steward,
    vouch_for_applicant,
)
from libs.machine.tests.seats import add, change, rekey, remove, replace
from libs.machine.tests.zone import (
    EPOCH_MS,
    HOUR_MS,
    PLENTY,
    Ledger,
    Member,
    TestKey,
    Zone,
    anchor,
    cancel_recovery,
    capture_hold,
    complete_recovery,
    create_unit,
    end_sponsorship,
    execute,
    guarded_by,
    identifier,
    instantiate,
    open_account,
    open_controller,
    place_hold,
    set_allowance,
    set_floor,
    set_recovery,
    start_recovery,
    start_sponsorship,
    store_code,
    transfer,
    update_controller,
    void_hold,
)

DAY_MS = 86_400_000
UNIT, OTHER, COMMON = identifier("hours"), identifier("litres"), identifier("hours of all")
ANA, BEN, CAY, DORA, FAY = (identifier(f"account of {name}") for name in ("ana", "ben", "cay", "dora", "fay"))
SAVINGS, CHILD, DONE = identifier("savings"), identifier("sub-account"), identifier("account to be closed")
ANA_LITRES, BEN_LITRES = identifier("litres of ana"), identifier("litres of ben")
DEBTOR, FUND, SPARE = identifier("debtor in common"), identifier("fund in common"), identifier("spare")
OWES, BRINGS = identifier("owes"), identifier("brings")
SHOP_FUND = identifier("fund of the shop")
HOLD, LAPSING, OFFER, LAPSING_OFFER = (identifier(name) for name in ("hold", "lapsing", "offer", "unwanted"))
ORDER, STANDING, HOPELESS, WITHDRAWN = (
    identifier(name) for name in ("order", "standing", "hopeless", "withdrawn")
)
NOWHERE, SHOP_POLL = identifier("nowhere"), identifier("poll of the shop")
CONTRACT, CONTRACT_ACCOUNT = identifier("contract"), identifier("account of the contract")
CODE = contract("mutual_aid_fund")
CODE_HASH = sha256(CODE).digest()
MEMO, REFERENCE = bytes([7]) * 32, b"invoice 7"
SMALL_ORDER_KEY = pb.ControllerKey(public_keys=[pb.PublicKey(suite=1, public_key=(1).to_bytes(32, "little"))])
"""The identity point: canonical, and of order 1."""


class Sent(NamedTuple):
    """A transaction of the story."""

    actor: Member
    messages: Sequence[pb.Message]
    reason: str = ""
    """Why it is refused; empty where it takes effect."""
    keys: Sequence[TestKey] | None = None
    lane: int = 0


class Block(NamedTuple):
    """A block of the story."""

    after_ms: int
    """Since the one before."""
    signers: Sequence[int] | None
    """Seats in the parent's certificate; None: the block carries none."""
    sent: Sequence[Sent]

    @property
    def reasons(self) -> list[str]:
        """What becomes of each transaction."""
        return [one.reason for one in self.sent]


def block(*sent: Sent, after_ms: int = 1_000, signers: Sequence[int] | None = None) -> Block:
    return Block(after_ms, signers, sent)


def told(**asked: Any) -> bytes:
    return json.dumps(asked, separators=(",", ":")).encode()


def action(message: pb.Message) -> pb.DecisionAction:
    """What the message does, by decision."""
    kind = message.WhichOneof("kind") or ""
    return pb.DecisionAction(**{kind: getattr(message, kind)})


class Story:
    """Blocks one after the other over a ledger, which says what time it is and which set is next."""

    def __init__(self, zone: Zone, ledger: Ledger) -> None:
        self.zone, self.ledger = zone, ledger
        self.founders = zone.organizations
        self.shop = zone.organizations[0]
        self.ana, self.ben, self.cay = (zone.member(name, self.shop) for name in ("ana", "ben", "cay"))
        self.dora = zone.member("dora", self.shop, keys=4)
        self.fay = zone.member("fay", zone.organizations[3])
        self.newcomer = zone.member("newcomer", self.shop)
        self.decisions = 0

    @property
    def now_ms(self) -> int:
        """Block time of the next block, where that is not said."""
        return self.ledger.state.newest.time_ms + 1_000

    @property
    def next_set(self) -> bytes:
        return self.ledger.state.newest.next_validator_set_hash

    def decided(
        self, *actions: pb.DecisionAction, by: int = 3, poll: bytes = b"", subject: bytes | None = None
    ) -> pb.Message:
        """A decision that the stewards of the first founders countersign."""
        self.decisions += 1
        body = decision(*actions, poll=poll, subject=subject or bytes([self.decisions]) * 32)
        signers = self.founders[:by]
        return enact(body, [countersign(self.zone, body, one.principal, steward(one)) for one in signers])

    def blocks(self) -> Iterator[Block]:
        """All of it. Each part goes on where the one before has ended."""
        yield from self.people()
        yield from self.federation()
        yield from self.accounts()
        yield from self.holds()
        yield from self.exchanges()
        yield from self.orders()
        yield from self.policies()
        yield from self.openings()
        yield from self.common_unit()
        yield from self.memberships()
        yield from self.polls()
        yield from self.recoveries()
        yield from self.sponsors()
        yield from self.contracts()
        yield from self.a_day_later()
        yield from self.seats()

    def people(self) -> Iterator[Block]:
        shop, ana, dora = self.shop, self.ana, self.dora
        yield block(
            Sent(shop, [open_controller(ana, recovery=guarded_by(shop))]),
            Sent(shop, [open_controller(self.ben), open_controller(self.cay)]),
            Sent(shop, [open_controller(dora, threshold=2)]),
            Sent(shop, [open_controller(ana)], "PRINCIPAL_EXISTS"),
            Sent(self.founders[3], [open_controller(self.fay)]),
            Sent(shop, [create_unit(UNIT, floor_minor=-1_000), create_unit(OTHER, -100, "LITRE", 0)]),
            Sent(shop, [create_unit(UNIT)], "UNIT_EXISTS"),
            signers=(0, 1, 2),
        )
        scope = pb.KeyScope(message_kinds=[ENACT_DECISION])
        clerk = TestKey("clerk"), pb.KeyScope(message_kinds=[6], amount_minor_max=5)
        small = pb.UpdateController(threshold=1, keys=[SMALL_ORDER_KEY])
        yield block(
            *[Sent(one, [update_controller(1, one.keys[0], (steward(one), scope))]) for one in self.founders],
            Sent(self.ben, [update_controller(1, self.ben.keys[0], clerk)]),
            Sent(self.ben, [pb.Message(update_controller=small)], "INVALID_KEY"),
            Sent(shop, [anchor(bytes([1]) * 32)]),
            Sent(ana, [anchor(bytes([1]) * 32, "bylaws")], "ANCHOR_EXISTS"),
            signers=(0, 1, 2, 3),
        )

    def federation(self) -> Iterator[Block]:
        shop, founders = self.shop, [one.principal for one in self.founders]
        common = pb.CreateUnit(
            unit=COMMON, code="HOUR", scale=2, authority=FEDERATION, default_floor_minor=-100
        )
        yield block(
            Sent(shop, [pb.Message(create_unit=common)], "AUTHORITY_UNKNOWN"),
            Sent(shop, [self.decided(found(founders), by=3)], "QUORUM_NOT_MET"),
            Sent(shop, [self.decided(found(founders), by=4)]),
            Sent(shop, [self.decided(found(founders), by=4)], "AUTHORITY_EXISTS"),
            Sent(shop, [pb.Message(create_unit=common)]),
            signers=(1, 2, 3),
        )

    def accounts(self) -> Iterator[Block]:
        shop, ana, ben, cay, dora = self.shop, self.ana, self.ben, self.cay, self.dora
        yield block(
            Sent(ana, [open_account(ANA, UNIT), open_account(ANA_LITRES, OTHER)]),
            Sent(ana, [open_account(SAVINGS, UNIT), open_with(CHILD, UNIT, parent=ANA)]),
            Sent(ben, [open_account(BEN, UNIT), open_account(BEN_LITRES, OTHER)]),
            Sent(cay, [open_account(CAY, UNIT)]),
            Sent(cay, [open_account(CAY, UNIT)], "ACCOUNT_EXISTS"),
            Sent(cay, [open_with(DONE, UNIT, parent=ANA)], "PARENT_UNKNOWN"),
            Sent(dora, [open_account(DORA, UNIT), open_account(DONE, UNIT)], keys=dora.keys[:2]),
            Sent(self.fay, [open_account(FAY, UNIT)]),
            Sent(shop, [set_floor(ANA, -200)]),
            Sent(ana, [set_floor(ANA, -300)], "NOT_UNIT_AUTHORITY"),
        )
        written = pb.Transfer(
            source=ANA, destination=BEN, amount_minor=200, memo_hash=MEMO, reference=REFERENCE
        )
        yield block(
            # Exactly to the floor, then one below.
            Sent(ana, [pb.Message(transfer=written)]),
            Sent(ana, [transfer(ANA, CAY, 1)], "CREDIT_LIMIT_EXCEEDED"),
            Sent(ben, [transfer(BEN, ANA_LITRES, 1)], "UNIT_MISMATCH"),
            Sent(cay, [transfer(BEN, CAY, 1)], "NOT_ACCOUNT_OWNER"),
            Sent(ben, [transfer(BEN, CAY, 50), transfer(BEN, NOWHERE, 1)], "ACCOUNT_UNKNOWN"),
            Sent(ben, [transfer(BEN, CAY, 5)], keys=[TestKey("clerk")], lane=1),
            Sent(ben, [transfer(BEN, ANA, 60), transfer(BEN, CAY, 40)]),
        )
        yield block(
            Sent(ben, [legs((BEN, ANA, 30), (BEN, DORA, 20))]),
            Sent(ana, [legs((ANA, CAY, 90), (ANA, DORA, 1))], "CREDIT_LIMIT_EXCEEDED"),
            Sent(ana, [transfer(ANA, SAVINGS, 10), transfer(SAVINGS, CHILD, 4)]),
            Sent(ana, [transfer(SAVINGS, BEN, 7)], "CREDIT_LIMIT_EXCEEDED"),
            Sent(dora, [close_account(DONE)], keys=dora.keys[:2]),
            Sent(dora, [close_account(DORA)], "ACCOUNT_IN_USE", keys=dora.keys[1:3]),
            Sent(cay, [transfer(CAY, DONE, 1)], "ACCOUNT_CLOSED"),
            # Takes the sub-account's place back from its parent, and what is on it along.
            Sent(ana, [close_account(CHILD, ANA)]),
        )

    def holds(self) -> Iterator[Block]:
        ana, ben, soon = self.ana, self.ben, self.now_ms + 2_000
        yield block(
            Sent(ana, [place_hold(HOLD, ANA, BEN, 60, self.now_ms + HOUR_MS)]),
            Sent(ana, [place_hold(LAPSING, ANA, BEN, 5, soon)]),
            Sent(ana, [place_hold(HOLD, ANA, BEN, 1, self.now_ms + HOUR_MS)], "HOLD_EXISTS"),
            Sent(ana, [place_hold(NOWHERE, ANA, BEN, 1, self.now_ms)], "HOLD_EXPIRY_OUT_OF_RANGE"),
            Sent(ana, [capture_hold(HOLD, 1)], "NOT_ACCOUNT_OWNER"),
        )
        yield block(
            Sent(ben, [capture_hold(HOLD, 25)]),
            Sent(ben, [capture_hold(HOLD, 36)], "HOLD_AMOUNT_EXCEEDED"),
            Sent(ben, [void_hold(HOLD)]),
            Sent(ben, [void_hold(HOLD)], "HOLD_UNKNOWN"),
        )
        # The other is due now, before what this block brings.
        yield block(Sent(ben, [capture_hold(LAPSING, 5)], "HOLD_UNKNOWN"))

    def exchanges(self) -> Iterator[Block]:
        ana, ben, late = self.ana, self.ben, self.now_ms + HOUR_MS
        yield block(
            Sent(ana, [offer_exchange(OFFER, (ANA, 30), (ANA_LITRES, 7), late)]),
            Sent(ana, [offer_exchange(LAPSING_OFFER, (ANA, 3), (ANA_LITRES, 1), self.now_ms + 2_000)]),
            Sent(ana, [offer_exchange(NOWHERE, (ANA, 3), (SAVINGS, 1), late)], "SAME_UNIT"),
        )
        # 10 of 30 for 7 cost ⌈70 / 30⌉.
        yield block(
            Sent(ben, [take_exchange(OFFER, (BEN_LITRES, ANA_LITRES, 2), (ANA, BEN, 10))], "PRICE_EXCEEDED"),
            Sent(ben, [take_exchange(OFFER, (BEN_LITRES, ANA_LITRES, 3), (ANA, BEN, 10))]),
            Sent(ben, [void_exchange(OFFER)], "NOT_ACCOUNT_OWNER"),
            Sent(ana, [void_exchange(OFFER)]),
        )
        yield block()

    def orders(self) -> Iterator[Block]:
        ana, dora, late = self.ana, self.dora, self.now_ms + HOUR_MS
        one, two, three, four = dora.keys
        release = order_transfers(ORDER, DORA, BEN, 10, late, needs_release=True, reference=REFERENCE)
        yield block(
            Sent(dora, [release], keys=[one, two]),
            Sent(dora, [release], "ORDER_EXISTS", keys=[one, two]),
            Sent(ana, [order_transfers(STANDING, ANA, BEN, 4, self.now_ms + 2_000, every_days=1, times=3)]),
            Sent(ana, [order_transfers(HOPELESS, SAVINGS, BEN, 9, self.now_ms + 2_000)]),
            Sent(ana, [order_transfers(WITHDRAWN, ANA, BEN, 1, late, every_months=1, times=12)]),
        )
        yield block(
            Sent(dora, [release_order(ORDER, DORA, BEN, 10)], "SAME_KEY", keys=[two, three]),
            Sent(dora, [release_order(ORDER, DORA, BEN, 10)], keys=[three, four]),
            Sent(ana, [cancel_order(WITHDRAWN)]),
            Sent(ana, [cancel_order(WITHDRAWN)], "ORDER_UNKNOWN"),
        )
        # What stands is carried out; savings have no credit, so the other is missed, and ends.
        yield block()

    def policies(self) -> Iterator[Block]:
        shop, ana, ben, cay = self.shop, self.ana, self.ben, self.cay
        policy = {
            "growth_ppm": 500_000,
            "growth_max_minor": 300,
            "counterparty_max_minor": 100,
            "soft_ppm": 50_000,
            "fee_fixed_minor": 1,
            "fee_ppm": 20_000,
            "fee_max_minor": 5,
            "demurrage_ppm": 10_000,
            "demurrage_days": 1,
            "demurrage_free_minor": 20,
            "fund": SHOP_FUND,
        }
        yield block(
            Sent(shop, [set_unit_policy(UNIT, **policy)], "FUND_UNKNOWN"),
            Sent(shop, [open_account(SHOP_FUND, UNIT), set_unit_policy(UNIT, **policy)]),
            Sent(ana, [set_unit_policy(UNIT)], "NOT_UNIT_AUTHORITY"),
            Sent(shop, [pledge_account(SHOP_FUND, 50)]),
            Sent(ana, [pledge_account(SHOP_FUND, 1)], "NOT_ACCOUNT_OWNER"),
        )
        # With fees and growth from this block on; what Ben sends Cay passes the most that counts.
        yield block(
            Sent(ben, [transfer(BEN, CAY, 130)]),
            Sent(cay, [transfer(CAY, BEN, 100), transfer(CAY, ANA, 2)]),
            Sent(ben, [legs((BEN, CAY, 9), (BEN, DORA, 1))]),
        )
        # Cay has earned 100 that count and spent 102, so its limit lies 50 lower: past it, and onto it.
        yield block(
            Sent(cay, [transfer(CAY, BEN, 1_127)], "CREDIT_LIMIT_EXCEEDED"),
            Sent(cay, [transfer(CAY, BEN, 1_126)]),
            Sent(shop, [write_off(CAY, 51)], "PLEDGE_EXCEEDED"),
            Sent(shop, [freeze_account(CAY, self.now_ms + DAY_MS)]),
            Sent(cay, [transfer(CAY, BEN, 1)], "ACCOUNT_FROZEN"),
            Sent(shop, [freeze_account(CAY, self.now_ms + 30 * DAY_MS + 1)], "FREEZE_TOO_LONG"),
            Sent(shop, [freeze_account(CAY, 0)]),
            Sent(shop, [close_period(UNIT, self.now_ms - 1, bytes([3]) * 32)]),
            Sent(shop, [close_period(UNIT, self.now_ms + 1, bytes([4]) * 32)], "PERIOD_NOT_OVER"),
            Sent(ana, [charge_demurrage(ANA_LITRES)], "POLICY_UNKNOWN"),
        )
        # A payer that has no room for another leaf: the trade is made, and does not count.
        full = {**PLENTY, "state_leaves": 1}
        yield block(
            Sent(self.zone.authority, [set_allowance(self.founders[3].principal, **full)]),
            Sent(self.fay, [transfer(FAY, BEN, 40)]),
            Sent(shop, [set_allowance(shop.principal, **PLENTY)], "NOT_ZONE_AUTHORITY"),
            signers=(0, 2, 3),
        )

    def openings(self) -> Iterator[Block]:
        ana, ben, shop = self.ana, self.ben, self.shop
        yield block(
            Sent(ana, [open_bringing(OWES, OTHER, -5)]),
            Sent(ben, [open_bringing(BRINGS, OTHER, 5)]),
            Sent(shop, [confirm_openings(OTHER, OWES, ANA_LITRES)], "OPENING_UNKNOWN"),
            Sent(ana, [transfer(ANA_LITRES, OWES, 1)], "OPENING_PENDING"),
            Sent(shop, [confirm_openings(OTHER, OWES, BRINGS)]),
        )

    def common_unit(self) -> Iterator[Block]:
        """The unit that the federation governs, by each action; the last transaction of two is refused."""
        ana, ben = self.ana, self.ben
        yield block(
            Sent(ana, [open_account(DEBTOR, COMMON), open_account(SPARE, COMMON)]),
            Sent(ben, [open_account(FUND, COMMON)]),
            Sent(ana, [transfer(DEBTOR, FUND, 80)]),
            Sent(ben, [pledge_account(FUND, 60)]),
        )

        def both(message: pb.Message, wrong: pb.Message, reason: str) -> tuple[Sent, Sent]:
            return (
                Sent(ana, [self.decided(action(message))]),
                Sent(ana, [self.decided(action(wrong))], reason),
            )

        yield block(
            *both(
                set_unit_policy(COMMON, fund=FUND, soft_ppm=500_000),
                set_unit_policy(UNIT, soft_ppm=1),
                "NOT_UNIT_AUTHORITY",
            ),
            *both(set_floor(DEBTOR, -90), set_floor(ANA, -1), "NOT_UNIT_AUTHORITY"),
        )
        late, later = self.now_ms + DAY_MS, self.now_ms + 31 * DAY_MS
        yield block(
            *both(write_off(DEBTOR, 60, MEMO), write_off(DEBTOR, 1), "PLEDGE_EXCEEDED"),
            *both(freeze_account(DEBTOR, late), freeze_account(DEBTOR, later), "FREEZE_TOO_LONG"),
            *both(close_account(SPARE), close_account(DEBTOR), "ACCOUNT_IN_USE"),
            *both(
                close_period(COMMON, self.now_ms - 1, bytes([5]) * 32),
                close_period(COMMON, self.now_ms - 2, bytes([5]) * 32),
                "PERIOD_CLOSED",
            ),
        )
        owes, brings = identifier("owes in common"), identifier("brings in common")
        yield block(
            Sent(ana, [open_bringing(owes, COMMON, -7)]),
            Sent(ben, [open_bringing(brings, COMMON, 7)]),
            *both(
                confirm_openings(COMMON, owes, brings),
                confirm_openings(COMMON, owes, brings),
                "OPENING_UNKNOWN",
            ),
            # The second action fails, and the first goes with it.
            Sent(
                ana,
                [self.decided(floor_action(DEBTOR, -50), floor_action(NOWHERE, -1))],
                "ACCOUNT_UNKNOWN",
            ),
        )
        yield block(
            Sent(self.shop, [write_off(CAY, 50)]),
            Sent(self.shop, [confirm_openings(UNIT, ANA, BEN)], "OPENING_UNKNOWN"),
        )

    def memberships(self) -> Iterator[Block]:
        shop, ana, ben, cay = self.shop, self.ana, self.ben, self.cay
        yield block(
            Sent(ana, [apply_for_membership(shop.principal)]),
            Sent(ana, [apply_for_membership(shop.principal)], "MEMBERSHIP_EXISTS"),
            Sent(ben, [vouch_for_applicant(shop.principal, ana.principal)], "NOT_A_MEMBER"),
            Sent(shop, [admit_member(ana.principal)]),
            Sent(shop, [admit_member(ben.principal)], "MEMBERSHIP_UNKNOWN"),
            Sent(ben, [apply_for_membership(shop.principal)]),
            Sent(ana, [vouch_for_applicant(shop.principal, ben.principal)]),
            Sent(shop, [admit_member(ben.principal)]),
            Sent(ben, [end_membership(shop.principal, ben.principal)]),
            Sent(cay, [end_membership(shop.principal, ana.principal)], "NOT_MEMBER_NOR_ORGANIZATION"),
            Sent(cay, [apply_for_membership(FEDERATION), apply_for_membership(shop.principal)]),
        )
        yield block(
            Sent(ana, [self.decided(set_rules(3, 1, majority=share(1, 2)))]),
            Sent(ana, [self.decided(admit(cay.principal))], "VOUCHES_NOT_MET"),
            Sent(self.founders[1], [vouch_for_applicant(FEDERATION, cay.principal)]),
            Sent(ana, [self.decided(admit(cay.principal), by=4)]),
            Sent(ana, [self.decided(exclude(cay.principal), by=4)]),
            Sent(ana, [self.decided(exclude(cay.principal), by=4)], "MEMBERSHIP_ENDED"),
        )

    def polls(self) -> Iterator[Block]:
        shop, ana, cay = self.shop, self.ana, self.cay
        close_ms = self.now_ms + 2_000
        of_members = pb.ELECTORATE_MEMBERS_OF_MEMBERS
        yield block(
            Sent(shop, [open_poll(POLL, FEDERATION, close_ms)]),
            Sent(shop, [open_poll(POLL, FEDERATION, close_ms)], "POLL_EXISTS"),
            Sent(shop, [open_poll(SHOP_POLL, FEDERATION, self.now_ms + HOUR_MS, of_members)]),
            Sent(ana, [cast_ballot(SHOP_POLL, bytes([8]) * 32, shop.principal)]),
        )
        yield block(
            Sent(shop, [cast_ballot(POLL, bytes([1]) * 32)]),
            Sent(shop, [cast_ballot(POLL, bytes([2]) * 32)]),
            Sent(self.founders[1], [cast_ballot(POLL, bytes([3]) * 32)]),
            Sent(cay, [cast_ballot(POLL, bytes([4]) * 32)], "NOT_ELIGIBLE"),
            Sent(ana, [self.decided(poll=POLL, subject=SUBJECT)], "POLL_OPEN"),
        )
        yield block(
            Sent(shop, [cast_ballot(POLL, bytes([5]) * 32)], "POLL_CLOSED"),
            Sent(ana, [self.decided(poll=POLL, subject=SUBJECT)]),
            Sent(ana, [self.decided(poll=POLL, subject=bytes(32))], "POLL_DECIDED"),
        )

    def recoveries(self) -> Iterator[Block]:
        shop, ana, ben = self.shop, self.ana, self.ben
        key = TestKey("ana after the loss")
        yield block(
            Sent(ben, [start_recovery(ana.principal, 1, key)], "NOT_GUARDIAN"),
            Sent(shop, [start_recovery(ana.principal, 1, key)]),
            Sent(shop, [complete_recovery(ana.principal)], "RECOVERY_NOT_READY"),
            Sent(ben, [set_recovery(guarded_by(shop, 1_000))]),
            Sent(ben, [set_recovery(guarded_by(shop, 999))], "RECOVERY_DELAY_TOO_SHORT"),
        )
        # A veto; the guardian tries again, and is let.
        yield block(
            Sent(ana, [cancel_recovery(ana.principal)]),
            Sent(ana, [cancel_recovery(ana.principal)], "RECOVERY_UNKNOWN"),
            Sent(shop, [start_recovery(ana.principal, 1, key)]),
        )
        yield block(
            Sent(shop, [complete_recovery(ana.principal)]),
            Sent(ana, [transfer(ANA, BEN, 1)], "KEY_REVOKED"),
            after_ms=HOUR_MS,
        )
        ana.keys = [key]
        yield block(Sent(ana, [transfer(ANA, BEN, 1)]))

    def sponsors(self) -> Iterator[Block]:
        cay, other = self.cay, self.founders[1]
        yield block(
            Sent(other, [start_sponsorship(cay.principal)], "SPONSOR_EXISTS"),
            Sent(other, [end_sponsorship(cay.principal)], "NOT_SPONSOR"),
            Sent(self.shop, [end_sponsorship(cay.principal)]),
            Sent(other, [start_sponsorship(cay.principal)]),
        )
        cay.payer = other.principal
        yield block(Sent(cay, [open_account(identifier("litres of cay"), OTHER)]))

    def contracts(self) -> Iterator[Block]:
        shop, ana, ben, cay = self.shop, self.ana, self.ben, self.cay
        people = ",".join(one.principal.hex() for one in (ana, ben, cay))
        start = told(unit=UNIT.hex(), approvals="1", members=people)
        paid = {"funds": [(BEN, CONTRACT_ACCOUNT, 40)]}
        yield block(
            Sent(shop, [store_code(CODE)]),
            Sent(shop, [store_code(CODE)], "CODE_EXISTS"),
            Sent(ana, [instantiate(NOWHERE, bytes(32))], "CODE_UNKNOWN"),
        )
        yield block(
            Sent(ana, [instantiate(CONTRACT, CODE_HASH, start, accounts=[(CONTRACT_ACCOUNT, UNIT)])]),
            Sent(ana, [execute(NOWHERE)], "CONTRACT_UNKNOWN"),
            Sent(ben, [execute(CONTRACT, told(pay_in={}), **paid)]),
            Sent(ana, [execute(CONTRACT, told(ask={"amount": "15"}))]),
            Sent(ben, [execute(CONTRACT, told(nothing={}))], "CONTRACT_ABORTED"),
            Sent(shop, [execute(CONTRACT, told(pay_in={}))], "CONTRACT_ERROR"),
            Sent(ben, [execute(CONTRACT, told(pay_in={}), fuel_limit=1_000_000)], "OUT_OF_GAS"),
        )
        yield block(
            Sent(ben, [execute(CONTRACT, told(approve={"ask": "1"}))], "ACCOUNT_UNDECLARED"),
            Sent(ben, [execute(CONTRACT, told(approve={"ask": "1"}), declared=[ANA, CONTRACT_ACCOUNT])]),
        )

    def a_day_later(self) -> Iterator[Block]:
        """The standing order's next times, demurrage, an order that its payer cannot pay for, duties."""
        shop, ana, ben = self.shop, self.ana, self.ben
        starved = {**PLENTY, "bytes_per_epoch": 0}
        of_fay = order_transfers(identifier("order of fay"), FAY, BEN, 1, self.now_ms + DAY_MS)
        yield block(
            Sent(self.zone.authority, [set_allowance(self.founders[3].principal, **PLENTY)]),
            Sent(shop, [record(evidence(self.zone))]),
            Sent(ana, [record(evidence(self.zone, view=10))], "EQUIVOCATION_RECORDED"),
            Sent(ana, [record(invalid_proposal(self.zone, seat=1, claimed=1))]),
        )
        yield block(
            Sent(self.fay, [of_fay]),
            Sent(self.zone.authority, [set_allowance(self.founders[3].principal, **starved)]),
            signers=(0, 1, 3),
        )
        yield block(after_ms=EPOCH_MS, signers=(0, 1, 2))
        yield block(
            Sent(ben, [charge_demurrage(*sorted((BEN, CAY)))]),
            Sent(ben, [transfer(BEN, DORA, 10)]),
            Sent(shop, [set_unit_policy(UNIT)]),
            signers=(0, 1, 2),
        )

    def seats(self) -> Iterator[Block]:
        zone, shop, authority = self.zone, self.shop, self.zone.authority
        seated = [one.principal for one in self.founders]
        newcomer = self.newcomer.principal
        genesis_set = zone.genesis.validator_set_hash
        yield block(
            Sent(shop, [open_controller(self.newcomer)]),
            Sent(authority, [set_allowance(newcomer, **PLENTY, new_leaves_per_epoch=100)]),
            Sent(authority, [change(zone, replace(zone, seated[3], newcomer, "newcomer's"))]),
            Sent(authority, [change(zone, remove(seated[0]), of=genesis_set)], "SET_CHANGED"),
            Sent(
                shop,
                [
                    self.decided(
                        pb.DecisionAction(change_validators=change(zone, remove(seated[0])).change_validators)
                    )
                ],
                "NOT_ZONE_AUTHORITY",
            ),
            Sent(shop, [self.decided(allowance_action(newcomer, **PLENTY))], "NOT_ZONE_AUTHORITY"),
            Sent(shop, [set_zone_authority(FEDERATION)], "NOT_ZONE_AUTHORITY"),
            Sent(authority, [set_zone_authority(FEDERATION)]),
        )
        yield block(
            Sent(shop, [self.decided(allowance_action(newcomer, **PLENTY))]),
            Sent(
                shop, [rekey(zone, shop.principal, "new of shop", of=self.next_set)], "SEATS_CHANGED_TOO_MANY"
            ),
        )
        yield block(after_ms=EPOCH_MS, signers=(0, 1, 2))
        yield block(
            Sent(self.founders[3], [rekey(zone, seated[3], "nobody's", of=self.next_set)], "NOT_SEATED"),
            Sent(shop, [rekey(zone, shop.principal, "new of shop", of=self.next_set)]),
            signers=(1, 2, 3),
        )
        yield block(after_ms=EPOCH_MS, signers=(1, 2, 3))
        grown = change(zone, add(zone, seated[3], "again"), of=self.next_set).change_validators
        yield block(
            Sent(shop, [self.decided(pb.DecisionAction(change_validators=grown))]),
            Sent(shop, [self.decided(pb.DecisionAction(change_validators=grown))], "SET_CHANGED"),
            signers=(0, 1, 2, 3),
        )
        yield block(after_ms=EPOCH_MS)
        yield block(signers=(0, 1, 2, 3))
