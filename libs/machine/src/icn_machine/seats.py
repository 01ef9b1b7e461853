"""Who validates: changes of the set that follows the one in force.

A change never touches the set in force. Each makes another next set; the edge of an epoch names one of them,
and the first block behind it puts that one in force.

Source: docs/spec/transaction.md, "Seats" and "Protocol versions";
docs/adr/0026-validator-sets-change-at-an-epoch-s-edge.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from icn_chain.quorum import SEATS_MAX, SEATS_MIN
from icn_chain.validator_set import Validator, ValidatorSet
from icn_crypto.possession import is_possessed
from icn_crypto.suites import InvalidPublicKey, Suite, check_public_key

from icn_machine import refusals
from icn_machine.governed import find_zone
from icn_machine.messages import (
    ActivateProtocol,
    AddSeat,
    ChangeValidators,
    RekeySeat,
    RemoveSeat,
    ReplaceSeat,
    SeatChange,
    SeatOffer,
    Transaction,
)
from icn_machine.posting import BlockContext, Cause, occupy
from icn_machine.records import (
    VALIDATORS_IDENTIFIER,
    ZONE_IDENTIFIER,
    ConsensusKey,
    Validators,
)
from icn_machine.refusals import Figures, Refused
from icn_machine.working_set import WorkingSet

EPOCHS_BETWEEN_REKEYINGS = 2
"""Epochs from the one in which a key was named to the first in which its organization may name another: one
lies between them, in which the zone's authority can change the seat."""
_TOLD_BYTES = 6
"""Of a hash in a figure: the number is exact in every JSON reader."""


def change_validators(working: WorkingSet, acting: bytes, message: ChangeValidators, cause: Cause) -> None:
    """Change the next set, where the acting principal or authority governs the zone.

    Raises:
        Refused: NOT_ZONE_AUTHORITY, or as `_Draft`.
    """
    if find_zone(working).authority != acting:
        raise Refused(refusals.NOT_ZONE_AUTHORITY)
    draft = _Draft(working, message.set_hash)
    for position, change in enumerate(message.changes):
        draft.change(change, (("change", position),))
    draft.put(cause.context, cause.payer)


def rekey_seat(
    working: WorkingSet,
    transaction: Transaction,
    message: RekeySeat,
    context: BlockContext,
    _index: int,
) -> None:
    """Give the acting organization's seat other keys, in its place.

    Raises:
        Refused: NOT_SEATED, SEAT_CHANGE_PENDING, REKEYED_LATELY, or as `_Draft`.
    """
    organization = transaction.principal
    draft = _Draft(working, message.set_hash)
    seat = draft.find(organization, ())
    named = working.now.consensus_keys[seat.public_key]
    assert named is not None, "every key of a set was named"
    earliest = named.epoch + EPOCHS_BETWEEN_REKEYINGS
    if named.height and context.epoch < earliest:
        raise Refused(refusals.REKEYED_LATELY, ("epoch_earliest", earliest), ("epoch_now", context.epoch))
    draft.change(ReplaceSeat(organization, SeatOffer(organization, message.keys)), ())
    draft.put(context, transaction.payer)


def activate_protocol(working: WorkingSet, acting: bytes, message: ActivateProtocol, cause: Cause) -> None:
    """Have the seats of the next set decide by the next version, where the acting one governs the zone.

    What this release knows is not asked: all releases must come to the same state (ADR 0050).

    Raises:
        Refused: NOT_ZONE_AUTHORITY, PROTOCOL_PENDING, PROTOCOL_NOT_NEXT.
    """
    zone = find_zone(working)
    if zone.authority != acting:
        raise Refused(refusals.NOT_ZONE_AUTHORITY)
    before = find_validators(working)
    following = working.validator_sets[before.next_hash]
    in_force, pending = cause.context.protocol_version, following.protocol_version
    if pending != in_force:
        raise Refused(refusals.PROTOCOL_PENDING, ("named", message.version), ("pending", pending))
    if message.version != in_force + 1:
        raise Refused(refusals.PROTOCOL_NOT_NEXT, ("named", message.version), ("in_force", in_force))
    _name_next(working, following.under(message.version), 0, cause.context)


