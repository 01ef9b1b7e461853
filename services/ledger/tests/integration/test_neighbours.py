"""An absence with the leaves beside it, as verifiers of another form need it."""

from __future__ import annotations

import asyncio
import json

import grpc
import pytest
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1 import service_pb2 as pb
from icn_client.light.exporting import NotExportable, to_ics23
from icn_client.light.proof_file import ProofFile, from_response
from icn_crypto.proof_files import verify_proof
from icn_crypto.state_tree import state_key
from icn_ledger.store.queries import LedgerQueries
from icn_ledger.usecases.get_proof import Wanted

from libs.machine.tests.zone import identifier
from services.ledger.tests.integration.conftest import ANA, Running, refuse


async def fetch(running: Running, name: str, *, with_neighbours: bool = True) -> ProofFile:
    genesis = running.zone.genesis
    request = pb.GetProofRequest(name=name, with_neighbours=with_neighbours)
    return from_response(await running.ledger.GetProof(request), genesis.hash, genesis.validator_set)


async def leaves(running: Running, height: int) -> list[bytes]:
    """Every state key after a height, ascending."""
    stream = running.ledger.StreamLeaves(pb.StreamLeavesRequest(height=height))
    return [state_key(leaf.namespace, leaf.identifier) async for part in stream for leaf in part.leaves]


async def test_an_absence_is_exported_with_the_leaves_beside_it_in_the_state_that_is_proven(
    running: Running,
) -> None:
    await running.fill()
    known = await leaves(running, 5)
    ends = 0
    for number in range(40):
        proof = await fetch(running, f"accounts/{identifier(f'nobody {number}').hex()}")
        assert BlockHeader.FromString(proof.header).executed_height == 5
        key = state_key(proof.namespace, proof.identifier)
        beside = [state_key(one.namespace, one.identifier) for one in proof.neighbours]
        assert beside == [
            *[other for other in known if other < key][-1:],
            *[other for other in known if other > key][:1],
        ]
        ends += len(beside) == 1
        form = json.loads(to_ics23(proof))
        assert (form["spec"], form["value"]) == ("icn", "")
        assert verify_proof("ics23", form) == {"valid": True, "reason": ""}
        assert verify_proof("ics23", {**form, "spec": "smt"})["valid"] is True
    assert ends, "some lie before the first leaf or behind the last"


async def test_what_is_there_has_no_neighbours_and_is_exported_alone(running: Running) -> None:
    await running.fill()
    proof = await fetch(running, f"accounts/{ANA.hex()}")
    assert not proof.neighbours
    form = json.loads(to_ics23(proof))
    assert form["value"] == proof.value.hex()
    assert verify_proof("ics23", form) == {"valid": True, "reason": ""}
    assert verify_proof("ics23", {**form, "value": ""})["valid"] is False


async def test_an_absence_without_them_is_not_exported(running: Running) -> None:
    await running.fill()
    proof = await fetch(running, f"accounts/{identifier('nobody').hex()}", with_neighbours=False)
    assert not proof.neighbours
    with pytest.raises(NotExportable) as refused:
        to_ics23(proof)
    assert refused.value.reason == "NEIGHBOURS_MISSING"


async def test_one_call_looks_for_neighbours_at_a_time_and_others_need_not_wait(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await running.fill()
    looking, may_end = asyncio.Event(), asyncio.Event()
    original = LedgerQueries.proof_material

    async def slow(self: LedgerQueries, wanted: Wanted, *place: int) -> object:
        if wanted.with_neighbours:
            looking.set()
            await may_end.wait()
        return await original(self, wanted, *place)

    monkeypatch.setattr(LedgerQueries, "proof_material", slow)
    absent = f"accounts/{identifier('nobody').hex()}"
    first = asyncio.create_task(fetch(running, absent))
    await looking.wait()
    call = running.ledger.GetProof(pb.GetProofRequest(name=absent, with_neighbours=True))
    assert await refuse(call, grpc.StatusCode.RESOURCE_EXHAUSTED) == "NEIGHBOURS_BUSY"
    assert not (await fetch(running, absent, with_neighbours=False)).neighbours
    may_end.set()
    assert (await first).neighbours
