"""The domain against a model of it: a naive ledger of plain dictionaries, made from the specification alone.

Hypothesis plays blocks of transactions to both, valid and not, and compares reasons and every number.
"""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from icn.ledger.v1.state_pb2 import Receipt
from icn_machine.blocks.branches import Branch
from icn_machine.blocks.validate_block import validate_block
from icn_machine.invariants import check_state
from icn_machine.validity import Moment

from libs.machine.tests.zone import (
    Member,
    block_hash,
    capture_hold,
    create_unit,
    identifier,
    make_zone,
    memory_ledger,
    open_account,
    open_controller,
    place_hold,
    set_allowance,
    set_floor,
    transfer,
    void_hold,
)

UNITS = [identifier("unit 0"), identifier("unit 1")]
HOLDS = [identifier(f"hold {number}") for number in range(4)]
ACCOUNTS = [identifier(f"account {number}") for number in range(5)]
NOBODY = identifier("nobody")
FLOOR = -50


SHOP = -1
"""The actor that has the units' authority and pays for all."""


class Refusal(Exception):
    pass


@dataclass
class Model:
    """What the specification says, in the plainest words."""

    time: int
    floors: dict[bytes, int] = field(default_factory=dict)
    owners: dict[bytes, int] = field(default_factory=dict)
    units: dict[bytes, bytes] = field(default_factory=dict)
    balances: dict[bytes, int] = field(default_factory=dict)
    holds: dict[bytes, list[Any]] = field(default_factory=dict)
    """By id: source, destination, remaining, expiry, payer."""
    sequences: dict[tuple[int, int], int] = field(default_factory=dict)
    used: dict[str, int] = field(
        default_factory=lambda: {"bytes": 0, "signatures": 0, "leaves": 0, "made": 0}
    )
    """Leaves that are there, and all that were made: everything is in one epoch."""
    limits: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("bytes", "signatures", "leaves"), 2**40)
    )

    def held(self, account: bytes) -> int:
        return sum(hold[2] for hold in self.holds.values() if hold[0] == account)

    def expire(self) -> None:
        for name in [name for name, hold in self.holds.items() if hold[3] <= self.time]:
            del self.holds[name]
            self.used["leaves"] -= 1

    def occupy(self, leaves: int) -> None:
        self.used["leaves"] += leaves
        self.used["made"] += leaves

    def debit(self, actor: int, source: bytes, destination: bytes, amount: int) -> None:
        if source not in self.balances or destination not in self.balances:
            raise Refusal("ACCOUNT_UNKNOWN")
        if self.owners[source] != actor:
            raise Refusal("NOT_ACCOUNT_OWNER")
        if self.units[source] != self.units[destination]:
            raise Refusal("UNIT_MISMATCH")
        if self.balances[source] - self.held(source) - amount < self.floors[source]:
            raise Refusal("CREDIT_LIMIT_EXCEEDED")

    def apply(self, actor: int, message: tuple[Any, ...]) -> None:
        kind, *rest = message
        if kind == "transfer":
            source, destination, amount = rest
            self.debit(actor, source, destination, amount)
            self.balances[source] -= amount
            self.balances[destination] += amount
        elif kind == "place":
            name, source, destination, amount, expiry = rest
            self.debit(actor, source, destination, amount)
            if name in self.holds:
                raise Refusal("HOLD_EXISTS")
            if expiry <= self.time:
                raise Refusal("HOLD_EXPIRY_OUT_OF_RANGE")
            self.holds[name] = [source, destination, amount, expiry]
            self.occupy(1)
        elif kind in ("capture", "void"):
            name = rest[0]
            if name not in self.holds:
                raise Refusal("HOLD_UNKNOWN")
            source, destination, remaining, _ = self.holds[name]
            if self.owners[destination] != actor:
                raise Refusal("NOT_ACCOUNT_OWNER")
            if kind == "void":
                del self.holds[name]
                self.used["leaves"] -= 1
                return
            if rest[1] > remaining:
                raise Refusal("HOLD_AMOUNT_EXCEEDED")
            self.holds[name][2] -= rest[1]
            self.balances[source] -= rest[1]
            self.balances[destination] += rest[1]
            if not self.holds[name][2]:
                del self.holds[name]
                self.used["leaves"] -= 1
        elif kind == "open":
            account, unit = rest
            if account in self.balances:
                raise Refusal("ACCOUNT_EXISTS")
            is_main = all((self.owners[one], self.units[one]) != (actor, unit) for one in self.owners)
            self.owners[account], self.units[account] = actor, unit
            self.balances[account], self.floors[account] = 0, FLOOR if is_main else 0
            self.occupy(2 if is_main else 1)
        else:
            account, floor = rest
            if account not in self.balances:
                raise Refusal("ACCOUNT_UNKNOWN")
            if actor != SHOP:
                raise Refusal("NOT_UNIT_AUTHORITY")
            self.floors[account] = floor

    def who_may(self, message: tuple[Any, ...]) -> int:
        """The actor that could do this, if the rest is right."""
        kind, *rest = message
        account = {"transfer": lambda: rest[0], "place": lambda: rest[1]}.get(kind, lambda: None)()
        if kind in ("capture", "void") and rest[0] in self.holds:
            account = self.holds[rest[0]][1]
        return self.owners.get(account, SHOP if kind == "floor" else 0)

    def execute(
        self, actor: int, lane: int, sequence: int, size: int, messages: list[tuple[Any, ...]]
    ) -> str:
        """The reason, empty when applied."""
        self.sequences[actor, lane] = sequence
        self.used["bytes"] += size
        self.used["signatures"] += 1
        before = copy.deepcopy((self.floors, self.owners, self.units, self.balances, self.holds, self.used))
        try:
            for message in messages:
                self.apply(actor, message)
        except Refusal as refusal:
            self.floors, self.owners, self.units, self.balances, self.holds, self.used = before
            return str(refusal)
        return ""

    def judge(self, actor: int, lane: int, sequence: int, size: int, messages: list[tuple[Any, ...]]) -> str:
        """Why a block with nothing else may not hold it, empty when it may."""
        last = self.sequences.get((actor, lane), 0)
        if sequence <= last:
            return "SEQUENCE_USED"
        if sequence > last + 1:
            return "SEQUENCE_GAP"
        leaves = leaves_made_max(messages)
        for name, more in (("bytes", size), ("signatures", 1), ("leaves", leaves)):
            if more and self.used[name] + more > self.limits[name]:
                return "ALLOWANCE_EXCEEDED"
        if leaves and self.used["made"] + leaves > self.limits["leaves"]:
            return "ALLOWANCE_EXCEEDED"
        return ""


