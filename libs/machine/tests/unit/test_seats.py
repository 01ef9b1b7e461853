"""Changes of the validator set: who may make them, how many seats, which keys, and when they are in force."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from icn.consensus.v1.block_pb2 import ValidatorSet
from icn.ledger.v1 import transaction_pb2 as pb
from icn_crypto.suites import Suite
from icn_kit.errors import InvalidArgument
from icn_machine.blocks.execute_block import Halted
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.parsing import parse_transaction
from icn_machine.records import ConsensusKey, Duty, PendingSeats, Validators
from icn_machine.refusals import Malformed

from libs.machine.tests.equivocations import evidence, notarize, record
from libs.machine.tests.scene import Scene
from libs.machine.tests.seats import (
    add,
    change,
    ed25519,
    next_hash,
    offer,
    rekey,
    remove,
    replace,
    seat_key,
)
from libs.machine.tests.zone import (
    EPOCH_MS,
    PLENTY,
    Member,
    Zone,
    anchor,
    identifier,
    make_zone,
    open_controller,
    set_allowance,
)

SOMEBODY = identifier("somebody")


class Seats(Scene):
    """Seven seats, of which two may change at a time, and an organization that has none."""

    def __init__(self, seats: int = 7) -> None:
        super().__init__(make_zone(seats=seats))
        self.seated = [one.principal for one in self.zone.organizations]

    async def set_up(self) -> Seats:
        await super().set_up()
        for name in ("newcomer", "other newcomer"):
            member = self.zone.member(name, self.shop)
            await self.applied(self.shop, open_controller(member))
            await self.applied(self.zone.authority, set_allowance(member.principal, **PLENTY))
        return self

    @property
    def newcomer(self) -> bytes:
        return identifier("newcomer")

    @property
    def other(self) -> bytes:
        return identifier("other newcomer")

    @property
    def next_hash(self) -> bytes:
        return next_hash(self.ledger)

    @property
    def leaf(self) -> Validators:
        leaf = self.ledger.state.records[-1].validators[b""]
        assert leaf is not None
        return leaf

    def members(self, set_hash: bytes) -> list[tuple[bytes, bytes]]:
        """Organization and Ed25519 key of each seat."""
        read = ValidatorSet.FromString(self.ledger.state.validator_sets[set_hash])
        return [(seat.organization, seat.keys[0].public_key) for seat in read.validators]

    async def change(self, *changes: pb.SeatChange) -> None:
        await self.applied(self.zone.authority, change(self.zone, *changes, of=self.next_hash))

    async def refused_change(self, reason: str, *changes: pb.SeatChange) -> dict[str, int]:
        message = change(self.zone, *changes, of=self.next_hash)
        return await self.refused(reason, self.zone.authority, message)

    async def pass_edge(self) -> None:
        """An edge block that names the newest state's next set, and the first block behind it."""
        await self.ledger.execute(after_ms=EPOCH_MS)
        await self.ledger.execute()


@pytest.fixture
async def seats() -> Seats:
    return await Seats().set_up()


async def test_a_change_names_the_next_set_and_leaves_the_one_in_force(seats: Seats) -> None:
    zone, seated = seats.zone, seats.seated
    in_force = zone.genesis.validator_set_hash
    used = seats.ledger.state.records[-1].allowances[zone.authority.principal].used_state_leaves
    await seats.change(replace(zone, seated[2], seats.newcomer, "a"), add(zone, seats.other, "b"))
    genesis = seats.members(in_force)
    expected = [*genesis[:2], (seats.newcomer, ed25519("a")), *genesis[3:], (seats.other, ed25519("b"))]
    assert seats.members(seats.next_hash) == expected
    height = seats.ledger.state.newest.height
    assert seats.leaf == Validators(in_force, 0, height, (PendingSeats(seats.next_hash, height, 2),))
    records = seats.ledger.state.records[-1]
    assert records.consensus_keys[ed25519("a")] == ConsensusKey(seats.newcomer, height, 0)
    assert records.zones[b""].validator_set_hash == seats.next_hash
    assert records.allowances[zone.authority.principal].used_state_leaves == used + 2


