"""A chain in which every kind of message takes effect, in as few bytes as that takes."""

from __future__ import annotations

from hashlib import sha256

from icn.consensus.v1.block_pb2 import Block
from icn.ledger.v1 import transaction_pb2 as pb
from icn.ledger.v1.state_pb2 import Receipt
from icn_audit.contracts import InProcessContracts
from icn_machine.messages import EnactDecision
from icn_machine.parsing import parse_transaction
from icn_wasm.assembly import assemble

from libs.audit.tests.chain import Chain
from libs.machine.tests import credit_messages as credit
from libs.machine.tests import institutions
from libs.machine.tests.equivocations import evidence, record
from libs.machine.tests.institutions import FEDERATION, countersign, decision, enact
from libs.machine.tests.seats import activate_protocol, change, next_hash, rekey, replace
from libs.machine.tests.zone import (
    PLENTY,
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

STEP_MS = 1_000
UNIT, OTHER_UNIT, COMMON = (identifier(name) for name in ("unit", "other unit", "common unit"))
FUND, ANA, BEN, ANAS_OTHER, BENS_OTHER = (
    identifier(name) for name in ("fund", "account of ana", "of ben", "ana's other", "ben's other")
)
CONTRACT, BOX = identifier("contract"), identifier("account of the contract")
POLL = identifier("poll")
CODE = assemble(
    '(func (export "instantiate") (param i32 i32 i32) (result i32) (call $done))'
    '(func (export "execute") (param i32 i32 i32) (result i32) (call $done))'
)


class Everything:
    """Plays the chain; each transaction has a block of its own, and takes effect."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.chain = Chain(zone, InProcessContracts(zone.genesis.hash))
        self.shop, self.other, *_ = zone.organizations
        self.ana = zone.member("ana", self.shop, keys=2)
        self.ben = zone.member("ben", self.shop)
        self.decisions = 0

    @property
    def now_ms(self) -> int:
        """Of the next block."""
        return self.chain.ledger.state.newest.time_ms + STEP_MS

    async def applied(
        self, actor: Member, *messages: pb.Message, keys: list[TestKey] | None = None, lane: int = 0
    ) -> None:
        """A block with a transaction of these messages."""
        signing = actor.keys[:1] if keys is None else keys
        transaction = self.zone.transaction(actor, *messages, keys=signing, time_ms=self.now_ms, lane=lane)
        await self.chain.add(transaction, after_ms=STEP_MS)
        receipts = self.chain.ledger.state.commits[-1].receipts  # type: ignore[attr-defined]
        receipt = Receipt.FromString(receipts[0])
        assert not receipt.reason, f"{messages}: {receipt}"

    async def decided(self, *actions: pb.DecisionAction) -> None:
        self.decisions += 1
        body = decision(*actions, subject=self.decisions.to_bytes(32, "big"))
        founders = self.zone.organizations
        signed = [countersign(self.zone, body, one.principal, one.keys[0]) for one in founders]
        await self.applied(self.shop, enact(body, signed))

    async def play(self) -> Chain:
        """All of it, with the end of an epoch behind each part."""
        for part in (self._people, self._units, self._moves, self._waits, self._seats):
            await part()
            await self.chain.pass_edge()
        await self._protocol()
        await self.chain.add()
        return self.chain

    async def _people(self) -> None:
        shop, other, ana, ben = self.shop, self.other, self.ana, self.ben
        policy = guarded_by(shop, STEP_MS)
        await self.applied(
            shop, open_controller(ana, recovery=policy), open_controller(ben), anchor(bytes([5]) * 32)
        )
        await self.applied(ben, set_recovery(policy), update_controller(1, *ben.keys, TestKey("ben's phone")))
        await self.applied(shop, start_recovery(ana.principal, 1, *ana.keys))
        await self.applied(ana, cancel_recovery(ana.principal))
        await self.applied(shop, start_recovery(ben.principal, 1, *ben.keys))
        await self.chain.add(after_ms=STEP_MS)
        await self.applied(shop, complete_recovery(ben.principal))
        await self.applied(shop, end_sponsorship(ben.principal))
        await self.applied(other, start_sponsorship(ben.principal))
        ben.payer = other.principal
        await self.decided(institutions.found([one.principal for one in self.zone.organizations]))
        await self.applied(ana, institutions.apply_for_membership(shop.principal))
        await self.applied(shop, institutions.admit_member(ana.principal))
        await self.applied(ben, institutions.apply_for_membership(shop.principal))
        await self.applied(ana, institutions.vouch_for_applicant(shop.principal, ben.principal))
        await self.applied(
            shop, institutions.open_poll(POLL, shop.principal, close_time_ms=self.now_ms + 3 * STEP_MS)
        )
        await self.applied(ana, institutions.cast_ballot(POLL, bytes([6]) * 32))
        await self.applied(shop, institutions.end_membership(shop.principal, ana.principal))
        third = self.zone.organizations[2]
        await self.applied(third, rekey(self.zone, third.principal, "another key"))
        self.chain.keys[1] = {2: "another key"}

    async def _units(self) -> None:
        shop, ana, ben = self.shop, self.ana, self.ben
        common = pb.CreateUnit(
            unit=COMMON, code="DAY", scale=0, authority=FEDERATION, default_floor_minor=-100
        )
        await self.applied(
            shop,
            create_unit(UNIT, floor_minor=-1_000),
            create_unit(OTHER_UNIT, floor_minor=-1_000, code="EUR"),
            pb.Message(create_unit=common),
            open_account(FUND, UNIT),
            credit.pledge_account(FUND, 100),
        )
        await self.applied(
            ana, open_account(ANA, UNIT), open_account(ANAS_OTHER, OTHER_UNIT), transfer(ANA, FUND, 7)
        )
        await self.applied(ben, open_account(BEN, UNIT), open_account(BENS_OTHER, OTHER_UNIT))
        await self.applied(
            shop,
            set_floor(FUND, -10_000),
            credit.set_unit_policy(
                UNIT,
                fund=FUND,
                soft_ppm=1,
                growth_ppm=1_000_000,
                growth_max_minor=500,
                counterparty_max_minor=100,
                fee_ppm=50_000,
                demurrage_ppm=50_000,
                demurrage_days=1,
            ),
        )
        debt, claim = identifier("debt"), identifier("claim")
        await self.applied(
            ana, credit.open_bringing(debt, COMMON, -10), credit.open_bringing(claim, COMMON, 10)
        )
        confirm = credit.confirm_openings(COMMON, debt, claim).confirm_openings
        closing = credit.close_period(COMMON, self.now_ms).close_period
        await self.decided(
            pb.DecisionAction(confirm_openings=confirm), pb.DecisionAction(close_period=closing)
        )

    async def _moves(self) -> None:
        shop, ana, ben = self.shop, self.ana, self.ben
        await self.applied(ana, transfer(ANA, BEN, 300, bytes([8]) * 32), lane=3)
        await self.applied(ben, credit.legs((BEN, ANA, 20), (BEN, FUND, 10)))
        await self.applied(shop, credit.charge_demurrage(ANA, BEN))
        await self.applied(shop, credit.freeze_account(BEN, self.now_ms + 9 * STEP_MS))
        await self.applied(shop, credit.freeze_account(BEN, 0), credit.write_off(ANA, 50))
        await self.applied(shop, set_floor(ANA, -5_000))
        await self.applied(shop, store_code(CODE))
        await self.applied(
            ana, instantiate(CONTRACT, sha256(CODE).digest(), accounts=[(BOX, UNIT)], fuel_limit=2_000_000)
        )
        await self.applied(ana, execute(CONTRACT, funds=[(ANA, BOX, 3)], fuel_limit=2_000_000))

    async def _waits(self) -> None:
        shop, ana, ben = self.shop, self.ana, self.ben
        ahead_ms = self.now_ms + 100 * STEP_MS
        holds = [identifier(f"hold {number}") for number in range(5)]
        await self.applied(
            ana,
            place_hold(holds[0], ANA, BEN, 5, ahead_ms),
            place_hold(holds[1], ANA, BEN, 6, ahead_ms),
            place_hold(holds[2], ANA, BEN, 7, self.now_ms + 2 * STEP_MS),
            credit.offer_exchange(holds[3], (ANA, 10), (ANAS_OTHER, 20), ahead_ms),
            credit.offer_exchange(holds[4], (ANA, 10), (ANAS_OTHER, 20), ahead_ms),
        )
        await self.applied(ben, capture_hold(holds[0], 4), void_hold(holds[1]))
        await self.applied(ben, credit.take_exchange(holds[3], (BENS_OTHER, ANAS_OTHER, 9), (ANA, BEN, 3)))
        orders = [identifier(f"order {number}") for number in range(3)]
        await self.applied(
            ana,
            credit.void_exchange(holds[4]),
            credit.order_transfers(orders[0], ANA, BEN, 2, self.now_ms + STEP_MS, every_days=1, times=2),
            credit.order_transfers(orders[1], ANA, BEN, 2, ahead_ms, times=1),
            credit.order_transfers(orders[2], ANA, BEN, 2, ahead_ms, needs_release=True),
        )
        await self.applied(ana, credit.cancel_order(orders[1]))
        await self.applied(ana, credit.release_order(orders[2], ANA, BEN, 2), keys=ana.keys[1:])
        further = identifier("further")
        await self.applied(ana, open_account(further, UNIT), transfer(ANA, further, 5))
        await self.applied(ana, credit.close_account(further, ANA))
        await self.applied(shop, credit.close_period(UNIT, self.now_ms))

    async def _seats(self) -> None:
        zone, ana = self.zone, self.ana
        await self.applied(ana, record(evidence(zone)))
        await self.applied(zone.authority, set_allowance(ana.principal, **PLENTY))
        fourth, newest = zone.organizations[3].principal, next_hash(self.chain.ledger)
        changed = change(zone, replace(zone, fourth, ana.principal, "ana's seat"), of=newest)
        await self.applied(zone.authority, changed)
        await self.applied(zone.authority, activate_protocol(2), institutions.set_zone_authority(FEDERATION))

    async def _protocol(self) -> None:
        """By the rules of version 2; the one after it is only named."""
        await self.applied(self.ana, anchor(bytes([9]) * 32))
        await self.decided(pb.DecisionAction(activate_protocol=pb.ActivateProtocol(protocol_version=3)))


def kinds_in_effect(chain: Chain) -> set[type]:
    """Types of the messages, and of the actions of decisions, that were not refused."""
    found: set[type] = set()
    commits = chain.ledger.state.commits[1:]  # type: ignore[attr-defined]
    for archived, commit in zip(chain.blocks, commits, strict=True):
        transactions = Block.FromString(archived.block).transactions
        for data, receipt in zip(transactions, commit.receipts, strict=True):
            if Receipt.FromString(receipt).reason:
                continue
            for message in parse_transaction(data, chain.zone.genesis.hash).messages:
                found.add(type(message))
                if isinstance(message, EnactDecision):
                    found.update(type(action) for action in message.actions)
    return found