def leaves_made_max(messages: list[tuple[Any, ...]]) -> int:
    return sum({"place": 1, "open": 2}.get(message[0], 0) for message in messages)


accounts = st.sampled_from([*ACCOUNTS, NOBODY])
amounts = st.integers(1, 70)
messages = st.one_of(
    st.tuples(st.just("transfer"), accounts, accounts, amounts).filter(lambda m: m[1] != m[2]),
    st.tuples(
        st.just("place"), st.sampled_from(HOLDS), accounts, accounts, amounts, st.integers(-100, 6_000)
    ).filter(lambda m: m[2] != m[3]),
    st.tuples(st.just("capture"), st.sampled_from(HOLDS), amounts),
    st.tuples(st.just("void"), st.sampled_from(HOLDS)),
    st.tuples(st.just("open"), st.sampled_from(ACCOUNTS), st.sampled_from(UNITS)),
    st.tuples(st.just("floor"), accounts, st.integers(-120, 0)),
)
WRITERS = {
    "transfer": transfer,
    "place": place_hold,
    "capture": capture_hold,
    "void": void_hold,
    "open": open_account,
    "floor": set_floor,
}
transactions = st.tuples(
    st.sampled_from([None, None, None, -1, 0, 1, 2]),  # actor; None: whoever may do the first message
    st.integers(0, 1),  # lane
    st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, -1, 1]),  # how far from the lane's next number
    st.lists(messages, min_size=1, max_size=3),
)


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()

    def teardown(self) -> None:
        self.loop.close()

    @initialize()
    def set_up(self) -> None:
        self.zone = make_zone()
        self.ledger = memory_ledger(self.zone)
        shop = self.zone.organizations[0]
        members = [self.zone.member(f"member {number}", shop) for number in range(3)]
        self.actors: dict[int, Member] = {SHOP: shop, **dict(enumerate(members))}
        steps = [
            self.zone.transaction(shop, *[create_unit(unit, floor_minor=FLOOR) for unit in UNITS]),
            self.zone.transaction(shop, *[open_controller(member) for member in members]),
        ]
        self.run(self.ledger.execute(*steps))
        self.model = Model(self.ledger.state.newest.time_ms)
        self.model.sequences[SHOP, 0] = 2
        allowance = self.allowance
        self.model.used = {
            "bytes": allowance.used_bytes,
            "signatures": allowance.used_signatures,
            "leaves": allowance.used_state_leaves,
            "made": allowance.used_new_leaves,
        }
        opening = [("open", account, UNITS[number // 3]) for number, account in enumerate(ACCOUNTS[:4])]
        for actor in range(3):
            wanted = opening[actor : actor + 1] + opening[3:] * (actor == 0)
            data, plain = self.make(self.model, (actor, 0, 0, wanted), self.model.time)
            self.run(self.ledger.execute(data))
            self.model.execute(*plain)
        self.model.time = self.ledger.state.newest.time_ms

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @property
    def allowance(self) -> Any:
        return self.ledger.state.records[-1].allowances[self.actors[SHOP].principal]

    def make(self, model: Model, one: Any, time_ms: int) -> tuple[bytes, tuple[Any, ...]]:
        actor, lane, offset, wanted = one
        actor = model.who_may(wanted[0]) if actor is None else actor
        wanted = [(*m[:-1], time_ms + m[-1]) if m[0] == "place" else m for m in wanted]
        sequence = max(1, model.sequences.get((actor, lane), 0) + 1 + offset)
        data = self.zone.transaction(
            self.actors[actor],
            *[WRITERS[kind](*rest) for kind, *rest in wanted],
            lane=lane,
            sequence=sequence,
            time_ms=time_ms,
        )
        return data, (actor, lane, sequence, len(data), wanted)

    def validate(self, data: list[bytes], time_ms: int) -> str:
        """The reason for which the ledger refuses a block, empty when it is valid."""
        header = self.ledger.header(data, after_ms=time_ms - self.ledger.state.newest.time_ms)
        judgement = self.run(
            validate_block(
                block_hash(self.zone, header),
                Branch(self.ledger.state.newest.height, ()),
                Moment(0, time_ms),
                data,
                genesis=self.ledger.zone.genesis,
                state=self.ledger.state,
                cache=self.ledger.cache,
                branches=self.ledger.branches,
            )
        )
        return judgement.reason

    @rule(block=st.lists(transactions, max_size=6), after_ms=st.integers(1, 3_000))
    def play_a_block(self, block: list[Any], after_ms: int) -> None:
        time_ms = self.ledger.state.newest.time_ms + after_ms
        # The model judges against the executed state and what the block has used of it so far.
        judged = copy.deepcopy(self.model)
        chosen: list[tuple[bytes, tuple[Any, ...]]] = []
        for one in block:
            data, plain = self.make(judged, one, time_ms)
            expected = judged.judge(*plain)
            refused = self.validate([*[known for known, _ in chosen], data], time_ms)
            assert refused == expected, (refused, expected, plain)
            if not expected:
                chosen.append((data, plain))
                actor, lane, sequence, size, wanted = plain
                judged.sequences[actor, lane] = sequence
                judged.used["bytes"] += size
                judged.used["signatures"] += 1
                judged.occupy(leaves_made_max(wanted))
        execution = self.run(self.ledger.execute(*[data for data, _ in chosen], after_ms=after_ms))
        self.model.time = time_ms
        self.model.expire()
        for (_, plain), (_, receipt) in zip(chosen, execution.outcomes, strict=True):
            assert Receipt.FromString(receipt).reason == self.model.execute(*plain), plain

    @precondition(lambda self: self.model.limits["leaves"] == 2**40)
    @rule(spare=st.integers(0, 3))
    def lower_the_leaves_that_the_shop_may_occupy(self, spare: int) -> None:
        limit = self.model.used["leaves"] + spare
        message = set_allowance(
            self.actors[SHOP].principal, bytes_per_epoch=2**40, signatures_per_epoch=2**40, state_leaves=limit
        )
        newest = self.ledger.state.newest
        self.run(
            self.ledger.execute(
                self.zone.transaction(self.zone.authority, message, time_ms=newest.time_ms), after_ms=1
            )
        )
        self.model.limits["leaves"] = limit
        self.model.time += 1
        self.model.expire()

    @invariant()
    def the_ledger_stands_where_the_model_does(self) -> None:
        if not hasattr(self, "model"):
            return
        records = self.ledger.state.records[-1]
        accounts = {key: value for key, value in records.accounts.items() if value is not None}
        holds = {key: value for key, value in records.holds.items() if value is not None}
        assert {key: account.balance_minor for key, account in accounts.items()} == self.model.balances
        assert {key: account.floor_minor for key, account in accounts.items()} == self.model.floors
        assert {key: account.held_minor for key, account in accounts.items()} == {
            key: self.model.held(key) for key in accounts
        }
        assert {
            key: [h.source, h.destination, h.remaining_minor, h.expire_time_ms] for key, h in holds.items()
        } == (self.model.holds)
        allowance = self.allowance
        assert {
            "bytes": allowance.used_bytes,
            "signatures": allowance.used_signatures,
            "leaves": allowance.used_state_leaves,
            "made": allowance.used_new_leaves,
        } == self.model.used
        for unit in UNITS:
            assert sum(account.balance_minor for account in accounts.values() if account.unit == unit) == 0
        check_state(accounts.values(), holds.values())
        assert self.ledger.halts == []


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=40, stateful_step_count=15, suppress_health_check=list(HealthCheck)
)