async def test_the_first_block_behind_the_edge_puts_the_next_set_in_force(seats: Seats) -> None:
    await seats.change(remove(seats.seated[3]))
    changed, height = seats.next_hash, seats.ledger.state.newest.height
    await seats.ledger.execute(after_ms=EPOCH_MS)
    assert seats.leaf.set_hash == seats.zone.genesis.validator_set_hash, "the edge block is of the old epoch"
    edge = seats.ledger.state.commits[-1].edge
    assert edge is not None and edge.next_validator_set == seats.ledger.state.validator_sets[changed]
    await seats.ledger.execute()
    assert seats.leaf == Validators(changed, 1, height, ())
    genesis = seats.members(seats.zone.genesis.validator_set_hash)
    assert seats.members(changed) == [seat for seat in genesis if seat[0] != seats.seated[3]]
    await seats.pass_edge()
    edge = seats.ledger.state.commits[-2].edge
    assert edge is not None and edge.next_validator_set == b"", "nothing changed since"
    assert seats.leaf.since_epoch == 1


async def test_what_comes_after_the_height_that_the_edge_names_waits_for_the_next_edge(seats: Seats) -> None:
    zone = seats.zone
    await seats.change(remove(seats.seated[0]))
    first, named = seats.next_hash, seats.ledger.state.newest
    await seats.change(replace(zone, seats.seated[1], seats.newcomer, "a"))
    second, later = seats.next_hash, seats.ledger.state.newest.height
    await seats.ledger.execute(after_ms=EPOCH_MS, named=named)
    await seats.ledger.execute()
    assert seats.leaf == Validators(first, 1, later, (PendingSeats(second, later, 1),))
    # What may still change is counted against the set that is in force now: six seats, f = 1.
    assert await seats.refused_change("SEATS_CHANGED_TOO_MANY", remove(seats.seated[2])) == {
        "seats_changed": 2,
        "seats_changed_max": 1,
    }
    await seats.pass_edge()
    assert (seats.leaf.set_hash, seats.leaf.since_epoch, seats.leaf.pending) == (second, 2, ())


async def test_a_change_in_the_edge_block_itself_waits_too(seats: Seats) -> None:
    zone = seats.zone
    message = change(zone, remove(seats.seated[0]), of=seats.next_hash)
    await seats.applied(zone.authority, message, after_ms=EPOCH_MS)
    changed = seats.next_hash
    await seats.ledger.execute()
    assert seats.leaf.set_hash == zone.genesis.validator_set_hash and seats.leaf.next_hash == changed
    await seats.pass_edge()
    assert (seats.leaf.set_hash, seats.leaf.since_epoch) == (changed, 2)


async def test_changes_of_one_block_are_one_step(seats: Seats) -> None:
    zone, ledger = seats.zone, seats.ledger
    first = zone.transaction(zone.authority, change(zone, remove(seats.seated[0])), time_ms=seats.now_ms)
    # The second names what the first makes.
    probe = Seats()
    await probe.set_up()
    await probe.change(remove(seats.seated[0]))
    message = change(zone, remove(seats.seated[1]), of=probe.next_hash)
    second = zone.transaction(zone.authority, message, time_ms=seats.now_ms)
    execution = await ledger.execute(first, second)
    assert seats.leaf.pending == (PendingSeats(seats.next_hash, execution.block.height, 2),)
    assert len(seats.members(seats.next_hash)) == 5
    assert set(ledger.state.validator_sets) == {zone.genesis.validator_set_hash, seats.next_hash}


async def test_only_the_zone_authority_changes_validators(seats: Seats) -> None:
    zone = seats.zone
    message = change(zone, remove(seats.seated[0]))
    assert await seats.refused("NOT_ZONE_AUTHORITY", seats.shop, message) == {}
    await seats.change(remove(seats.seated[0]))


