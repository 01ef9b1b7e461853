"""The machine against an oracle of mutual credit, block by block.

Hypothesis plays blocks of transactions of all messages of docs/spec/ledger.md to both, applied and refused,
over times at which holds, orders and edges of demurrage fall due. Compared are reasons, figures, postings,
events, leaves and every number.

A long run: ``ICN_CREDIT_MODEL_EXAMPLES=2000`` with ``pytest --timeout=0``. How often each message was
applied, and refused for which reason, goes to the file that ``ICN_CREDIT_MODEL_COUNTS`` names.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from icn.ledger.v1 import state_pb2
from icn.ledger.v1 import transaction_pb2 as pb
from icn.ledger.v1.state_pb2 import Receipt
from icn_crypto.suites import Suite
from icn_machine import events
from icn_machine.blocks.branches import Branch
from icn_machine.blocks.validate_block import validate_block
from icn_machine.invariants import check_state
from icn_machine.records import NO_TERMS
from icn_machine.validity import Moment

from libs.machine.tests import credit_messages as written
from libs.machine.tests import zone as plain
from libs.machine.tests.credit_model import DAY_MS, LEAVES_OF, MESSAGE_KINDS, TOP, Model, Refusal
from libs.machine.tests.credit_wishes import ACCOUNTS, BY_AUTHORITY, UNITS, Wishes
from libs.machine.tests.zone import Ledger, Member, Zone, block_hash, make_zone, memory_ledger

FLOOR = -50
EXAMPLES = int(os.environ.get("ICN_CREDIT_MODEL_EXAMPLES", "60"))
COUNTS = Counter[str]()
WANTED_OFTEN = (
    "transfer",
    "transfer",
    "transfer_legs",
    "capture_hold",
    "take_exchange",
    "take_exchange",
    "release_order",
    "open_account",
    "confirm_openings",
)
"""Because others have to come before them."""


@dataclass(frozen=True)
class Signing:
    """Who acts, who pays, and which keys sign."""

    principal: bytes
    payer: bytes
    key_ids: tuple[bytes, ...]


def transfers_of(**said: Any) -> pb.Message:
    return pb.Message(transfer=pb.Transfer(**said))


def message_of(kind: str, said: dict[str, Any]) -> pb.Message:
    """As it is sent."""
    if kind == "transfer_legs":
        return written.legs(*said["legs"])
    if kind == "open_account":
        return written.open_with(**said)
    if kind == "order_transfers":
        return pb.Message(order_transfers=pb.OrderTransfers(**said))
    if kind == "offer_exchange":
        return pb.Message(offer_exchange=pb.OfferExchange(**said))
    if kind == "take_exchange":
        return pb.Message(take_exchange=pb.TakeExchange(**said))
    if kind == "set_unit_policy":
        return written.set_unit_policy(said["unit"], **said["policy"])
    if kind == "confirm_openings":
        return written.confirm_openings(said["unit"], *said["accounts"])
    if kind == "charge_demurrage":
        return written.charge_demurrage(*said["accounts"])
    if kind == "transfer":
        return transfers_of(**said)
    module = plain if hasattr(plain, kind) else written
    made: pb.Message = getattr(module, kind)(**said)
    return made


def entry_bytes(
    before: bytes,
    number: int,
    height: int,
    time_ms: int,
    transaction: bytes,
    posting: tuple[Any, ...],
    side: int,
) -> bytes:
    """The body of an entry's hash; ``side`` 0 is the debited account's."""
    _, kind, source, destination, amount, debited, credited, memo, reference, hold = posting
    parts: list[Any] = [before or bytes(32), number, height, time_ms, transaction or bytes(32), kind]
    parts += [-amount, debited, destination] if side == 0 else [amount, credited, source]
    parts += [memo or bytes(32), reference.ljust(32, b"\0"), hold or bytes(16)]
    return b"".join(
        part if isinstance(part, bytes) else part.to_bytes(8, "big", signed=True) for part in parts
    )


KINDS = (*MESSAGE_KINDS, *WANTED_OFTEN)
messages = st.tuples(st.sampled_from(KINDS), st.integers(0, 2**20))
transactions = st.tuples(
    st.sampled_from(KINDS),
    st.integers(0, 2**20),
    st.lists(messages, max_size=3),
)


class CreditMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    # Setting up

    @initialize(
        seed=st.integers(0, 2**20), is_split=st.booleans(), floor=st.sampled_from([FLOOR, FLOOR, FLOOR, -TOP])
    )
    def set_up(self, seed: int, is_split: bool, floor: int) -> None:
        """Two organizations that govern a unit each, three members with an account in each, and policies."""
        self.zone: Zone = make_zone()
        self.ledger: Ledger = memory_ledger(self.zone)
        self.is_split = is_split
        shop, market = self.zone.organizations[:2]
        members = [
            self.zone.member(name, sponsor, keys=2)
            for name, sponsor in (("ana", shop), ("ben", shop), ("cas", market))
        ]
        people = [shop, market, *members]
        self.people = {member.principal: member for member in people}
        self.blocks: list[tuple[list[bytes], int, int]] = []
        """Transactions, block time, until when they may also come one by one."""
        for organization, unit in zip((shop, market), UNITS, strict=True):
            mine = [member for member in members if member.payer == organization.principal]
            data = self.zone.transaction(
                organization,
                plain.create_unit(unit, floor_minor=floor),
                *[plain.open_controller(member) for member in mine],
            )
            self.run(self.ledger.execute(data))
            self.blocks.append(([data], self.time_ms, self.time_ms))
        self.model = Model(
            self.zone.genesis.hash, dict(zip(UNITS, (shop.principal, market.principal), strict=True)), floor
        )
        self.model.principals = {
            *self.people,
            self.zone.authority.principal,
            *[one.principal for one in self.zone.organizations],
        }
        for payer in (shop.principal, market.principal):
            found = self.ledger.state.records[-1].allowances[payer]
            self.model.allowances[payer] = {
                "leaves": found.used_state_leaves,
                "leaves_max": found.limits.state_leaves,
                "bytes_max": found.limits.bytes_per_epoch,
                "epoch": found.epoch,
                "bytes": found.used_bytes,
                "signatures": found.used_signatures,
            }
        self.chains: dict[bytes, bytes] = {}
        names = iter(ACCOUNTS)
        opened: dict[bytes, list[bytes]] = {}
        for member in people:
            units = UNITS if member in members else [UNITS[people.index(member)]]
            opened[member.principal] = [next(names) for _ in units]
            self.model.begin_block(self.height + 1, self.time_ms + 1_000, self.epoch)
            self.play(
                [
                    (
                        member.principal,
                        member.keys[:1],
                        [
                            ("open_account", {"account": account, "unit": unit})
                            for account, unit in zip(opened[member.principal], units, strict=True)
                        ],
                    )
                ],
                1_000,
            )
        self.model.begin_block(self.height + 1, self.time_ms + 1_000, self.epoch)
        wishes = Wishes(self.model, seed, self.time_ms + 1_000, list(self.people))
        first = []
        for member, unit in ((shop, UNITS[0]), (market, UNITS[1])):
            policy = wishes.wish_set_unit_policy(member.principal)["policy"]
            if "fund" in policy:
                policy["fund"] = opened[member.principal][0]
            said: list[Any] = [("set_unit_policy", {"unit": unit, "policy": policy})]
            said.append(("pledge_account", {"account": opened[member.principal][0], "amount_minor": 40}))
            if policy.get("freezer") in (None, *self.people):
                first.append((member.principal, member.keys, said))
        self.play(first, 1_000)

    @property
    def height(self) -> int:
        return int(self.ledger.state.newest.height)

    @property
    def time_ms(self) -> int:
        return int(self.ledger.state.newest.time_ms)

    @property
    def epoch(self) -> int:
        """Of the next block: that of its parent's time."""
        return int(self.zone.genesis.epoch_of(self.time_ms))

    # Playing

    def signed(self, principal: bytes, keys: list[Any], said: list[Any], time_ms: int) -> tuple[bytes, bytes]:
        """The transaction's bytes and id."""
        member: Member = self.people[principal]
        body = self.zone.body(
            member, *[message_of(kind, fields) for kind, fields in said], time_ms=time_ms
        ).SerializeToString(deterministic=True)
        return self.zone.sign(body, keys, Suite.ED25519), self.model.hash_of(b"icn/transaction-id/v1", body)

    def refused_by_validity(self, data: list[bytes], after_ms: int) -> str:
        header = self.ledger.header(data, after_ms=after_ms)
        judgement = self.run(
            validate_block(
                block_hash(self.zone, header),
                Branch(self.height, ()),
                Moment(self.epoch, self.time_ms + after_ms),
                data,
                genesis=self.zone.genesis,
                state=self.ledger.state,
                cache=self.ledger.cache,
                branches=self.ledger.branches,
            )
        )
        return str(judgement.reason)

    def play(self, wanted: list[Any], after_ms: int) -> None:
        """A block of transactions: each of ``wanted``, or what makes it of the model as it then stands.

        What is due has been done to the model.
        """
        model, time_ms = self.model, self.time_ms + after_ms
        due_before = self.next_times()
        allowances = self.ledger.state.records[-1].allowances
        may_make = {payer: allowances[payer].used_state_leaves for payer in model.allowances}
        """What is due gives leaves back, but only to what is executed."""
        may_add = {
            payer: allowances[payer].used_new_leaves if allowances[payer].epoch == self.epoch else 0
            for payer in model.allowances
        }
        may_use = {
            payer: allowances[payer].used_bytes if allowances[payer].epoch == self.epoch else 0
            for payer in model.allowances
        }
        chosen: list[tuple[bytes, bytes]] = []
        expected: list[tuple[str, int, list[tuple[str, int]]]] = []
        tried: list[list[Any]] = []
        for one in wanted:
            principal, keys, said = one() if callable(one) else one
            member = self.people[principal]
            before = dict(member.next_sequence)
            data, identifier = self.signed(principal, keys, said, time_ms)
            leaves = sum(LEAVES_OF.get(kind, 0) for kind, _ in said)
            allowance = model.allowances[member.payer]
            is_too_much = may_use[member.payer] + len(data) > allowance["bytes_max"]
            made = max(may_make[member.payer], may_add[member.payer])
            if is_too_much or (leaves and made + leaves > allowance["leaves_max"]):
                assert (
                    self.refused_by_validity([*[d for d, _ in chosen], data], after_ms)
                    == "ALLOWANCE_EXCEEDED"
                )
                member.next_sequence = before
                COUNTS["not valid: ALLOWANCE_EXCEEDED"] += 1
                continue
            may_make[member.payer] += leaves
            may_add[member.payer] += leaves
            may_use[member.payer] += len(data)
            verdict = model.execute(self.signing(principal, keys), len(chosen), len(data), said)
            chosen.append((data, identifier))
            expected.append(verdict)
            tried.append(said)
        refused = self.refused_by_validity([data for data, _ in chosen], after_ms)
        assert refused == "", (refused, tried)
        self.run(self.ledger.execute(*[data for data, _ in chosen], after_ms=after_ms))
        assert self.ledger.halts == [], (self.ledger.halts, tried)
        self.blocks.append(([data for data, _ in chosen], time_ms, self.undisturbed_until(tried, due_before)))
        self.compare_receipts(tried, expected)
        self.compare_block([identifier for _, identifier in chosen])
        self.compare_state()

    def compare_receipts(self, tried: list[Any], expected: list[Any]) -> None:
        told: dict[int, list[tuple[Any, ...]]] = {}
        for index, kind, source, destination, amount, debited, credited, *_ in self.model.block.postings:
            told.setdefault(index, []).append((source, destination, -amount, debited, kind))
            told[index].append((destination, source, amount, credited, kind))
        receipts = self.ledger.state.receipts[-1]
        for index, (said, verdict, (_, encoded)) in enumerate(zip(tried, expected, receipts, strict=True)):
            receipt = Receipt.FromString(encoded)
            postings = [
                (one.account, one.counter_account, one.amount_minor, one.balance_minor, one.kind)
                for one in receipt.postings
            ]
            assert postings == told.get(index, []), (postings, told.get(index))
            found = (
                receipt.reason,
                receipt.message_index,
                [(figure.name, figure.value) for figure in receipt.figures],
            )
            assert found == verdict, (found, verdict, said)
            if not verdict[0]:
                COUNTS.update(f"{kind}: applied" for kind, _ in said)
            else:
                COUNTS[f"{said[verdict[1]][0]}: {verdict[0]}"] += 1

    def compare_block(self, identifiers: list[bytes]) -> None:
        """Postings and events, in order; and the chains of entries that they make."""
        commit, block = self.ledger.state.commits[-1], self.model.block
        found = [
            (
                one.transaction_index,
                one.kind,
                one.source,
                one.destination,
                one.amount_minor,
                one.source_balance_minor,
                one.destination_balance_minor,
                one.memo_hash,
                one.reference,
                one.hold,
            )
            for one in (posted.movement for posted in commit.posted)
        ]
        assert found == block.postings, (found, block.postings)
        told: dict[type, list[Any]] = {}
        for event in commit.events:
            told.setdefault(type(event), []).append(event)
        told_of: Any = {
            "soft": [tuple(one)[1:] for one in told.get(events.SoftLimitPassed, [])],
            "floors": [
                (one.account, one.previous_floor_minor, one.floor_minor)
                for one in told.get(events.FloorChanged, [])
            ],
            "missed": [
                (one.order.ordered.order, one.reason, list(one.figures))
                for one in told.get(events.StandingOrderMissed, [])
            ],
            "ended": [one.order.ordered.order for one in told.get(events.StandingOrderEnded, [])],
            "released": [one.hold.hold for one in told.get(events.HoldReleased, [])],
            "policies": [
                (one.unit, one.previous and one.previous._asdict(), one.policy._asdict())
                for one in told.get(events.UnitPolicySet, [])
            ],
        }
        for name, told_here in told_of.items():
            assert told_here == getattr(block, name), (name, told_here, getattr(block, name))
        COUNTS.update(f"posting {one[1]}" for one in found)
        COUNTS.update(f"missed: {reason}" for _, reason, _ in block.missed)
        COUNTS["soft limit passed"] += len(block.soft)
        COUNTS["blocks"] += 1
        COUNTS["transactions"] += len(identifiers)
        numbers = Counter({account: one["entries"] for account, one in self.model.accounts.items()})
        numbers.subtract(account for posting in found for account in posting[2:4])
        for posting in block.postings:
            transaction = identifiers[posting[0]] if posting[0] >= 0 else b""
            for side, account in enumerate(posting[2:4]):
                numbers[account] += 1
                body = entry_bytes(
                    self.chains.get(account, b""),
                    numbers[account],
                    block.height,
                    block.time_ms,
                    transaction,
                    posting,
                    side,
                )
                self.chains[account] = self.model.hash_of(b"icn/entry/v1", body)
        for namespace, identifier, value in commit.leaves:
            if int(namespace) in (3, 4, 21, 22, 23, 24, 25):
                assert value == self.leaf(int(namespace), identifier), (namespace, identifier)

    def leaf(self, namespace: int, identifier: bytes) -> bytes | None:
        """Its canonical bytes by the model, None where there is none."""
        model = self.model
        found: Any
        if namespace == 3:
            one = model.accounts[identifier]
            terms = state_pb2.AccountTerms(
                parent=one["parent"],
                sub_accounts=one["sub_accounts"],
                sub_accounts_hash=one["sub_accounts_hash"],
                is_opening=one["is_opening"],
                opening_minor=one["opening"],
                pledged_minor=one["pledged"],
                frozen_until_ms=one["frozen_until"],
                has_own_floor=one["has_own_floor"],
                demurrage_until_ms=one["demurrage_until"],
                bonds=model.bonds(identifier),
                is_closed=one["is_closed"],
                sub_account_number=one["sub_account_number"],
            )
            found = state_pb2.AccountLeaf(
                account=identifier,
                owner=one["owner"],
                unit=one["unit"],
                balance_minor=one["balance"],
                held_minor=model.held(identifier),
                floor_minor=one["floor"],
                given_minor=one["given"],
                entries=one["entries"],
                entries_hash=self.chains.get(identifier, b""),
                payer=one["payer"],
                terms=terms if terms != state_pb2.AccountTerms() else None,
            )
        elif namespace == 4:
            if (hold := model.holds.get(identifier)) is None:
                return None
            take_account, give, take, taker = hold["price"] or (b"", 0, 0, b"")
            found = state_pb2.HoldLeaf(
                hold=identifier,
                source=hold["source"],
                destination=hold["destination"],
                remaining_minor=hold["remaining"],
                expire_time_ms=hold["expire"],
                payer=hold["payer"],
                take_account=take_account,
                offered_give_minor=give,
                offered_take_minor=take,
                taker=taker,
            )
        elif namespace == 21:
            policy = dict(model.policies[identifier])
            found = state_pb2.UnitPolicyLeaf(
                set_time_ms=policy.pop("set_time_ms"),
                demurrage_set_time_ms=policy.pop("demurrage_set_time_ms"),
                policy=pb.UnitPolicy(**policy),
            )
        elif namespace == 22:
            line = model.lines[identifier[:16], identifier[16:]]
            found = state_pb2.CreditLineLeaf(
                main_account=line["main"], earned_minor=line["earned"], spent_minor=line["spent"]
            )
        elif namespace == 23:
            unit, lower, higher = identifier[:16], identifier[16:32], identifier[32:]
            trade = model.trades[unit, lower, higher]
            found = state_pb2.TradeLeaf(
                lower_paid_minor=trade[lower], higher_paid_minor=trade[higher], payer=trade["payer"]
            )
        elif namespace == 24:
            if (order := model.orders.get(identifier)) is None:
                return None
            fields = pb.OrderTransfers.DESCRIPTOR.fields_by_name
            found = state_pb2.StandingOrderLeaf(
                ordered=pb.OrderTransfers(**{name: order[name] for name in fields}),
                times_passed=order["passed"],
                next_time_ms=order["next"],
                missed=order["missed"],
                key_ids=order["key_ids"],
                payer=order["payer"],
            )
        else:
            end, digest, height, time_ms, closed_by = model.periods[identifier]
            found = state_pb2.PeriodLeaf(
                end_time_ms=end, digest=digest, height=height, block_time_ms=time_ms, closed_by=closed_by
            )
        value: bytes = found.SerializeToString(deterministic=True)
        return value

    def compare_state(self) -> None:
        model, records = self.model, self.ledger.state.records[-1]
        there = {
            name: {key: one for key, one in getattr(records, name).items() if one is not None}
            for name in ("accounts", "holds", "orders", "credit_lines", "trades", "unit_policies", "periods")
        }
        found: dict[bytes, Any] = {}
        for account, one in there["accounts"].items():
            terms = one.known_terms
            assert one.terms != NO_TERMS
            found[account] = {
                "owner": one.owner,
                "unit": one.unit,
                "balance": one.balance_minor,
                "floor": one.floor_minor,
                "given": one.given_minor,
                "entries": one.entries,
                "payer": one.payer,
                "parent": terms.parent,
                "sub_accounts": terms.sub_accounts,
                "sub_accounts_hash": terms.sub_accounts_hash,
                "sub_account_number": terms.sub_account_number,
                "is_opening": terms.is_opening,
                "opening": terms.opening_minor,
                "pledged": terms.pledged_minor,
                "frozen_until": terms.frozen_until_ms,
                "has_own_floor": terms.has_own_floor,
                "demurrage_until": terms.demurrage_until_ms,
                "is_closed": terms.is_closed,
            }
            assert one.held_minor == model.held(account)
            assert terms.bonds == model.bonds(account)
            assert one.entries_hash == self.chains.get(account, b"")
        assert found == model.accounts
        assert {
            name: {
                "source": one.source,
                "destination": one.destination,
                "remaining": one.remaining_minor,
                "expire": one.expire_time_ms,
                "payer": one.payer,
                "price": None if one.price is None else tuple(one.price),
            }
            for name, one in there["holds"].items()
        } == model.holds
        assert {
            name: {
                **one.ordered._asdict(),
                "passed": one.times_passed,
                "next": one.next_time_ms,
                "missed": one.missed,
                "key_ids": list(one.key_ids),
                "payer": one.payer,
            }
            for name, one in there["orders"].items()
        } == model.orders
        assert {
            (name[:16], name[16:]): {
                "main": one.main_account,
                "earned": one.earned_minor,
                "spent": one.spent_minor,
            }
            for name, one in there["credit_lines"].items()
        } == model.lines
        assert {
            (name[:16], name[16:32], name[32:]): {
                name[16:32]: one.lower_paid_minor,
                name[32:]: one.higher_paid_minor,
                "payer": one.payer,
            }
            for name, one in there["trades"].items()
        } == model.trades
        assert {
            unit: {
                **one.policy._asdict(),
                "set_time_ms": one.set_time_ms,
                "demurrage_set_time_ms": one.demurrage_set_time_ms,
            }
            for unit, one in there["unit_policies"].items()
        } == model.policies
        assert {unit: tuple(one) for unit, one in there["periods"].items()} == model.periods
        for payer, allowance in model.allowances.items():
            one = records.allowances[payer]
            is_now = one.epoch == model.block.epoch
            assert one.used_state_leaves == allowance["leaves"], payer
            assert (one.used_bytes if is_now else 0) == model.bytes_used(payer)
        for unit in UNITS:
            assert sum(one["balance"] for one in model.accounts.values() if one["unit"] == unit) == 0
        check_state(there["accounts"].values(), there["holds"].values())

    def wish(self, one: Any, time_ms: int) -> tuple[bytes, list[Any], list[Any]]:
        """A transaction that one actor wishes; most of its messages are tried on a copy of the model, and
        others made where that refuses them."""
        kind, seed, more = one
        trial = self.model.copy()
        actor: bytes | None = None
        chosen: list[Any] = []
        said: list[tuple[str, dict[str, Any]]] = []
        for wanted, message_seed in [(kind, seed), *more]:
            for attempt in range(1 if message_seed % 4 == 0 else 4):
                wishes = Wishes(trial, message_seed + 7_919 * attempt, time_ms, list(self.people))
                possible = wishes.possible(wanted)
                acting = actor or wishes.actor(possible)
                is_odd = possible in BY_AUTHORITY and acting not in trial.authorities.values()
                possible = "transfer" if said and is_odd and message_seed % 16 else possible
                message = (possible, wishes.fields(possible, acting))
                keys = chosen or self.keys_of(acting, seed, *message)
                before = trial.copy()
                try:
                    trial.apply(self.signing(acting, keys), 0, *message)
                    break
                except Refusal:
                    trial.restore(before)
            actor, chosen = acting, keys
            said.append(message)
        assert actor is not None
        return actor, chosen, said

    def keys_of(self, actor: bytes, seed: int, kind: str, said: dict[str, Any]) -> list[Any]:
        """One key of the actor or both; mostly the other one where an order waits for its release."""
        keys = self.people[actor].keys
        if kind == "release_order" and seed % 8 and (order := self.model.orders.get(said["order"])):
            return [key for key in keys if key.key_id not in order["key_ids"]] or keys
        return keys[:1] if seed % 3 else keys[-1:] if seed % 2 else keys

    def signing(self, actor: bytes, keys: list[Any]) -> Signing:
        return Signing(actor, self.people[actor].payer, tuple(sorted(key.key_id for key in keys)))

    def next_times(self) -> list[int]:
        """When something falls due: holds, orders, demurrage, and where something is no longer frozen."""
        model, now = self.model, self.time_ms
        times = [hold["expire"] for hold in model.holds.values()]
        times += [order["next"] for order in model.orders.values()]
        times += [one["frozen_until"] for one in model.accounts.values()]
        for policy in model.policies.values():
            if policy["demurrage_ppm"]:
                between = policy["demurrage_days"] * DAY_MS
                times.append(now + between - (now - policy["demurrage_set_time_ms"]) % between)
        return sorted(time for time in times if time > now)

    @rule(block=st.lists(transactions, max_size=6), seed=st.integers(0, 2**20))
    def play_a_block(self, block: list[Any], seed: int) -> None:
        random = Random(seed)
        after_ms = random.choice([1, 1_000, 1_000, 60_000, 3_600_000])
        if (times := self.next_times()) and random.random() < 0.35:
            at = random.choice(times[:3]) + random.choice([-1, 0, 0, 1])
            after_ms = max(1, at - self.time_ms)
        elif random.random() < 0.25:
            after_ms = random.choice([DAY_MS, 8 * DAY_MS, 40 * DAY_MS, 400 * DAY_MS])
        time_ms = self.time_ms + after_ms
        self.model.begin_block(self.height + 1, time_ms, self.epoch)
        self.play([lambda one=one: self.wish(one, time_ms) for one in block], after_ms)

    @precondition(lambda self: all(one["leaves_max"] == 2**40 for one in self.model.allowances.values()))
    @rule(spare=st.integers(0, 3), spare_bytes=st.sampled_from([2**40, 300, 1_500]), which=st.integers(0, 1))
    def lower_what_a_payer_may_use(self, spare: int, spare_bytes: int, which: int) -> None:
        """Of leaves, which trade leaves feel; of bytes, which orders feel."""
        payer = self.zone.organizations[which].principal
        self.model.begin_block(self.height + 1, self.time_ms + 1, self.epoch)
        allowance = self.model.allowances[payer]
        limits = {
            "bytes_per_epoch": min(2**40, self.model.bytes_used(payer) + spare_bytes),
            "signatures_per_epoch": 2**40,
            "state_leaves": allowance["leaves"] + spare,
        }
        message = plain.set_allowance(payer, **limits)
        data = self.zone.transaction(self.zone.authority, message, time_ms=self.time_ms)
        self.run(self.ledger.execute(data, after_ms=1))
        self.blocks.append(([data], self.time_ms, self.time_ms))
        allowance.update(leaves_max=limits["state_leaves"], bytes_max=limits["bytes_per_epoch"])
        self.compare_block(
            [self.model.hash_of(b"icn/transaction-id/v1", pb.Transaction.FromString(data).body)]
        )
        self.compare_state()

    @invariant()
    def sums_grow_alike(self) -> None:
        """Per unit both sums of the credit lines, while none stays at 2^62."""
        if not hasattr(self, "model"):
            return
        for unit in UNITS:
            lines = [line for (of, _), line in self.model.lines.items() if of == unit]
            if all(max(line["earned"], line["spent"]) < TOP for line in lines):
                assert sum(line["earned"] - line["spent"] for line in lines) == 0

    # Once more

    def teardown(self) -> None:
        try:
            if hasattr(self, "model"):
                self.replay()
                COUNTS["examples"] += 1
                if (path := os.environ.get("ICN_CREDIT_MODEL_COUNTS")) is not None:
                    Path(path).write_text(json.dumps(dict(sorted(COUNTS.items())), indent=1))
        finally:
            self.loop.close()

    def replay(self) -> None:
        """All blocks from genesis give the same root; one transaction a block, a millisecond apart, where
        nothing falls due in between and no policy changes, the same balances and terms."""
        again = memory_ledger(self.zone)
        begins = [*[time_ms for _, time_ms, _ in self.blocks], TOP]
        is_split = False
        for position, (data, time_ms, until_ms) in enumerate(self.blocks):
            splits = self.is_split and time_ms + len(data) <= min(until_ms, begins[position + 1])
            is_split |= splits and len(data) > 1
            for later, part in enumerate([[one] for one in data] if splits and data else [data]):
                after_ms = time_ms + later - again.state.newest.time_ms
                self.run(again.execute(*part, after_ms=after_ms))
        assert again.halts == [], again.halts
        if not is_split:
            assert again.state.newest.state_root == self.ledger.state.newest.state_root
            assert [block.receipts_root for block in again.state.blocks] == [
                block.receipts_root for block in self.ledger.state.blocks
            ]
            return
        COUNTS["examples split"] += 1
        assert self.verdicts(again) == self.verdicts(self.ledger)
        for name in ("holds", "orders", "credit_lines", "trades", "unit_policies"):
            there, here = (
                {key: one for key, one in getattr(ledger.state.records[-1], name).items() if one is not None}
                for ledger in (again, self.ledger)
            )
            assert there == here, (name, there, here)
        one, other = (
            {
                key: account._replace(entries_hash=b"").with_terms(
                    demurrage_until_ms=account.known_terms.demurrage_until_ms // DAY_MS
                )
                for key, account in ledger.state.records[-1].accounts.items()
                if account is not None
            }
            for ledger in (again, self.ledger)
        )
        assert one == other, [(one[key], other[key]) for key in one if one[key] != other.get(key)]

    @staticmethod
    def verdicts(ledger: Ledger) -> list[tuple[str, int]]:
        found = [Receipt.FromString(one) for block in ledger.state.receipts for _, one in block]
        return [(one.reason, one.message_index) for one in found]

    def undisturbed_until(self, tried: list[Any], due_before: list[int]) -> int:
        """Before that time nothing falls due, and no time that the block's messages name matters; the block's
        own, where a policy changes."""
        now = self.time_ms
        if any(kind == "set_unit_policy" for said in tried for kind, _ in said):
            return now
        named = [
            said[name] - ahead
            for one in tried
            for _, said in one
            for name in ("expire_time_ms", "first_time_ms", "until_time_ms", "end_time_ms")
            if name in said
            for ahead in (0, 30 * DAY_MS, 366 * DAY_MS)
        ]
        return min([time for time in (*due_before, *self.next_times(), *named) if time > now], default=TOP)


TestCreditMachine = CreditMachine.TestCase
TestCreditMachine.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=12, suppress_health_check=list(HealthCheck), print_blob=True
)
