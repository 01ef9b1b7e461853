"""The light client: decides what a proof shows, believing nothing but a genesis file or a checkpoint.

Pure: no network, no files, no clock of its own. Source: docs/spec/proof.md, docs/spec/block.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Final

from icn.ledger.v1.state_pb2 import AccountLeaf
from icn_chain.checkpoint import Checkpoint, CheckpointMalformed, parse_checkpoint
from icn_chain.epochs import (
    EpochSet,
    Handover,
    ProofInvalid,
    certain_blocks,
    check_finalization,
    first_set,
    read_chain,
    read_header,
    walk,
)
from icn_chain.header import BlockHeader
from icn_crypto.merkle_log import InvalidPath, inclusion_root, leaf_hash
from icn_crypto.state_proof import verify_absence, verify_inclusion
from icn_crypto.state_tree import state_key
from icn_kit.genesis import Genesis
from icn_machine.entries import EntryChain
from icn_machine.receipts import chain_receipts

from icn_client.light.entry_proof import EntryProof, describe_entry
from icn_client.light.final_header import FinalHeader, ProofMalformed
from icn_client.light.leaves import read_statement
from icn_client.light.proof_file import ProofFile, ShownLeaf
from icn_client.light.proofs import Proof, parse_proof
from icn_client.light.receipt_proof import ReceiptProof, read_receipt

TRUSTING_PERIOD_MS: Final = 90 * 86_400_000
"""How old a checkpoint may be: keys of seats that were given up since may have been stolen. Ninety days."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a valid proof shows."""

    statement: Mapping[str, Any]
    height: int
    """The statement is true of the state after this height; a receipt is one of this block's."""
    time_ms: int
    """Block time of the header that names the state."""
    state_root: bytes
    epochs: int
    """Steps walked from where trust begins."""
    newest: BlockHeader | None
    """The last header of the epoch that is certainly a block of the chain; None where none is."""
    sets: tuple[EpochSet, ...]
    """The validators of each epoch walked, the last one's of the finalized header's."""


def verify_proof(proof: Proof, genesis: Genesis, checkpoint: Checkpoint | None = None) -> Shown:
    """Judge a proof by docs/spec/proof.md, "Verification", from genesis or a checkpoint that is believed.

    Raises:
        ProofInvalid: the first rule that fails.
    """
    if isinstance(proof, EntryProof):
        shown = verify_proof(proof.account_proof, genesis, checkpoint)
        return replace(shown, statement=_entry(proof, genesis))
    if proof.genesis != genesis.hash:
        raise ProofInvalid(
            "WRONG_ZONE", f"the proof is of zone {proof.genesis.hex()}, not of {genesis.hash.hex()}"
        )
    start, steps = _begin(proof, genesis, checkpoint)
    sets = walk(start, steps, genesis)
    trusted = sets[-1]
    chain = read_chain(genesis.hash, proof.header, proof.descendant_headers, "HEADER_CHAIN_INVALID")
    last = chain[-1]
    if last.epoch != trusted.epoch or last.validator_set_hash != trusted.validators.hash:
        raise ProofInvalid(
            "HEADER_CHAIN_INVALID",
            f"the finalized header is of epoch {last.epoch} or another set, not of {trusted.epoch}",
        )
    check_finalization(proof.finalization, last, trusted, genesis.hash)
    header = chain[0]
    if header.executed_height >= header.height:
        raise ProofInvalid(
            "HEADER_CHAIN_INVALID",
            f"header {header.height} cannot name the state after height {header.executed_height}",
        )
    if isinstance(proof, ReceiptProof):
        statement, later = _receipt(proof, header), len(proof.later_roots)
    else:
        statement, later = _leaf(proof, header), 0
    return Shown(
        statement=statement,
        height=header.executed_height - later,
        time_ms=header.time_ms,
        state_root=header.state_root,
        epochs=len(steps),
        newest=next(
            (one for one in reversed(certain_blocks(chain, genesis)) if one.epoch == last.epoch), None
        ),
        sets=sets,
    )


def _leaf(proof: ProofFile, header: BlockHeader) -> dict[str, Any]:
    """What a leaf under the header's state root says."""
    statement = read_statement(proof.namespace, proof.identifier, proof.value)
    check_leaf(proof.leaf, header.state_root)
    key = state_key(proof.namespace, proof.identifier)
    for neighbour in proof.neighbours:
        check_leaf(neighbour, header.state_root)
    beside = [state_key(neighbour.namespace, neighbour.identifier) for neighbour in proof.neighbours]
    if len(beside) == 2 and not beside[0] < key < beside[1]:
        raise ProofInvalid("NEIGHBOUR_INVALID", "the neighbours do not lie on both sides of the absent leaf")
    return statement


def check_leaf(leaf: ShownLeaf, state_root: bytes) -> None:
    """That a leaf, or its absence, is under a root. Raises ProofInvalid (STATE_PROOF_INVALID)."""
    key = state_key(leaf.namespace, leaf.identifier)
    holds = (
        verify_inclusion(state_root, key, leaf.value, leaf.state_proof)
        if leaf.value
        else verify_absence(state_root, key, leaf.state_proof)
    )
    if not holds:
        raise ProofInvalid(
            "STATE_PROOF_INVALID", "the state proof does not lead to the state root of the header"
        )


