"""A recovery in a real database: whoever has genesis follows the chain across it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import grpc
import pytest
from icn.consensus.v1 import application_pb2 as app
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1 import service_pb2 as pb
from icn_chain.epochs import ProofInvalid
from icn_chain.recovery import RecoveryCertificate, parse_recovery, recovery_digest
from icn_client.light.proof_file import from_response, parse_proof_file
from icn_client.light.verify import verify_proof
from icn_machine.blocks.ports import ExecutedBlock

from libs.machine.tests.recoveries import Prove, new_keys, recovery
from libs.machine.tests.zone import EPOCH_MS
from services.ledger.tests.integration.conftest import Running, refuse
from services.ledger.tests.integration.test_seats import GENESIS_KEYS, finalization


async def executed(running: Running) -> app.ExecutedState:
    return (await running.application.GetInfo(app.GetInfoRequest())).state


async def block(running: Running, keys: Sequence[str], **changes: object) -> None:
    """An empty block that a quorum with these keys makes final."""
    recovered = changes.pop("recovery", b"")
    state = await executed(running)
    parent = (await running.ledger.GetBlock(pb.GetBlockRequest(name=f"blocks/{state.executed_height}"))).block
    fields = BlockHeader.FromString(parent.header)
    epoch = max(fields.epoch, running.zone.genesis.epoch_of(state.time_ms))
    header = await running.header([], **{"epoch": epoch, **changes})
    final = finalization(running.zone, header, keys)
    await running.execute_block(header, finalization=final, recovery=recovered)


async def newest(running: Running) -> ExecutedBlock:
    state = await executed(running)
    found = (await running.ledger.GetBlock(pb.GetBlockRequest(name=f"blocks/{state.executed_height}"))).block
    fields = BlockHeader.FromString(found.header)
    return ExecutedBlock(
        fields.height,
        found.hash,
        found.header,
        fields.time_ms,
        fields.epoch,
        state.state_root,
        state.receipts_root,
        state.log_root,
        False,
        0,
        0,
        b"",
        b"",
    )


async def prover(running: Running) -> Prove:
    """What a running ledger proves of the organizations' controllers."""
    found = {}
    for member in running.zone.organizations:
        name = f"principals/{member.principal.hex()}"
        answer = await running.ledger.GetProof(pb.GetProofRequest(name=name))
        found[member.principal] = (answer.value, answer.state_proof)
    return found.__getitem__


async def recover(running: Running, *, named: str = "") -> RecoveryCertificate:
    """The first block of a recovered epoch."""
    zone = running.zone
    names = [f"{name}{named}" for name in new_keys(zone)]
    certificate = recovery(zone, await newest(running), await prover(running), keys=names)
    await block(
        running,
        names,
        recovery=certificate.data,
        epoch=certificate.epoch,
        validator_set_hash=certificate.validators.hash,
        next_validator_set_hash=certificate.validators.hash,
        finalization_digest=recovery_digest(zone.genesis.hash, certificate.data),
    )
    return certificate


async def test_a_proof_leads_from_genesis_across_recoveries_and_edges(
    start: Callable[..., Awaitable[Running]],
) -> None:
    running = await start()
    genesis = running.zone.genesis
    for _ in range(3):
        await block(running, GENESIS_KEYS)
    before = await executed(running)
    first = await recover(running)
    assert first.state_root == before.state_root
    again = await start(application_address=running.service.addresses[0] + ".2")
    names = new_keys(running.zone)
    await block(again, names)
    # The recovered epoch ends by an edge, and right behind the edge everything is lost once more.
    set_hash = first.validators.hash
    await block(again, names, time_ms=before.time_ms + 3 * EPOCH_MS, next_validator_set_hash=set_hash)
    second = await recover(again, named=" again")
    assert second.epoch > first.epoch + 1
    await block(again, [f"{name} again" for name in names])
    answer = await again.ledger.GetProof(pb.GetProofRequest(name="validators/zone"))
    assert [bool(step.recovery) for step in answer.epochs] == [True, True]
    assert answer.validator_set == second.validators.data
    proof = from_response(answer, genesis.hash, genesis.validator_set)
    assert parse_proof_file(proof.to_bytes()) == proof
    shown = verify_proof(proof, genesis)
    assert (shown.epochs, shown.statement["validator_set_hash"]) == (2, second.validators.hash.hex())
    # A step whose certificate is of another block, or of too few, leads nowhere.
    answer.epochs[1].recovery = answer.epochs[0].recovery
    with pytest.raises(ProofInvalid) as refused:
        verify_proof(from_response(answer, genesis.hash, genesis.validator_set), genesis)
    assert refused.value.reason == "RECOVERY_INVALID"


async def test_a_block_of_a_recovery_is_refused_without_it_and_with_another(running: Running) -> None:
    zone = running.zone
    for _ in range(2):
        await block(running, GENESIS_KEYS)
    certificate = recovery(zone, await newest(running), await prover(running))
    header = await running.header(
        [],
        epoch=certificate.epoch,
        validator_set_hash=certificate.validators.hash,
        next_validator_set_hash=certificate.validators.hash,
        finalization_digest=recovery_digest(zone.genesis.hash, certificate.data),
    )
    assert await refuse(running.execute_block(header), grpc.StatusCode.INVALID_ARGUMENT) == "MALFORMED_HEADER"
    fewer = recovery(zone, await newest(running), await prover(running), signers=zone.organizations[:3])
    few = recovery(zone, await newest(running), await prover(running), signers=zone.organizations[:2])
    asked = running.application.CheckRecovery(app.CheckRecoveryRequest(certificate=few.data))
    assert await refuse(asked, grpc.StatusCode.INVALID_ARGUMENT) == "RECOVERY_QUORUM_NOT_MET"
    await running.application.CheckRecovery(app.CheckRecoveryRequest(certificate=certificate.data))
    call = running.execute_block(header, recovery=fewer.data)
    assert await refuse(call, grpc.StatusCode.INVALID_ARGUMENT) == "RECOVERY_MISMATCH"
    await running.execute_block(header, recovery=certificate.data)
    assert parse_recovery(certificate.data) == certificate
    found = await running.ledger.GetValidators(pb.GetValidatorsRequest())
    assert found.in_force == found.next and found.since_epoch == certificate.epoch
