"""Validator sets in a real database: an epoch ends, other seats begin, and whoever has genesis can follow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import grpc
import psycopg
import pytest
from icn.consensus.v1 import application_pb2 as app
from icn.consensus.v1.block_pb2 import (
    VOTE_KIND_FINALIZE,
    BlockHeader,
    Certificate,
    SeatSignature,
    ValidatorSet,
)
from icn.ledger.v1 import service_pb2 as pb
from icn.ledger.v1.state_pb2 import ConsensusKeyLeaf, ValidatorsLeaf
from icn_chain.certificate import vote_body
from icn_client.light.proof_file import from_response
from icn_client.light.verify import verify_proof
from icn_crypto import tags
from icn_crypto.hashing import NO_GENESIS, domain_hash, preimage
from icn_crypto.suites import Suite
from icn_ledger.store.state import WrongGenesis

from libs.machine.tests.equivocations import evidence, notarize, record
from libs.machine.tests.seats import change, ed25519, rekey, replace, seat_key
from libs.machine.tests.zone import EPOCH_MS, PLENTY, Zone, identifier, open_controller, set_allowance
from services.ledger.tests.integration.conftest import Query, Running, refuse

NEWCOMER = identifier("newcomer")
GENESIS_KEYS = ["seat 0", "seat 1", "seat 2", "seat 3"]
CHANGED_KEYS = ["seat 0", "seat 1", "key of the newcomer", "seat 3"]


def finalization(zone: Zone, header: bytes, keys: Sequence[str]) -> bytes:
    """Of the header, by the first three of the seats with these keys."""
    fields = BlockHeader.FromString(header)
    block_hash = domain_hash(tags.BLOCK, zone.genesis.hash, header)
    body = vote_body(1, fields.epoch, fields.view, fields.height, block_hash)
    signed = preimage(tags.FINALIZE, zone.genesis.hash, body)
    return Certificate(
        kind=VOTE_KIND_FINALIZE,
        protocol_version=1,
        epoch=fields.epoch,
        view=fields.view,
        height=fields.height,
        block_hash=block_hash,
        scheme=1,
        signatures=[
            SeatSignature(seat=seat, signature=seat_key(name).signing[Suite.ED25519].sign(signed))
            for seat, name in enumerate(keys[:3])
        ],
    ).SerializeToString(deterministic=True)


async def block(running: Running, *transactions: bytes, keys: Sequence[str], edge: bool = False) -> None:
    """A block that a quorum with these keys makes final."""
    state = (await running.application.GetInfo(app.GetInfoRequest())).state
    header = await running.header(list(transactions), time_ms=state.time_ms + (EPOCH_MS if edge else 1_000))
    final = finalization(running.zone, header, keys)
    await running.execute_block(header, *transactions, finalization=final)


async def next_set(running: Running) -> bytes:
    info = await running.application.GetInfo(app.GetInfoRequest())
    return bytes(info.state.next_validator_set)


def hash_of(validator_set: bytes) -> bytes:
    return domain_hash(tags.VALIDATOR_SET, NO_GENESIS, validator_set)


async def begin(running: Running) -> bytes:
    """The newcomer gets an allowance, then, by the returned transaction, the seat of the third co-op."""
    zone, shop = running.zone, running.zone.organizations[0]
    await block(
        running,
        zone.transaction(shop, open_controller(zone.member("newcomer", shop))),
        zone.transaction(zone.authority, set_allowance(NEWCOMER, **PLENTY)),
        keys=GENESIS_KEYS,
    )
    third = zone.organizations[2].principal
    changing = zone.transaction(zone.authority, change(zone, replace(zone, third, NEWCOMER, CHANGED_KEYS[2])))
    await block(running, changing, keys=GENESIS_KEYS)
    return changing


async def proven(running: Running, name: str) -> tuple[dict[str, object], int]:
    """What a proof shows to who has nothing but genesis, and the epochs walked."""
    genesis = running.zone.genesis
    response = await running.ledger.GetProof(pb.GetProofRequest(name=name))
    shown = verify_proof(from_response(response, genesis.hash, genesis.validator_set), genesis)
    return dict(shown.statement), shown.epochs


async def test_a_proof_leads_from_genesis_over_an_epoch_whose_seats_changed(
    start: Callable[..., Awaitable[Running]],
) -> None:
    running = await start()
    genesis = running.zone.genesis
    await begin(running)
    changed = await next_set(running)
    assert [seat.organization for seat in ValidatorSet.FromString(changed).validators][2] == NEWCOMER
    await block(running, keys=GENESIS_KEYS, edge=True)
    said, epochs = await proven(running, "validators/zone")
    assert (said["validator_set_hash"], epochs) == (genesis.validator_set_hash.hex(), 0)
    assert said["next_validator_set_hash"] == hash_of(changed).hex()
    for _ in range(2):
        await block(running, keys=CHANGED_KEYS)
    said, epochs = await proven(running, "validators/zone")
    assert (said["validator_set_hash"], said["since_epoch"], epochs) == (hash_of(changed).hex(), "1", 1)
    answer = await running.ledger.GetProof(pb.GetProofRequest(name="validators/zone"))
    assert answer.validator_set == changed, "it signed the finalization"
    assert [step.next_validator_set for step in answer.epochs] == [changed]
    # The next edge keeps the seats; a restart in between changes nothing.
    again = await start(application_address=running.service.addresses[0] + ".2")
    assert await next_set(again) == changed
    await block(again, keys=CHANGED_KEYS, edge=True)
    for _ in range(2):
        await block(again, keys=CHANGED_KEYS)
    name = f"consensus-keys/{ed25519(CHANGED_KEYS[2]).hex()}"
    said, epochs = await proven(again, name)
    assert (said["kind"], said["organization"], epochs) == ("consensus_key", NEWCOMER.hex(), 2)
    answer = await again.ledger.GetProof(pb.GetProofRequest(name=name))
    assert [step.next_validator_set for step in answer.epochs] == [changed, b""]
    assert ConsensusKeyLeaf.FromString(answer.value).height == 2


async def test_who_validates_and_who_will_is_told(running: Running) -> None:
    zone = running.zone
    first = await running.ledger.GetValidators(pb.GetValidatorsRequest())
    assert first.in_force == first.next and first.in_force.hash == zone.genesis.validator_set_hash
    assert (first.since_epoch, first.change_height, first.seats_changed, first.seats_changed_max) == (
        (0, 0, 0, 1)
    )
    await begin(running)
    found = await running.ledger.GetValidators(pb.GetValidatorsRequest())
    assert found.in_force == first.in_force
    assert (found.change_height, found.seats_changed, found.epoch, found.height) == (2, 1, 0, 2)
    assert found.next.hash == hash_of(await next_set(running))
    third = found.next.seats[2]
    assert third.organization == NEWCOMER
    assert {key.suite: key.public_key for key in third.public_keys} == seat_key(CHANGED_KEYS[2]).public
    await block(running, keys=GENESIS_KEYS, edge=True)
    await block(running, keys=CHANGED_KEYS)
    later = await running.ledger.GetValidators(pb.GetValidatorsRequest())
    assert later.in_force == later.next == found.next
    assert (later.since_epoch, later.epoch, later.seats_changed) == (1, 1, 0)


async def test_a_later_block_is_of_the_seats_that_the_edge_named(running: Running) -> None:
    zone = running.zone
    await begin(running)
    await block(running, keys=GENESIS_KEYS, edge=True)
    own = zone.genesis.validator_set_hash
    header = await running.header([], validator_set_hash=own, next_validator_set_hash=own)
    call = running.execute_block(header)
    assert await refuse(call, grpc.StatusCode.INVALID_ARGUMENT) == "MALFORMED_HEADER"
    await block(running, keys=CHANGED_KEYS)


async def test_an_equivocation_is_held_against_the_seats_of_its_epoch(running: Running) -> None:
    zone, shop = running.zone, running.zone.organizations[0]
    await begin(running)
    await block(running, keys=GENESIS_KEYS, edge=True)
    await block(running, keys=CHANGED_KEYS)
    statements = [notarize(zone, name, epoch=1, key=seat_key(CHANGED_KEYS[2])) for name in ("one", "other")]
    await block(
        running,
        zone.transaction(shop, record(evidence(zone, epoch=0))),
        zone.transaction(shop, record(evidence(zone, statements=statements))),
        keys=CHANGED_KEYS,
    )
    answer = await running.ledger.ListEquivocations(pb.ListEquivocationsRequest())
    assert [one.organization for one in answer.equivocations] == [zone.organizations[2].principal, NEWCOMER]


async def test_sets_are_kept_for_ever_and_an_executed_height_is_answered_with_the_set_of_then(
    running: Running, query: Query
) -> None:
    zone = running.zone
    acting = zone.organizations[1]
    changing = await begin(running)
    changed = await next_set(running)
    await block(running, keys=GENESIS_KEYS, edge=True)
    await block(
        running,
        zone.transaction(acting, rekey(zone, acting.principal, "rekeyed", of=hash_of(changed))),
        keys=CHANGED_KEYS,
    )
    rekeyed = await next_set(running)
    kept = {row[0]: row[1] for row in query("SELECT hash, data FROM validator_sets")}
    assert set(kept.values()) == {zone.genesis.validator_set, changed, rekeyed}
    assert all(hash_of(data) == set_hash for set_hash, data in kept.items())
    ((header,),) = query("SELECT header FROM blocks WHERE height = 2")
    answer = await running.execute_block(header, changing)
    assert answer.state.next_validator_set == changed
    leaf = query("SELECT value FROM leaves WHERE namespace = 19")
    assert ValidatorsLeaf.FromString(leaf[0][0]).next_validator_set_hash == hash_of(rekeyed)


async def test_a_chain_that_another_release_began_is_refused(
    start: Callable[..., Awaitable[Running]], dsn: str, tmp_path: Path
) -> None:
    await start()
    with psycopg.connect(dsn, autocommit=True, options="-c search_path=ledger") as connection:
        connection.execute("UPDATE blocks SET hash = 'another' WHERE height = 0")
    with pytest.raises(WrongGenesis, match="other rules"):
        await start(application_address=f"unix:{tmp_path}/second.sock")


async def test_a_set_is_told_by_its_hash_once_a_state_has_named_it(
    start: Callable[..., Awaitable[Running]],
) -> None:
    running = await start()
    genesis = running.zone.genesis

    async def told(set_hash: bytes) -> bytes:
        answer = await running.application.GetValidatorSet(app.GetValidatorSetRequest(hash=set_hash))
        return bytes(answer.validator_set)

    await begin(running)
    changed = await next_set(running)
    assert await told(hash_of(changed)) == changed
    assert await told(genesis.validator_set_hash) == genesis.validator_set
    for set_hash, code in ((bytes(32), grpc.StatusCode.NOT_FOUND), (b"x", grpc.StatusCode.INVALID_ARGUMENT)):
        with pytest.raises(grpc.RpcError) as refusal:
            await told(set_hash)
        assert refusal.value.code() == code