class _Draft:
    """The next set as a message makes it, apart from the state until `put`.

    Raises:
        Refused: SET_CHANGED; NOT_SEATED, SEAT_CHANGE_PENDING, ALREADY_SEATED, ORGANIZATION_UNKNOWN,
            CONSENSUS_KEY_USED; SEATS_OUT_OF_RANGE, SEATS_CHANGED_TOO_MANY; INVALID_KEY, POSSESSION_UNPROVEN.
    """

    def __init__(self, working: WorkingSet, set_hash: bytes) -> None:
        self._working = working
        self._before = find_validators(working)
        if set_hash != self._before.next_hash:
            raise Refused(
                refusals.SET_CHANGED, ("named", _told(set_hash)), ("next", _told(self._before.next_hash))
            )
        self._in_force = working.validator_sets[self._before.set_hash]
        following = working.validator_sets[self._before.next_hash]
        self._version = following.protocol_version
        self._seats = list(following.validators)
        self._keys_used = set(self._in_force.keys_of_every_suite | following.keys_of_every_suite)
        self._offers: list[tuple[SeatOffer, Figures]] = []
        self._changed = self._before.seats_changed

    def find(self, organization: bytes, place: Figures) -> Validator:
        """The organization's seat, which nothing has changed since the set in force."""
        for seat in self._seats:
            if seat.organization == organization:
                if seat not in self._in_force.validators:
                    raise Refused(refusals.SEAT_CHANGE_PENDING, *place)
                return seat
        raise Refused(refusals.NOT_SEATED, *place)

    def change(self, change: SeatChange, place: Figures) -> None:
        """Change one seat; ``place`` are the figures that say which change it is."""
        match change:
            case AddSeat():
                self._check_unseated(change.seat.organization, place)
                self._seats.append(self._come(change.seat, place))
            case RemoveSeat():
                self._seats.remove(self.find(change.organization, place))
            case ReplaceSeat():
                leaving = self.find(change.organization, place)
                if change.seat.organization != change.organization:
                    self._check_unseated(change.seat.organization, place)
                self._seats[self._seats.index(leaving)] = self._come(change.seat, place)
        self._changed += 1

    def put(self, context: BlockContext, payer: bytes) -> None:
        """Check what all changes make, the signatures last, which cost most; then make it the next set."""
        seats, changed_max = len(self._seats), self._in_force.faults_max
        if not SEATS_MIN <= seats <= SEATS_MAX:
            raise Refused(
                refusals.SEATS_OUT_OF_RANGE,
                ("seats", seats),
                ("seats_min", SEATS_MIN),
                ("seats_max", SEATS_MAX),
            )
        if self._changed > changed_max:
            raise Refused(
                refusals.SEATS_CHANGED_TOO_MANY,
                ("seats_changed", self._changed),
                ("seats_changed_max", changed_max),
            )
        for offer, place in self._offers:
            _check_keys(offer, context.zone.genesis_hash, place)
        working, now = self._working, self._working.now
        following = ValidatorSet.of(self._seats, self._version)
        _name_next(working, following, self._changed - self._before.seats_changed, context)
        for offer, _ in self._offers:
            named = ConsensusKey(offer.organization, context.height, context.epoch)
            working.put(now.consensus_keys, ed25519_key(offer), named)
        if self._offers:
            occupy(working, payer, len(self._offers))

    def _check_unseated(self, organization: bytes, place: Figures) -> None:
        """An organization that comes in has no seat, nor one in force that is going."""
        if any(seat.organization == organization for seat in self._seats):
            raise Refused(refusals.ALREADY_SEATED, *place)
        if organization in self._in_force.organizations:
            raise Refused(refusals.SEAT_CHANGE_PENDING, *place)

    def _come(self, offer: SeatOffer, place: Figures) -> Validator:
        now = self._working.now
        if now.allowances[offer.organization] is None:
            raise Refused(refusals.ORGANIZATION_UNKNOWN, *place)
        public_keys = {key.public_key for key in offer.keys}
        if now.consensus_keys[ed25519_key(offer)] is not None or public_keys & self._keys_used:
            raise Refused(refusals.CONSENSUS_KEY_USED, *place)
        self._keys_used |= public_keys
        self._offers.append((offer, place))
        return Validator(offer.organization, tuple((key.suite, key.public_key) for key in offer.keys))


def _name_next(working: WorkingSet, following: ValidatorSet, changed: int, context: BlockContext) -> None:
    """Make it the next set, in which so many seats differ from the one that was next."""
    now = working.now
    working.validator_sets[following.hash] = following
    validators = find_validators(working).change(following.hash, context.height, changed)
    working.put(now.validators, VALIDATORS_IDENTIFIER, validators)
    zone = find_zone(working)._replace(
        protocol_version=following.protocol_version, validator_set_hash=following.hash
    )
    working.put(now.zones, ZONE_IDENTIFIER, zone)


def find_validators(working: WorkingSet) -> Validators:
    """What the state says of validator sets."""
    validators = working.now.validators[VALIDATORS_IDENTIFIER]
    assert validators is not None, "the leaf is there from genesis on"
    return validators


def ed25519_key(offer: SeatOffer | RekeySeat) -> bytes:
    """The key that an offer is remembered by."""
    return next(key.public_key for key in offer.keys if key.suite == Suite.ED25519)


def keys_named(messages: Iterable[ChangeValidators | RekeySeat]) -> set[bytes]:
    """The Ed25519 keys that messages offer."""
    found: set[bytes] = set()
    for message in messages:
        found.update(map(ed25519_key, message.offers if isinstance(message, ChangeValidators) else [message]))
    return found


def _check_keys(offer: SeatOffer, genesis_hash: bytes, place: Figures) -> None:
    for key in offer.keys:
        try:
            check_public_key(key.suite, key.public_key)
        except InvalidPublicKey:
            raise Refused(refusals.INVALID_KEY, *place) from None
    for key in offer.keys:
        if not is_possessed(key.suite, key.public_key, key.possession, genesis_hash, offer.organization):
            raise Refused(refusals.POSSESSION_UNPROVEN, *place)


def _told(set_hash: bytes) -> int:
    return int.from_bytes(set_hash[:_TOLD_BYTES], "big")