async def test_a_change_of_another_set_than_the_next_is_refused_with_both(seats: Seats) -> None:
    zone = seats.zone
    await seats.change(remove(seats.seated[0]))
    figures = {
        "named": int.from_bytes(zone.genesis.validator_set_hash[:6], "big"),
        "next": int.from_bytes(seats.next_hash[:6], "big"),
    }
    message = change(zone, remove(seats.seated[1]))
    assert await seats.refused("SET_CHANGED", zone.authority, message) == figures
    message = rekey(zone, seats.shop.principal, "a")
    assert await seats.refused("SET_CHANGED", seats.shop, message) == figures


@pytest.mark.parametrize(("seats_in_force", "faulty_max"), [(4, 1), (6, 1), (7, 2), (10, 3)])
async def test_at_most_f_seats_change_before_the_change_is_in_force(
    seats_in_force: int, faulty_max: int
) -> None:
    seats = await Seats(seats_in_force).set_up()
    zone = seats.zone
    for position in range(faulty_max):
        await seats.change(replace(zone, seats.seated[position], seats.seated[position], f"a{position}"))
    figures = {"seats_changed": faulty_max + 1, "seats_changed_max": faulty_max}
    too_many = replace(zone, seats.seated[faulty_max], seats.newcomer, "b")
    assert await seats.refused_change("SEATS_CHANGED_TOO_MANY", too_many) == figures
    await seats.pass_edge()
    await seats.change(too_many)


async def test_one_message_that_changes_too_many_leaves_no_trace(seats: Seats) -> None:
    zone = seats.zone
    changes = [remove(seats.seated[0]), add(zone, seats.newcomer, "a"), add(zone, seats.other, "b")]
    assert (await seats.refused_change("SEATS_CHANGED_TOO_MANY", *changes))["seats_changed"] == 3
    await seats.change(*changes[:2])


async def test_a_seat_that_waits_for_the_edge_is_not_changed_again(seats: Seats) -> None:
    zone, seated = seats.zone, seats.seated
    await seats.change(replace(zone, seated[0], seats.newcomer, "a"))
    for again in (
        remove(seats.newcomer),
        replace(zone, seats.newcomer, seats.other, "b"),
        replace(zone, seats.newcomer, seats.newcomer, "b"),
        add(zone, seated[0], "b"),
        replace(zone, seated[1], seated[0], "b"),
    ):
        assert await seats.refused_change("SEAT_CHANGE_PENDING", again) == {"change": 0}
    assert await seats.refused_change("NOT_SEATED", remove(seated[0])) == {"change": 0}
    assert await seats.refused_change(
        "SEAT_CHANGE_PENDING", remove(seated[1]), add(zone, seated[1], "b")
    ) == {"change": 1}
    await seats.pass_edge()
    await seats.change(replace(zone, seats.newcomer, seated[0], "b"))


async def test_only_organizations_without_a_seat_come_in(seats: Seats) -> None:
    zone, seated = seats.zone, seats.seated
    assert await seats.refused_change("ALREADY_SEATED", add(zone, seated[1], "a")) == {"change": 0}
    both = [add(zone, seats.newcomer, "a"), replace(zone, seated[0], seats.newcomer, "b")]
    assert await seats.refused_change("ALREADY_SEATED", *both) == {"change": 1}
    # ana has a controller and no allowance.
    for unknown in (SOMEBODY, seats.ana.principal):
        assert await seats.refused_change("ORGANIZATION_UNKNOWN", add(zone, unknown, "a")) == {"change": 0}
    assert await seats.refused_change("NOT_SEATED", remove(seats.newcomer)) == {"change": 0}


async def test_a_consensus_key_is_named_once_for_ever(seats: Seats) -> None:
    zone, seated = seats.zone, seats.seated
    assert await seats.refused_change("CONSENSUS_KEY_USED", add(zone, seats.newcomer, "seat 3")) == {
        "change": 0
    }
    twice = [add(zone, seats.newcomer, "a"), add(zone, seats.other, "a")]
    assert await seats.refused_change("CONSENSUS_KEY_USED", *twice) == {"change": 1}
    await seats.change(replace(zone, seated[0], seats.newcomer, "a"))
    await seats.pass_edge()
    await seats.change(remove(seats.newcomer))
    await seats.pass_edge()
    for gone in ("a", "seat 0"):
        await seats.refused_change("CONSENSUS_KEY_USED", add(zone, seats.other, gone))
    # Half a key counts: the other half of a new seat is one that validates.
    mixed = offer(zone, seats.other, "b")
    mixed.keys[1].CopyFrom(offer(zone, seats.other, "seat 3").keys[1])
    await seats.refused_change("CONSENSUS_KEY_USED", pb.SeatChange(add=mixed))


