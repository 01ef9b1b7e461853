"""Seats and the keys behind them: what tests change validator sets with."""

from __future__ import annotations

from functools import cache

from icn.ledger.v1 import transaction_pb2 as pb
from icn_crypto.possession import prove_possession
from icn_crypto.suites import Suite

from libs.machine.tests.zone import SUITES, Ledger, TestKey, Zone


@cache
def seat_key(name: str) -> TestKey:
    """A consensus key; those of genesis are called ``seat 0`` and so on."""
    return TestKey(name, SUITES)


@cache
def _keys(genesis_hash: bytes, organization: bytes, key: str) -> tuple[pb.OfferedKey, ...]:
    return tuple(
        pb.OfferedKey(
            suite=int(suite),
            public_key=signing.public_key,
            possession=prove_possession(signing, genesis_hash, organization),
        )
        for suite, signing in seat_key(key).signing.items()
    )


def offer(zone: Zone, organization: bytes, key: str) -> pb.SeatOffer:
    """A seat of the organization with a key of that name."""
    return pb.SeatOffer(organization=organization, keys=_keys(zone.genesis.hash, organization, key))


def add(zone: Zone, organization: bytes, key: str) -> pb.SeatChange:
    return pb.SeatChange(add=offer(zone, organization, key))


def remove(organization: bytes) -> pb.SeatChange:
    return pb.SeatChange(remove=organization)


def replace(zone: Zone, leaving: bytes, coming: bytes, key: str) -> pb.SeatChange:
    return pb.SeatChange(replace=pb.ReplaceSeat(organization=leaving, seat=offer(zone, coming, key)))


def change(zone: Zone, *changes: pb.SeatChange, of: bytes | None = None) -> pb.Message:
    """A change of the set with the hash ``of``, else of that of genesis."""
    set_hash = zone.genesis.validator_set_hash if of is None else of
    return pb.Message(change_validators=pb.ChangeValidators(validator_set_hash=set_hash, changes=changes))


def rekey(zone: Zone, organization: bytes, key: str, of: bytes | None = None) -> pb.Message:
    set_hash = zone.genesis.validator_set_hash if of is None else of
    keys = _keys(zone.genesis.hash, organization, key)
    return pb.Message(rekey_seat=pb.RekeySeat(validator_set_hash=set_hash, keys=keys))


def activate_protocol(version: int) -> pb.Message:
    return pb.Message(activate_protocol=pb.ActivateProtocol(protocol_version=version))


def next_hash(ledger: Ledger) -> bytes:
    """Of the set that the newest state names for a later epoch."""
    return ledger.state.newest.next_validator_set_hash


def ed25519(key: str) -> bytes:
    return seat_key(key).public[Suite.ED25519]
