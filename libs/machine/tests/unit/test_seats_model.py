"""Whatever changes are accepted, in whatever blocks: no two sets that can follow each other differ by more
than f seats of the former."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from icn_chain.validator_set import ValidatorSet, parse_validator_set
from icn_machine.genesis_state import genesis_records
from icn_machine.messages import ChangeValidators, RekeySeat
from icn_machine.parsing import parse_transaction
from icn_machine.posting import BlockContext, Cause, ZoneFacts
from icn_machine.records import RecordTables, Validators
from icn_machine.refusals import Refused
from icn_machine.seats import change_validators, rekey_seat
from icn_machine.validator_invariants import check_validators
from icn_machine.working_set import WorkingSet

from libs.machine.tests.seats import add, change, ed25519, rekey, remove, replace
from libs.machine.tests.zone import Zone, make_zone

SEATS_MAX = 14
KEYS = [f"key {number}" for number in range(16)]
ZONES = {seats: make_zone(seats=seats) for seats in range(4, SEATS_MAX + 1)}
ORGANIZATIONS = [one.principal for one in make_zone(seats=SEATS_MAX + 4).organizations]
"""Those of every zone in `ZONES`, and some more that hold no seat at first."""

positions = st.integers(0, len(ORGANIZATIONS) - 1)
one_change = st.tuples(st.sampled_from(["add", "remove", "replace"]), positions, positions)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.lists(one_change, min_size=1, max_size=3)),
        st.tuples(st.just("rekey"), positions),
        st.tuples(st.just("block"), st.none()),
        st.tuples(st.just("edge"), st.integers(0, 3)),
    ),
    max_size=25,
)


class Acting(NamedTuple):
    """As much of a transaction as a change reads."""

    principal: bytes
    payer: bytes


class Model:
    """The part of a ledger that knows seats, block by block."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.records = genesis_records(zone.genesis)
        founder = self.records.allowances[ORGANIZATIONS[0]]
        for organization in ORGANIZATIONS:
            self.records.allowances[organization] = founder
        for key in KEYS:
            self.records.consensus_keys[ed25519(key)] = None
        self.sets = {zone.genesis.validator_set_hash: parse_validator_set(zone.genesis.validator_set)}
        self.height, self.epoch = 1, 0
        self.named: list[ValidatorSet] = [self.following]
        """Per height of the epoch what its state names for the next; the first is that of the edge before."""
        self.keys_left = list(KEYS)

    @property
    def validators(self) -> Validators:
        found = self.records.validators[b""]
        assert found is not None
        return found

    @property
    def in_force(self) -> ValidatorSet:
        return self.sets[self.validators.set_hash]

    @property
    def following(self) -> ValidatorSet:
        return self.sets[self.validators.next_hash]

    def next_key(self) -> str:
        return self.keys_left[0] if self.keys_left else KEYS[0]

    def run(self, step: tuple[str, Any]) -> None:
        kind, drawn = step
        of = self.validators.next_hash
        if kind == "change":
            self.apply(self.zone.authority.principal, change(self.zone, *map(self.change, drawn), of=of))
        elif kind == "rekey":
            self.apply(ORGANIZATIONS[drawn], rekey(self.zone, ORGANIZATIONS[drawn], self.next_key(), of=of))
        elif kind == "block":
            self.named.append(self.following)
            self.height += 1
        else:
            self.pass_edge(drawn)

    def change(self, drawn: tuple[str, int, int]) -> Any:
        kind, one, other = drawn
        if kind == "remove":
            return remove(ORGANIZATIONS[one])
        if kind == "add":
            return add(self.zone, ORGANIZATIONS[one], self.next_key())
        return replace(self.zone, ORGANIZATIONS[one], ORGANIZATIONS[other], self.next_key())

    def apply(self, acting: bytes, message: Any) -> None:
        data = self.zone.transaction(self.zone.organizations[0], message)
        (read,) = parse_transaction(data, self.zone.genesis.hash).messages
        working = WorkingSet(self.records, self.sets)
        context = BlockContext(self.height, self.epoch, 1, 0, ZoneFacts(self.zone.genesis, {}))
        transaction: Any = Acting(acting, ORGANIZATIONS[0])
        try:
            if isinstance(read, ChangeValidators):
                change_validators(working, acting, read, Cause(ORGANIZATIONS[0], 0, context))
            else:
                assert isinstance(read, RekeySeat)
                rekey_seat(working, transaction, read, context, 0)
        except Refused:
            return
        changes = working.changes()
        check_validators(working.loaded, changes, working.now, working.validator_sets)
        self.keys_left = [key for key in self.keys_left if ed25519(key) not in changes.consensus_keys]
        self.take(working.now, working.validator_sets)

    def take(self, records: RecordTables, sets: dict[bytes, ValidatorSet]) -> None:
        self.records, self.sets = records, sets
        differs_at_most_f(self.in_force, self.following)

    def pass_edge(self, back: int) -> None:
        """The edge names the state of some block of the epoch, or that of the edge before."""
        named = self.named[max(0, len(self.named) - 1 - back)]
        differs_at_most_f(self.in_force, named)
        entered = self.validators.enter(named.hash, self.epoch + 1)
        assert entered is not None
        self.records.validators[b""] = entered
        self.epoch += 1
        self.height += 1
        self.named = [self.following]
        assert self.in_force.hash == named.hash
        differs_at_most_f(self.in_force, self.following)


def differs_at_most_f(former: ValidatorSet, later: ValidatorSet) -> None:
    before = {seat.public_key for seat in former.validators}
    after = {seat.public_key for seat in later.validators}
    assert max(len(before - after), len(after - before)) <= former.faults_max
    assert 4 <= len(after) <= 50 and len(set(later.organizations)) == len(after)
    staying = [seat.public_key for seat in former.validators if seat.public_key in after]
    assert staying == [seat.public_key for seat in later.validators if seat.public_key in before]


@settings(max_examples=150)
@given(st.integers(4, SEATS_MAX), steps)
def test_sets_that_follow_each_other_differ_by_at_most_f_seats(seats: int, drawn: list[Any]) -> None:
    model = Model(ZONES[seats])
    in_force = [model.in_force]
    for step in drawn:
        model.run(step)
        if model.in_force is not in_force[-1]:
            in_force.append(model.in_force)
    for former, later in pairwise(in_force):
        differs_at_most_f(former, later)
    keys = [{seat.public_key for seat in one.validators} for one in in_force]
    for first, second in combinations(range(len(keys)), 2):
        between = keys[first + 1 : second]
        assert all(key in one for one in between for key in keys[first] & keys[second]), "no key comes back"


def test_seats_that_go_do_not_make_room_for_more_that_come() -> None:
    """Counted as the larger of what leaves and what comes, one removal and three additions would pass for ten
    seats (f = 3); once the removal alone is in force, three would come to nine (f = 2)."""
    model = Model(ZONES[10])
    model.run(("change", [("remove", 0, 0)]))
    assert len(model.following.validators) == 9
    for organization in (15, 16, 17):
        model.run(("change", [("add", organization, 0)]))
    assert len(model.following.validators) == 11, "the third that comes is the fourth change"