def _receipt(proof: ReceiptProof, header: BlockHeader) -> dict[str, Any]:
    """What a receipt under the header's receipts root says."""
    statement = read_receipt(proof.receipt)
    try:
        own = inclusion_root(
            leaf_index=proof.index, size=proof.size, leaf=leaf_hash(proof.receipt), proof=proof.path
        )
    except InvalidPath as fault:
        raise ProofInvalid(
            "RECEIPT_PROOF_INVALID", f"the receipt is under no root of its block: {fault}"
        ) from fault
    if reduce(chain_receipts, (own, *proof.later_roots), proof.before) != header.receipts_root:
        raise ProofInvalid(
            "RECEIPT_PROOF_INVALID", "receipt and roots do not lead to the receipts root of the header"
        )
    return statement


def _entry(proof: EntryProof, genesis: Genesis) -> dict[str, Any]:
    """What an entry says whose chain ends in a leaf that was shown."""
    account = AccountLeaf.FromString(proof.account_proof.value)
    chain, end = EntryChain(genesis.hash), proof.before
    for entry in proof.entries:
        end = chain.extend(end, entry)
    if end != account.entries_hash:
        raise ProofInvalid(
            "ENTRY_CHAIN_INVALID",
            f"the {len(proof.entries)} entries do not end in the account's leaf, which has {account.entries}",
        )
    return describe_entry(proof.entries[0], account)


def checkpoint_of(shown: Shown, genesis: Genesis) -> Checkpoint:
    """What who has checked a proof may begin with next time.

    Raises:
        ProofInvalid: CHECKPOINT_UNCERTAIN.
    """
    newest, trusted = shown.newest, shown.sets[-1]
    if newest is None:
        raise ProofInvalid(
            "CHECKPOINT_UNCERTAIN",
            f"the proof's blocks end epoch {trusted.epoch}, and may be beside the chain: fetch it again",
        )
    return Checkpoint(
        genesis.hash, trusted.epoch, newest.height, newest.hash, newest.time_ms, trusted.validators.data
    )


def verdict(
    content: bytes,
    genesis: Genesis,
    now_ms: int,
    *,
    checkpoint: bytes | None = None,
    trusting_period_ms: int = TRUSTING_PERIOD_MS,
) -> dict[str, Any]:
    """The answer of ``icn proof verify`` for a file's bytes: never raises on what the files hold.

    Args:
        content: of the proof file.
        genesis: of the zone.
        now_ms: of the verifier's clock, unix milliseconds.
        checkpoint: content of a checkpoint file that is believed; the walk begins at genesis without.
        trusting_period_ms: how old the checkpoint may be.
    """
    answer: dict[str, Any] = {
        "valid": False,
        "statement": None,
        "height": None,
        "trust": "genesis" if checkpoint is None else "checkpoint",
        "profile": str(genesis.trust_profile),
        "age_seconds": None,
        "epochs": None,
    }
    try:
        start = None if checkpoint is None else parse_checkpoint(checkpoint)
        if start is not None:
            _check_age(start, now_ms, trusting_period_ms)
        shown = verify_proof(parse_proof(content), genesis, start)
    except (ProofMalformed, CheckpointMalformed, ProofInvalid) as error:
        return answer | {"reason": error.reason, "message": str(error)}
    return answer | {
        "valid": True,
        "statement": dict(shown.statement),
        "height": shown.height,
        "age_seconds": max(0, now_ms - shown.time_ms) // 1000,
        "epochs": shown.epochs,
    }


def _begin(
    proof: FinalHeader, genesis: Genesis, checkpoint: Checkpoint | None
) -> tuple[EpochSet, tuple[Handover, ...]]:
    """Where the walk begins, and the proof's steps from there on."""
    if checkpoint is None:
        return first_set(genesis.validator_set), proof.epochs
    if checkpoint.genesis != genesis.hash:
        raise ProofInvalid(
            "WRONG_ZONE",
            f"the checkpoint is of zone {checkpoint.genesis.hex()}, not of {genesis.hash.hex()}",
        )
    edges = [read_header(genesis.hash, step.edge_header) for step in proof.epochs]
    chain = read_chain(genesis.hash, proof.header, proof.descendant_headers, "HEADER_CHAIN_INVALID")
    known = [*edges, *certain_blocks(chain, genesis)]
    if any(one.height == checkpoint.height and one.hash != checkpoint.block_hash for one in known):
        raise _conflict(f"block {checkpoint.height} of the proof is another than the checkpoint's")
    for edge in edges:
        if edge.epoch == checkpoint.epoch and edge.height < checkpoint.height:
            raise _conflict(
                f"the proof leaves epoch {edge.epoch} after block {edge.height}, the checkpoint is its block "
                f"{checkpoint.height}"
            )
    newest = chain[-1].epoch
    if newest < checkpoint.epoch:
        raise ProofInvalid(
            "CHECKPOINT_LATER",
            f"the proof is of epoch {newest}, the checkpoint of {checkpoint.epoch}: check it from genesis",
        )
    steps = tuple(
        step for step, edge in zip(proof.epochs, edges, strict=True) if edge.epoch >= checkpoint.epoch
    )
    return EpochSet(checkpoint.epoch, checkpoint.validators), steps


def _conflict(found: str) -> ProofInvalid:
    return ProofInvalid("CHECKPOINT_CONFLICT", f"{found}: the chain was forked, or its end was given up")


def _check_age(checkpoint: Checkpoint, now_ms: int, trusting_period_ms: int) -> None:
    age_ms = now_ms - checkpoint.time_ms
    if age_ms > trusting_period_ms:
        raise ProofInvalid(
            "CHECKPOINT_EXPIRED",
            f"the checkpoint is {age_ms // 86_400_000} days old, it is believed for "
            f"{trusting_period_ms // 86_400_000}",
        )
