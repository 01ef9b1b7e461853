"""Proofs of leaves for verifiers of another form. Source: docs/spec/proof.md, "ICS-23"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from icn_chain.epochs import ProofInvalid, read_header
from icn_crypto import ics23, jcs
from icn_crypto.state_ics23 import LeafWithProof, absence, existence, ics23_key
from icn_crypto.state_tree import state_key

from icn_client.light.proof_file import ProofFile, ShownLeaf
from icn_client.light.proofs import Proof

SPEC: Final = "icn"


class NotExportable(ValueError):
    """The proof cannot be told in the other form; ``reason`` is stable."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def to_ics23(proof: Proof) -> bytes:
    """What ``icn ledger verify-proof --kind ics23`` reads; it is checked, the header's finality is not.

    Raises:
        NotExportable: NOT_OF_A_LEAF; NEIGHBOURS_MISSING: an absence without the leaves beside it;
            STATE_PROOF_INVALID: the path does not lead to the root that the header names; PROOF_MALFORMED.
    """
    if not isinstance(proof, ProofFile):
        raise NotExportable("NOT_OF_A_LEAF", "only proofs of leaves have a path to the state root")
    if not proof.value and not proof.neighbours:
        raise NotExportable(
            "NEIGHBOURS_MISSING",
            "ICS-23 shows an absence by the leaves beside it: fetch it with --neighbours",
        )
    try:
        root = read_header(proof.genesis, proof.header).state_root
    except ProofInvalid as error:
        raise NotExportable(error.reason, str(error)) from error
    made = existence(_leaf(proof.leaf)) if proof.value else _absence(proof)
    key = ics23_key(proof.namespace, proof.identifier)
    holds, fault = ics23.verify(root, made, key, proof.value or None, ics23.SPECS[SPEC])
    if not holds:
        raise NotExportable("STATE_PROOF_INVALID", fault)
    return jcs.canonicalize(
        {"spec": SPEC, "root": root.hex(), "proof": made.hex(), "key": key.hex(), "value": proof.value.hex()}
    )


def _absence(proof: ProofFile) -> bytes:
    key = state_key(proof.namespace, proof.identifier)

    def beside(is_wanted: Callable[[bytes], bool]) -> LeafWithProof | None:
        found = [leaf for leaf in proof.neighbours if is_wanted(state_key(leaf.namespace, leaf.identifier))]
        return _leaf(found[0]) if found else None

    return absence(beside(lambda other: other < key), beside(lambda other: other > key))


def _leaf(leaf: ShownLeaf) -> LeafWithProof:
    return LeafWithProof(leaf.namespace, leaf.identifier, leaf.value, leaf.state_proof)
