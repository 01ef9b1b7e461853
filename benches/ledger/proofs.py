"""A proof of a balance at 131,072 accounts: its bytes, and the CPU time of verifying it.

The proof is the leaf, the path to the state root, the header that names the root and the finalization of that
header, by all four seats. In binary every part is its canonical bytes, hashes are 32 bytes and absent ones
none, with two bytes for each part's length or place. What `icn proof fetch` writes is JSON, told apart.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from icn.consensus.v1.block_pb2 import VOTE_KIND_FINALIZE
from icn_chain.epochs import Handover
from icn_client.light.proof_file import ProofFile, parse_proof_file
from icn_client.light.verify import verify_proof
from icn_crypto.state_proof import Proof
from icn_crypto.state_tree import EMPTY, StateTree, state_key
from icn_machine.leaves import encode_leaf
from icn_machine.records import Namespace
from icn_sim.memory_state import MemoryState

from benches.ledger.chain import FLOOR_MINOR, first_commit, make_parties
from benches.ledger.worker import Figures, Measure
from libs.machine.tests.certificates import certificate
from libs.machine.tests.zone import ledger_over, make_zone

ACCOUNTS: Final = 131_072
SEATS: Final = 4
VERIFICATIONS: Final = 50
PART_BYTES: Final = 2


@asynccontextmanager
async def measuring() -> AsyncIterator[Measure]:
    """Figures of a proof of one account."""
    zone = make_zone()
    parties = make_parties(zone, ACCOUNTS)
    first = first_commit(zone, parties)
    account = parties[0].account
    record = first.changes.accounts[account]
    assert record is not None, "it is there"
    # As after a long history, every number far from zero.
    used = record._replace(
        balance_minor=FLOOR_MINOR, given_minor=-FLOOR_MINOR, entries=1_000_000, entries_hash=b"\x01" * 32
    )
    value, key = encode_leaf(Namespace.ACCOUNT, used), state_key(Namespace.ACCOUNT, account)
    update = StateTree(first.pages).update({key: value})
    header = ledger_over(MemoryState(first), zone, None).header((), state_root=update.root)
    finalization = certificate(zone, VOTE_KIND_FINALIZE, header, range(SEATS))
    proof = ProofFile(
        genesis=zone.genesis.hash,
        namespace=int(Namespace.ACCOUNT),
        identifier=account,
        value=value,
        state_proof=StateTree({**first.pages, **update.pages}).prove(key),
        header=header,
        descendant_headers=(),
        finalization=finalization,
        epochs=(),
    )
    kept = Handover(header, (), finalization, b"", b"")
    changed = Handover(header, (), finalization, zone.genesis.validator_set, b"")
    content = proof.to_bytes()

    async def measure() -> Figures:
        started = time.process_time()
        for _ in range(VERIFICATIONS):
            verify_proof(parse_proof_file(content), zone.genesis)
        seconds = time.process_time() - started
        return {
            "verify_ms": seconds / VERIFICATIONS * 1e3,
            "bytes": proof_bytes(proof),
            "json_bytes": len(content),
            "step_bytes": step_bytes(kept),
            "changed_set_bytes": step_bytes(changed),
        }

    yield measure


def proof_bytes(proof: ProofFile) -> int:
    """Bytes of a proof without epochs, in binary."""
    parts = (proof.genesis, proof.identifier, proof.value, proof.header, proof.finalization)
    return PART_BYTES + sum(PART_BYTES + len(part) for part in parts) + path_bytes(proof.state_proof)


def path_bytes(path: Proof) -> int:
    """Bytes of a path in binary."""
    return PART_BYTES + sum(
        PART_BYTES + (0 if sibling == EMPTY else len(sibling)) for sibling in path.siblings
    )


def step_bytes(step: Handover) -> int:
    """Bytes of what an epoch left behind adds to a proof, in binary."""
    return sum(
        PART_BYTES + len(part) for part in (step.edge_header, step.finalization, step.next_validator_set)
    )
