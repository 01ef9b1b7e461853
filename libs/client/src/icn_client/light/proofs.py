"""Every form that a proof comes in. Source: docs/spec/proof.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from icn_client.light import entry_proof, proof_file, receipt_proof
from icn_client.light.entry_proof import EntryProof
from icn_client.light.final_header import ProofMalformed, read_document
from icn_client.light.proof_file import ProofFile
from icn_client.light.receipt_proof import ReceiptProof

Proof = ProofFile | ReceiptProof | EntryProof

_READERS: Final[Mapping[str, Callable[[Any], Proof]]] = {
    proof_file.FORMAT: proof_file.read_proof_file,
    receipt_proof.FORMAT: receipt_proof.read_receipt_proof,
    entry_proof.FORMAT: entry_proof.read_entry_proof,
}


def parse_proof(content: bytes) -> Proof:
    """Read a file of any of the formats.

    Raises:
        ProofMalformed: it is none.
    """
    document = read_document(content)
    named = document.get("format") if isinstance(document, dict) else None
    reader = _READERS.get(named) if isinstance(named, str) else None
    if reader is None:
        raise ProofMalformed(f"format: must be {', '.join(_READERS)}")
    return reader(document)