async def test_four_to_fifty_seats_remain() -> None:
    seats = await Seats(4).set_up()
    figures = {"seats": 3, "seats_min": 4, "seats_max": 50}
    assert await seats.refused_change("SEATS_OUT_OF_RANGE", remove(seats.seated[0])) == figures
    many = await Seats(50).set_up()
    figures = {"seats": 51, "seats_min": 4, "seats_max": 50}
    assert await many.refused_change("SEATS_OUT_OF_RANGE", add(many.zone, many.newcomer, "a")) == figures
    await many.change(remove(many.seated[0]), add(many.zone, many.newcomer, "a"))


async def test_who_offers_a_key_has_to_have_it(seats: Seats) -> None:
    zone = seats.zone
    for key in range(2):
        for wrong in (
            offer(zone, seats.other, "a").keys[key].possession,
            offer(make_zone({"state_leaves": 7}), seats.newcomer, "a").keys[key].possession,
            offer(zone, seats.newcomer, "b").keys[key].possession,
        ):
            forged = offer(zone, seats.newcomer, "a")
            forged.keys[key].possession = wrong
            message = pb.SeatChange(add=forged)
            assert await seats.refused_change("POSSESSION_UNPROVEN", message) == {"change": 0}
    small = offer(zone, seats.newcomer, "a")
    small.keys[0].public_key = (1).to_bytes(32, "little")
    changes = [remove(seats.seated[0]), pb.SeatChange(add=small)]
    assert await seats.refused_change("INVALID_KEY", *changes) == {"change": 1}
    await seats.change(add(zone, seats.newcomer, "a"))


async def test_an_organization_gives_its_own_seat_other_keys(seats: Seats) -> None:
    zone, acting = seats.zone, seats.zone.organizations[4]
    organization = acting.principal
    await seats.applied(acting, rekey(zone, organization, "a"))
    genesis = seats.members(zone.genesis.validator_set_hash)
    expected = [*genesis[:4], (organization, ed25519("a")), *genesis[5:]]
    assert seats.members(seats.next_hash) == expected
    await seats.refused("SEAT_CHANGE_PENDING", acting, rekey(zone, organization, "b", of=seats.next_hash))
    message = rekey(zone, seats.ana.principal, "b", of=seats.next_hash)
    assert await seats.refused("NOT_SEATED", seats.ana, message) == {}
    forged = rekey(zone, organization, "c", of=seats.next_hash)
    other = zone.organizations[5]
    assert await seats.refused("POSSESSION_UNPROVEN", other, forged) == {}, "keys are offered for one seat"


async def test_who_is_to_lose_its_seat_cannot_hold_on_to_it_by_new_keys(seats: Seats) -> None:
    zone, acting = seats.zone, seats.zone.organizations[4]
    organization = acting.principal
    await seats.applied(acting, rekey(zone, organization, "a"))
    assert await seats.refused_change("SEAT_CHANGE_PENDING", remove(organization)) == {"change": 0}
    await seats.pass_edge()
    # In the epoch in which the new keys are in force first, only the zone's authority can change the seat.
    figures = {"epoch_earliest": 2, "epoch_now": 1}
    again = rekey(zone, organization, "b", of=seats.next_hash)
    assert await seats.refused("REKEYED_LATELY", acting, again) == figures
    await seats.pass_edge()
    await seats.applied(acting, rekey(zone, organization, "b", of=seats.next_hash))
    await seats.pass_edge()
    await seats.change(remove(organization))
    await seats.refused("NOT_SEATED", acting, rekey(zone, organization, "c", of=seats.next_hash))


