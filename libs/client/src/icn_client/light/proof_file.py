"""The JSON file that carries a proof of a leaf, or of its absence, from one person to another.

Source: docs/spec/proof.md, "The file". What it says is judged by `icn_client.light.verify`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from icn_crypto import jcs
from icn_crypto.state_proof import InvalidProof, Proof

from icn_client.light.final_header import (
    FINAL_MEMBERS,
    FinalHeader,
    ProofMalformed,
    final_header_of,
    read_document,
    read_final_header,
    read_hex,
    read_members,
)
from icn_client.light.leaves import NAMESPACES, VALUE_BYTES_MAX

if TYPE_CHECKING:
    from icn.ledger.v1.service_pb2 import GetProofResponse, NeighbourLeaf

FORMAT: Final = "icn/proof/v1"
NEIGHBOURS: Final = "neighbours"
_LEAF_MEMBERS: Final = ("namespace", "identifier", "value", "state_proof")


@dataclass(frozen=True, slots=True)
class ShownLeaf:
    """A leaf with its path to the state root."""

    namespace: int
    identifier: bytes
    value: bytes
    """Empty when the statement is that there is none."""
    state_proof: Proof

    def members(self) -> dict[str, Any]:
        """As JSON has them."""
        return {
            "namespace": self.namespace,
            "identifier": self.identifier.hex(),
            "value": self.value.hex(),
            "state_proof": self.state_proof.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class ProofFile(FinalHeader):
    """A proof as it is handed over, well-formed and not yet judged."""

    namespace: int
    identifier: bytes
    value: bytes
    """The leaf; empty when the statement is that there is none."""
    state_proof: Proof
    neighbours: tuple[ShownLeaf, ...] = ()
    """Of an absent leaf, where they were asked for: those beside it by state key, ascending."""

    @property
    def leaf(self) -> ShownLeaf:
        """What is proven."""
        return ShownLeaf(self.namespace, self.identifier, self.value, self.state_proof)

    def to_bytes(self) -> bytes:
        """The file's bytes, in the form of RFC 8785."""
        document = {"format": FORMAT, **self.final_members(), **self.leaf.members()}
        if self.neighbours:
            document[NEIGHBOURS] = [one.members() for one in self.neighbours]
        return jcs.canonicalize(document)


def from_response(response: GetProofResponse, genesis_hash: bytes, first_set: bytes) -> ProofFile:
    """The file of a ledger's answer.

    Args:
        response: a proof from genesis, or from the epoch of a checkpoint.
        genesis_hash: of the zone that was asked.
        first_set: validator set of that epoch, so that sets which stay the same are left out.

    Raises:
        ProofMalformed: a state proof is not one.
    """
    final = final_header_of(response, genesis_hash, first_set)
    return ProofFile(
        final.genesis,
        final.header,
        final.descendant_headers,
        final.finalization,
        final.epochs,
        response.namespace,
        response.identifier,
        response.value,
        _told_proof(response.state_proof),
        tuple(_told_leaf(one) for one in response.neighbours),
    )


def _told_leaf(told: NeighbourLeaf) -> ShownLeaf:
    return ShownLeaf(told.namespace, told.identifier, told.value, _told_proof(told.state_proof))


def _told_proof(text: str) -> Proof:
    try:
        return Proof.from_dict(json.loads(text))
    except (InvalidProof, ValueError, RecursionError) as error:
        raise ProofMalformed(f"state_proof: {error}") from error


def parse_proof_file(content: bytes) -> ProofFile:
    """Read a proof file.

    Raises:
        ProofMalformed: see docs/spec/proof.md, "The file".
    """
    return read_proof_file(read_document(content))


def read_proof_file(document: object) -> ProofFile:
    """A proof file's object. Raises ProofMalformed."""
    has_neighbours = isinstance(document, dict) and NEIGHBOURS in document
    names = (*_LEAF_MEMBERS, NEIGHBOURS) if has_neighbours else _LEAF_MEMBERS
    members = read_members(document, "", "format", *FINAL_MEMBERS, *names)
    if members["format"] != FORMAT:
        raise ProofMalformed(f"format: must be {FORMAT}")
    leaf = read_leaf(members, "", 0)
    final = read_final_header(members)
    return ProofFile(
        final.genesis,
        final.header,
        final.descendant_headers,
        final.finalization,
        final.epochs,
        leaf.namespace,
        leaf.identifier,
        leaf.value,
        leaf.state_proof,
        _read_neighbours(members[NEIGHBOURS], leaf) if has_neighbours else (),
    )


def _read_neighbours(value: object, absent: ShownLeaf) -> tuple[ShownLeaf, ...]:
    if absent.value or not isinstance(value, list) or not 1 <= len(value) <= 2:
        raise ProofMalformed(f"{NEIGHBOURS}: one or two, and only of a leaf that is absent")
    found = []
    for position, item in enumerate(value):
        place = f"{NEIGHBOURS}[{position}]"
        found.append(read_leaf(read_members(item, place, *_LEAF_MEMBERS), f"{place}.", 1))
    return tuple(found)


def read_leaf(members: Mapping[str, Any], prefix: str, value_bytes_min: int) -> ShownLeaf:
    """A leaf with its path, of a member whose name begins with ``prefix``. Raises ProofMalformed."""
    namespace = members["namespace"]
    if type(namespace) is not int or namespace not in NAMESPACES:
        raise ProofMalformed(f"{prefix}namespace: must be 1 to {max(NAMESPACES)}")
    try:
        state_proof = Proof.from_dict(members["state_proof"])
    except InvalidProof as error:
        raise ProofMalformed(f"{prefix}state_proof: {error}") from error
    if state_proof.to_dict() != members["state_proof"]:
        raise ProofMalformed(f"{prefix}state_proof: not written in its one form")
    fewest, most = NAMESPACES[namespace].identifier_bytes
    return ShownLeaf(
        namespace,
        read_hex(members["identifier"], f"{prefix}identifier", fewest, most),
        read_hex(members["value"], f"{prefix}value", value_bytes_min, VALUE_BYTES_MAX),
        state_proof,
    )
