"""Pages of the state tree: four levels of it, stored as one row.

A page covers the subtree of its prefix. Its nodes are numbered like a heap: 1 is the top, 2i and 2i + 1 lie
below i, 16 to 31 are the slots, one per next nibble. A slot with up to four leaves holds them, one with more
has a page of its own below. Bytes:

- byte 0: the layout; byte i, 1 to 31: how many leaves lie below node i, 5 standing for five or more;
- the hashes of nodes 2 to 31, node i at 32(i − 1);
- the leaves of the slots that hold theirs, key ‖ value hash, ascending by key.

The leaves determine the inner hashes; they are stored because then a change reads and hashes one path and not
the page. Slots hold several leaves because a row costs the database more than its bytes do.

Source: docs/spec/state-tree.md, "Pages".
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from icn_crypto.hashing import HASH_BYTES

EMPTY: Final = bytes(HASH_BYTES)
"""Hash of a subtree without leaves."""

LAYOUT: Final = 1
KEY_BYTES: Final = 32
LEAF_BYTES: Final = KEY_BYTES + HASH_BYTES
SLOT_LEAVES_MAX: Final = 4
"""Leaves a slot holds: with four, two thirds of the pages a block writes are gone (benches/state_tree.py)."""
MANY: Final = SLOT_LEAVES_MAX + 1
"""Count of a node with more leaves than a slot holds."""

FIRST_SLOT: Final = 16
SLOTS: Final = 16
HEADER_BYTES: Final = 32
LEAVES_START: Final = HEADER_BYTES + 30 * HASH_BYTES
PAGE_BYTES_MAX: Final = LEAVES_START + SLOTS * SLOT_LEAVES_MAX * LEAF_BYTES
"""5,088 bytes: a page always fits a row of Postgres without being moved out of line."""

Slot = tuple[int, bytes, bytes]
"""Count of leaves, hash, and the leaves themselves where the slot holds them."""

EMPTY_SLOT: Final[Slot] = (0, EMPTY, b"")

HashedLeaf = tuple[bytes, bytes]
"""Key ‖ value hash, hash of the leaf. Ordered by key."""

_HELD_LEAVES: Final = bytes((*range(MANY), 0)) + bytes(256 - MANY - 1)
"""Translation of a slot's count into the number of leaves it holds."""


class InvalidPage(ValueError):
    """The stored bytes are not a page."""


def leaf_hash(key: bytes, value_hash: bytes) -> bytes:
    """SHA-256(0x00 ‖ key ‖ SHA-256(value))."""
    return hashlib.sha256(b"\x00" + key + value_hash).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def subtree_hash(leaves: Sequence[HashedLeaf], depth: int) -> bytes:
    """Hash of the subtree at ``depth`` bits that holds exactly these leaves, ascending by key."""
    if len(leaves) < 2:
        return leaves[0][1] if leaves else EMPTY
    first, last = leaves[0][0], leaves[-1][0]
    byte = depth >> 3
    while first[byte] == last[byte]:
        byte += 1
    # The first bit in which the outermost keys differ is where the leaves part; above it they share one side.
    parting = 8 * byte + 8 - (first[byte] ^ last[byte]).bit_length()
    if len(leaves) == 2:
        below = leaves[0][1] + leaves[1][1]
    else:
        mask = 128 >> (parting & 7)
        middle = 1
        while not leaves[middle][0][byte] & mask:
            middle += 1
        below = subtree_hash(leaves[:middle], parting + 1) + subtree_hash(leaves[middle:], parting + 1)
    sha256 = hashlib.sha256
    current = sha256(b"\x01" + below).digest()
    while parting > depth:
        parting -= 1
        is_right = first[parting >> 3] & (128 >> (parting & 7))
        current = sha256(b"\x01" + EMPTY + current if is_right else b"\x01" + current + EMPTY).digest()
    return current


def slot_hash(page: bytes, number: int) -> bytes:
    """Hash of a node, 2 to 31."""
    return page[HASH_BYTES * number - HASH_BYTES : HASH_BYTES * number]


def top_hash(page: bytes) -> bytes:
    """Hash of the whole page's subtree."""
    if page[1] >= 2:
        return hashlib.sha256(b"\x01" + page[_BELOW[1]]).digest()
    return slot_hash(page, 2 if page[2] else 3)


def slot_leaves(page: bytes, nibble: int) -> bytes:
    """The leaves that a slot holds; none for a slot with a page below."""
    number = FIRST_SLOT + nibble
    count = page[number]
    if count in (0, MANY):
        return b""
    start = LEAVES_START + LEAF_BYTES * sum(page[FIRST_SLOT:number].translate(_HELD_LEAVES))
    return page[start : start + LEAF_BYTES * count]