async def test_a_refused_message_takes_the_others_of_its_transaction_back(seats: Seats) -> None:
    zone = seats.zone
    good = change(zone, remove(seats.seated[0]), of=seats.next_hash)
    await seats.refused("SET_CHANGED", zone.authority, good, good)
    assert seats.leaf.pending == () and seats.next_hash == zone.genesis.validator_set_hash


async def test_duties_are_of_the_seats_of_their_epoch(seats: Seats) -> None:
    zone, seated = seats.zone, seats.seated
    await seats.change(remove(seated[1]), replace(zone, seated[2], seats.newcomer, "a"))
    await seats.ledger.execute(after_ms=EPOCH_MS, view=1_000)
    # Seats 0, 1, 2 and 6 of the old set signed; of them 0 and 6 go on, the latter as seat 5 of six.
    await seats.ledger.execute(view=1_001, signers=[0, 1, 2, 6])
    await seats.ledger.execute(view=1_002, signers=[1, 5], after_ms=EPOCH_MS)
    await seats.ledger.execute(view=1_003)
    duties = seats.ledger.state.records[-1].duties
    of_epoch = {one.organization: one for one in duties.values() if one is not None and one.epoch == 1}
    in_force = [seated[0], seats.newcomer, *seated[3:]]
    assert of_epoch.keys() == set(in_force)
    assert [of_epoch[one].signed for one in in_force] == [1, 1, 0, 0, 0, 2]
    assert [of_epoch[one].proposed for one in in_force] == [
        sum(view % 6 == seat for view in (1_001, 1_002)) for seat in range(6)
    ]
    assert of_epoch[seated[0]] == Duty(seated[0], 1, 2, of_epoch[seated[0]].proposed, 1)


async def test_an_equivocation_is_of_who_held_the_seat_in_its_epoch(seats: Seats) -> None:
    zone = seats.zone
    await seats.change(replace(zone, seats.seated[2], seats.newcomer, "a"))
    await seats.pass_edge()
    await seats.applied(seats.ana, record(evidence(zone, epoch=0)))
    # In the epoch that follows the seat has another key.
    await seats.refused("EQUIVOCATION_UNPROVEN", seats.ana, record(evidence(zone, epoch=1)))
    statements = [notarize(zone, name, epoch=1, key=seat_key("a")) for name in ("one", "other")]
    await seats.applied(seats.ana, record(evidence(zone, statements=statements)))
    recorded = seats.ledger.state.records[-1].equivocations.values()
    assert [one.organization for one in recorded if one] == [seats.seated[2], seats.newcomer]


async def test_a_block_of_other_validators_than_its_parent_names_is_refused(seats: Seats) -> None:
    await seats.change(remove(seats.seated[3]))
    changed, in_force = seats.next_hash, seats.zone.genesis.validator_set_hash
    wrong = [
        {"validator_set_hash": changed, "next_validator_set_hash": changed},
        {"next_validator_set_hash": changed},
    ]
    for changes in wrong:
        with pytest.raises(InvalidArgument) as refusal:
            await seats.ledger.execute(**changes)
        assert refusal.value.reason == "MALFORMED_HEADER"
    await seats.ledger.execute(after_ms=EPOCH_MS)
    with pytest.raises(InvalidArgument) as refusal:
        await seats.ledger.execute(validator_set_hash=in_force, next_validator_set_hash=in_force)
    assert refusal.value.reason == "MALFORMED_HEADER"
    await seats.ledger.execute()
    assert seats.ledger.halts == []


@pytest.mark.parametrize("named", [b"x" * 32, b""])
async def test_an_edge_that_names_other_validators_than_the_state_stops_the_ledger(
    seats: Seats, named: bytes
) -> None:
    await seats.change(remove(seats.seated[3]))
    named = named or seats.zone.genesis.validator_set_hash
    with pytest.raises(Halted):
        await seats.ledger.execute(after_ms=EPOCH_MS, next_validator_set_hash=named)
    assert "names validators" in seats.ledger.halts[0]


