"""Proofs that a leaf is, or is not, in a state tree, and their form as JSON.

Source: docs/spec/state-tree.md, "Proofs".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from icn_crypto.hashing import HASH_BYTES, sha256
from icn_crypto.state_page import EMPTY, leaf_hash, node_hash

KEY_BYTES: Final = 32
DEPTH_MAX: Final = 256
"""Bits of a key: no path is longer."""

_HASH_TEXT: Final = re.compile(r"[0-9a-f]{64}")


class InvalidProof(ValueError):
    """The object is not a proof; what it would say does not matter."""


class Terminal(Enum):
    """What stands at the end of a key's path."""

    LEAF = "leaf"
    """The key's own leaf."""
    EMPTY = "empty"
    """Nothing: no leaf shares this much of the key."""
    OTHER_LEAF = "other"
    """The only leaf that shares this much of the key, and it is another key's."""


@dataclass(frozen=True, slots=True)
class OtherLeaf:
    """The leaf in the way of an absent key."""

    key: bytes
    value_hash: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """The path of a key from the root to the first subtree with fewer than two leaves."""

    siblings: tuple[bytes, ...]
    """Hash beside the path at each level, from the top; 32 zero bytes for a subtree without leaves."""
    terminal: Terminal
    other: OtherLeaf | None = None
    """Set exactly when the terminal is OTHER_LEAF."""

    def to_dict(self) -> dict[str, object]:
        """As JSON: hashes in hexadecimal, null beside the path where there is nothing."""
        form: dict[str, object] = {
            "siblings": [None if sibling == EMPTY else sibling.hex() for sibling in self.siblings],
            "terminal": self.terminal.value,
        }
        if self.other is not None:
            form["other"] = {"key": self.other.key.hex(), "value_hash": self.other.value_hash.hex()}
        return form

    @classmethod
    def from_dict(cls, form: object) -> "Proof":
        """Inverse of ``to_dict``, for objects from outside.

        Raises:
            InvalidProof: a member is missing, unknown or of the wrong type, a hash is not 64 lower-case
            hexadecimal
                digits, there are more than 256 siblings, or a null sibling stands last.
        """
        members = _members(form, {"siblings", "terminal"}, {"other"})
        siblings = members["siblings"]
        if not isinstance(siblings, list) or len(siblings) > DEPTH_MAX:
            raise InvalidProof(f"siblings: a list of at most {DEPTH_MAX}")
        hashes = tuple(EMPTY if sibling is None else _hash(sibling, "siblings") for sibling in siblings)
        try:
            terminal = Terminal(members["terminal"])
        except ValueError:
            raise InvalidProof("terminal: leaf, empty or other") from None
        other = None
        if "other" in members:
            leaf = _members(members["other"], {"key", "value_hash"}, set())
            other = OtherLeaf(_hash(leaf["key"], "other.key"), _hash(leaf["value_hash"], "other.value_hash"))
        proof = cls(hashes, terminal, other)
        if not _is_well_formed(proof):
            raise InvalidProof("other: given exactly when terminal is other; the last sibling is not null")
        return proof


def verify_inclusion(root: bytes, key: bytes, value: bytes, proof: Proof) -> bool:
    """Whether the proof shows that the key's leaf holds this value in the tree with this root."""
    if proof.terminal is not Terminal.LEAF or not _is_well_formed(proof) or len(key) != KEY_BYTES:
        return False
    return _root_from(key, leaf_hash(key, sha256(value)), proof.siblings) == root


def verify_absence(root: bytes, key: bytes, proof: Proof) -> bool:
    """Whether the proof shows that the key has no leaf in the tree with this root."""
    if proof.terminal is Terminal.LEAF or not _is_well_formed(proof) or len(key) != KEY_BYTES:
        return False
    if proof.other is None:
        return _root_from(key, EMPTY, proof.siblings) == root
    if proof.other.key == key or _shared_bits(proof.other.key, key) < len(proof.siblings):
        return False
    return _root_from(key, leaf_hash(proof.other.key, proof.other.value_hash), proof.siblings) == root


def _root_from(key: bytes, terminal_hash: bytes, siblings: tuple[bytes, ...]) -> bytes:
    current = terminal_hash
    path = int.from_bytes(key, "big") >> (DEPTH_MAX - len(siblings))
    for sibling in reversed(siblings):
        current = node_hash(sibling, current) if path & 1 else node_hash(current, sibling)
        path >>= 1
    return current


def _shared_bits(left: bytes, right: bytes) -> int:
    """How many leading bits two keys share."""
    return DEPTH_MAX - (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).bit_length()


def _is_well_formed(proof: Proof) -> bool:
    """Whether lengths hold, and the path does not go on past a subtree with fewer than two leaves."""
    siblings = proof.siblings
    if len(siblings) > DEPTH_MAX or (siblings and siblings[-1] == EMPTY):
        return False
    if (proof.other is not None) != (proof.terminal is Terminal.OTHER_LEAF):
        return False
    if proof.other is not None and (
        len(proof.other.key) != KEY_BYTES or len(proof.other.value_hash) != HASH_BYTES
    ):
        return False
    return all(len(sibling) == HASH_BYTES for sibling in siblings)


def _members(form: object, required: set[str], optional: set[str]) -> Mapping[str, object]:
    if not isinstance(form, dict) or not required <= form.keys() <= required | optional:
        raise InvalidProof(f"an object with {', '.join(sorted(required))}")
    return form


def _hash(text: object, name: str) -> bytes:
    if not isinstance(text, str) or _HASH_TEXT.fullmatch(text) is None:
        raise InvalidProof(f"{name}: 64 lower-case hexadecimal digits")
    return bytes.fromhex(text)