def hashed_leaves(leaves: bytes) -> list[HashedLeaf]:
    """Leaves as stored, each with its hash."""
    return [hashed_leaf(leaves[start : start + LEAF_BYTES]) for start in range(0, len(leaves), LEAF_BYTES)]


def hashed_leaf(leaf: bytes) -> HashedLeaf:
    """A leaf as stored, with its hash."""
    return leaf, hashlib.sha256(b"\x00" + leaf).digest()


def replace_slots(page: bytes, slots: Mapping[int, Slot]) -> tuple[bytes, Slot]:
    """The page with these slots (by nibble), and what it is to the page above.

    A page with fewer than five leaves is what the slot above holds itself; its bytes then matter only at the
    root.
    """
    changed = bytearray(page)
    keeps_counts = True
    mask = 0
    for nibble, (count, current, leaves) in slots.items():
        number = FIRST_SLOT + nibble
        mask |= 1 << nibble
        changed[_NODE[number]] = current
        if count != page[number]:
            keeps_counts = False
            changed[number] = count
        elif leaves and keeps_counts:
            start = LEAVES_START + LEAF_BYTES * sum(page[FIRST_SLOT:number].translate(_HELD_LEAVES))
            changed[start : start + len(leaves)] = leaves
    above = _ABOVE_LEFT[mask & 255] + _ABOVE_RIGHT[mask >> 8]
    if not keeps_counts:
        changed[LEAVES_START:] = b"".join(
            slots[nibble][2] if nibble in slots else slot_leaves(page, nibble) for nibble in range(SLOTS)
        )
        for number, _, _ in above:
            changed[number] = min(changed[2 * number] + changed[2 * number + 1], MANY)
        changed[1] = min(changed[2] + changed[3], MANY)
    sha256 = hashlib.sha256
    for number, node, below in above:
        # A subtree with one leaf has that leaf's hash, wherever the leaf lies in it.
        changed[node] = (
            sha256(b"\x01" + changed[below]).digest()
            if changed[number] >= 2
            else changed[_NODE[2 * number if changed[2 * number] else 2 * number + 1]]
        )
    stored, count = bytes(changed), changed[1]
    return stored, (count, top_hash(stored), stored[LEAVES_START:] if count < MANY else b"")


_NODE: Final = tuple(slice(HASH_BYTES * number - HASH_BYTES, HASH_BYTES * number) for number in range(32))
"""Where the hash of a node lies, 2 to 31."""
_BELOW: Final = tuple(slice(_NODE[2 * number].start, _NODE[2 * number + 1].stop) for number in range(16))
"""Where the hashes of the two nodes below lie."""


def _above(first: int) -> tuple[tuple[tuple[int, slice, slice], ...], ...]:
    """For each choice of eight slots the nodes above them, lowest first, without the top: number, where its
    hash lies, and where those of the two nodes below."""
    return tuple(
        tuple(
            (number, _NODE[number], _BELOW[number])
            for number in range(15, 1, -1)
            if any(mask >> slot & 1 and number in _ways_up(FIRST_SLOT + first + slot) for slot in range(8))
        )
        for mask in range(256)
    )


def _ways_up(number: int) -> tuple[int, ...]:
    return number >> 1, number >> 2, number >> 3


_ABOVE_LEFT: Final = _above(0)
_ABOVE_RIGHT: Final = _above(8)


EMPTY_PAGE: Final = bytes((LAYOUT,)) + bytes(LEAVES_START - 1)
"""A page without leaves: what slots are put into when a new page is made. Never stored."""


def check_layout(page: bytes) -> None:
    """Refuse bytes whose header or length no page has.

    Raises:
        InvalidPage: another layout, an impossible count, or a length that does not follow from the counts.
    """
    counts = page[:HEADER_BYTES]
    if len(counts) < HEADER_BYTES or counts[0] != LAYOUT or max(counts) > MANY:
        raise InvalidPage("not a page of this layout")
    if any(counts[i] != min(counts[2 * i] + counts[2 * i + 1], MANY) for i in range(1, FIRST_SLOT)):
        raise InvalidPage("the counts of its nodes contradict each other")
    length = LEAVES_START + LEAF_BYTES * sum(page[FIRST_SLOT:HEADER_BYTES].translate(_HELD_LEAVES))
    if len(page) != length:
        raise InvalidPage(f"{len(page)} bytes, its counts say {length}")