async def test_a_certificate_of_a_seat_that_the_set_does_not_have_is_refused(seats: Seats) -> None:
    await seats.change(remove(seats.seated[3]))
    await seats.ledger.execute(after_ms=EPOCH_MS)
    await seats.ledger.execute(signers=[5, 6])
    with pytest.raises(InvalidArgument) as refusal:
        await seats.ledger.execute(signers=[5, 6])
    assert refusal.value.reason == "MALFORMED_CERTIFICATE"
    await seats.ledger.execute(signers=[4, 5])


def parsed(zone: Zone, member: Member, *messages: pb.Message) -> tuple[int, int]:
    read = parse_transaction(zone.transaction(member, *messages), zone.genesis.hash)
    return read.signatures_charged, read.leaves_made_max


def test_a_seat_that_comes_in_is_charged_a_leaf_and_sixteen_signatures(zone: Zone) -> None:
    a, b, member = identifier("a"), identifier("b"), zone.organizations[0]
    assert parsed(zone, member, change(zone, remove(a))) == (1, 0)
    changes = [add(zone, a, "a"), remove(b), replace(zone, b, b, "b")]
    assert parsed(zone, member, change(zone, *changes)) == (33, 2)
    assert parsed(zone, member, rekey(zone, a, "a")) == (17, 1)
    assert parsed(zone, member, rekey(zone, a, "a"), anchor(bytes(32))) == (17, 2)


def keys(zone: Zone, *, but: Sequence[int] = (), **changes: object) -> pb.Message:
    offered = [key for key in offer(zone, identifier("a"), "a").keys if key.suite not in but]
    for name, value in changes.items():
        setattr(offered[0], name, value)
    return pb.Message(rekey_seat=pb.RekeySeat(validator_set_hash=bytes(32), keys=offered))


def test_what_is_no_change_is_malformed(zone: Zone) -> None:
    a, member = identifier("a"), zone.organizations[0]
    good = offer(zone, a, "a")
    swapped = pb.SeatOffer(organization=a, keys=list(good.keys)[::-1])
    wrong = [
        change(zone),
        change(zone, *[remove(a)] * 51),
        change(zone, remove(a), of=bytes(31)),
        change(zone, remove(a), of=b""),
        change(zone, pb.SeatChange()),
        change(zone, remove(b"")),
        change(zone, remove(bytes(15))),
        change(zone, pb.SeatChange(add=pb.SeatOffer())),
        change(zone, pb.SeatChange(add=swapped)),
        change(zone, pb.SeatChange(add=pb.SeatOffer(organization=bytes(17), keys=good.keys))),
        change(zone, pb.SeatChange(replace=pb.ReplaceSeat(organization=a))),
        change(zone, pb.SeatChange(replace=pb.ReplaceSeat(seat=good))),
        pb.Message(rekey_seat=pb.RekeySeat(validator_set_hash=bytes(32))),
        keys(zone, but=[Suite.ED25519]),
        keys(zone, but=[Suite.ML_DSA_65]),
        keys(zone, suite=3),
        keys(zone, public_key=bytes(31)),
        keys(zone, possession=bytes(65)),
        keys(zone, possession=b""),
    ]
    for message in wrong:
        with pytest.raises(Malformed):
            parse_transaction(zone.transaction(member, message), zone.genesis.hash)
    accepted = [change(zone, *[remove(a)] * 50), keys(zone)]
    for message in accepted:
        assert parse_transaction(zone.transaction(member, message), zone.genesis.hash)


async def test_a_block_that_was_executed_is_answered_with_the_set_of_then(seats: Seats) -> None:
    ledger = seats.ledger
    header = ledger.header([])
    before = await ledger.executor.execute(FinalBlock(header, [], b"\x08\x03", ()))
    await seats.change(remove(seats.seated[3]))
    again = await ledger.executor.execute(FinalBlock(header, [], b"\x08\x03", ()))
    assert again.block == before.block
    assert again.block.next_validator_set_hash == seats.zone.genesis.validator_set_hash != seats.next_hash
