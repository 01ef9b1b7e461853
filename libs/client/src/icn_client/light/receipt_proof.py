"""The JSON file that shows what became of a transaction: its receipt, under a root that a header names.

Source: docs/spec/proof.md, "Receipts". What it says is judged by `icn_client.light.verify`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from icn.ledger.v1.state_pb2 import RECEIPT_STATUS_APPLIED, RECEIPT_STATUS_REFUSED, Receipt
from icn_chain.epochs import ProofInvalid
from icn_chain.malformed import MalformedMessage, parse
from icn_crypto import jcs
from icn_crypto.hashing import HASH_BYTES

from icn_client.light.final_header import (
    FINAL_MEMBERS,
    FinalHeader,
    ProofMalformed,
    final_header_of,
    read_final_header,
    read_hex,
    read_integer,
    read_members,
)
from icn_client.light.leaves import describe

if TYPE_CHECKING:
    from icn.ledger.v1.service_pb2 import GetReceiptProofResponse

FORMAT: Final = "icn/receipt-proof/v1"
RECEIPT_BYTES_MAX: Final = 1_048_576
"""As much as a block may have of transactions: no receipt comes near."""
RECEIPTS_MAX: Final = 65_536
"""In a block (docs/spec/genesis.md, `block_transactions_max`)."""
PATH_MAX: Final = 16
"""Levels above so many."""
LATER_ROOTS_MAX: Final = 10_000
"""As many blocks as may be made final by one certificate; one while the network is well."""
RECEIPT_MEMBERS: Final = ("receipt", "index", "size", "path", "before", "later_roots")
"""Members beside `FINAL_MEMBERS`."""


@dataclass(frozen=True, slots=True)
class ReceiptProof(FinalHeader):
    """A receipt as it is handed over, well-formed and not yet judged."""

    receipt: bytes
    index: int
    """Among the receipts of its block, from 0."""
    size: int
    """How many they are."""
    path: tuple[bytes, ...]
    """Siblings on the way to the root of the block's own receipts, lowest first (RFC 9162)."""
    before: bytes
    """Receipts root of the block before."""
    later_roots: tuple[bytes, ...]
    """Of the own receipts of each block behind it, up to the one that the header names."""

    def to_bytes(self) -> bytes:
        """The file's bytes, in the form of RFC 8785."""
        return jcs.canonicalize(
            {
                "format": FORMAT,
                **self.final_members(),
                "receipt": self.receipt.hex(),
                "index": self.index,
                "size": self.size,
                "path": [sibling.hex() for sibling in self.path],
                "before": self.before.hex(),
                "later_roots": [root.hex() for root in self.later_roots],
            }
        )


def receipt_proof_of(
    response: GetReceiptProofResponse, genesis_hash: bytes, first_set: bytes
) -> ReceiptProof:
    """The file of a ledger's answer; as `proof_file.from_response`. Raises ProofMalformed."""
    final = final_header_of(response, genesis_hash, first_set)
    return ReceiptProof(
        final.genesis,
        final.header,
        final.descendant_headers,
        final.finalization,
        final.epochs,
        response.receipt,
        response.index,
        response.size,
        tuple(response.path),
        response.before,
        tuple(response.later_roots),
    )


def read_receipt_proof(document: object) -> ReceiptProof:
    """The object of a file of this format. Raises ProofMalformed."""
    members = read_members(document, "", "format", *FINAL_MEMBERS, *RECEIPT_MEMBERS)
    size = read_integer(members["size"], "size", 1, RECEIPTS_MAX)
    final = read_final_header(members)
    return ReceiptProof(
        final.genesis,
        final.header,
        final.descendant_headers,
        final.finalization,
        final.epochs,
        read_hex(members["receipt"], "receipt", 1, RECEIPT_BYTES_MAX),
        read_integer(members["index"], "index", 0, size - 1),
        size,
        _read_hashes(members["path"], "path", PATH_MAX),
        read_hex(members["before"], "before", HASH_BYTES, HASH_BYTES),
        _read_hashes(members["later_roots"], "later_roots", LATER_ROOTS_MAX),
    )


def _read_hashes(value: object, place: str, most: int) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > most:
        raise ProofMalformed(f"{place}: must be an array of at most {most}")
    return tuple(
        read_hex(one, f"{place}[{position}]", HASH_BYTES, HASH_BYTES) for position, one in enumerate(value)
    )


def read_receipt(data: bytes) -> dict[str, Any]:
    """What a receipt says: ids in hex, amounts and figures as decimal strings.

    Raises:
        ProofInvalid: PROOF_MALFORMED.
    """
    try:
        receipt = parse(Receipt, data, RECEIPT_BYTES_MAX)
    except MalformedMessage as error:
        raise ProofInvalid("PROOF_MALFORMED", str(error)) from error
    if len(receipt.transaction_id) != HASH_BYTES or receipt.status not in (
        RECEIPT_STATUS_APPLIED,
        RECEIPT_STATUS_REFUSED,
    ):
        raise ProofInvalid("PROOF_MALFORMED", "the receipt is of no transaction, or without a verdict")
    return {"kind": "receipt", **describe(receipt)}
