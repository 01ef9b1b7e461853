"""Pages of the state tree: four levels of it, stored as one row.

A page covers the subtree of its prefix. Its nodes are numbered like a heap: 1 is the top, 2i and 2i + 1 lie
below i, 16 to 31 are the slots, one per next nibble. Bytes: the layout's number, the kinds of nodes 1 to
31, then by node number what is stored of nodes 2 to 31: nothing for kind NONE, the hash for kind MANY, key
‖ value hash for a slot of kind ONE (nothing for the inner nodes that only pass that leaf's hash on).

Inner hashes are stored although the slots determine them, because then a change reads and hashes one path
and not the page: 4 hashes instead of 15 and up to 16 leaves (benches/state_tree.py).

Source: docs/spec/state-tree.md, "Pages".
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from icn_crypto.hashing import HASH_BYTES

EMPTY: Final = bytes(HASH_BYTES)
"""Hash of a subtree without leaves."""

LAYOUT: Final = 1
"""First byte of every page."""

NONE: Final = 0
"""The subtree has no leaf."""
ONE: Final = 1
"""The subtree has exactly one leaf, and that leaf's hash."""
MANY: Final = 2
"""The subtree has two leaves or more; a slot of this kind has a page of its own below."""

FIRST_SLOT: Final = 16
SLOTS: Final = 16
NODES: Final = 32
LEAF_BYTES: Final = 2 * HASH_BYTES
PAGE_BYTES_MAX: Final = NODES + 14 * HASH_BYTES + SLOTS * LEAF_BYTES
"""Sixteen leaves under fourteen inner nodes: 1,504 bytes, which Postgres keeps in the row."""

Slot = tuple[int, bytes, bytes]
"""Kind, hash, stored form (empty; key ‖ value hash; the hash again)."""

EMPTY_SLOT: Final[Slot] = (NONE, EMPTY, b"")


class InvalidPage(ValueError):
    """The stored bytes are not a page."""


def leaf_hash(key: bytes, value_hash: bytes) -> bytes:
    """SHA-256(0x00 ‖ key ‖ SHA-256(value))."""
    return hashlib.sha256(b"\x00" + key + value_hash).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def only_leaf(page: bytes, number: int) -> bytes:
    """Key ‖ value hash of the one leaf below a node of kind ONE."""
    while number < FIRST_SLOT:
        number <<= 1
        if page[number] == NONE:
            number += 1
    start = _offset(page, number)
    return page[start : start + LEAF_BYTES]


def hash_at(page: bytes, number: int) -> bytes:
    """Hash of a node."""
    kind = page[number]
    if kind == MANY:
        if number == 1:
            return node_hash(hash_at(page, 2), hash_at(page, 3))
        start = _offset(page, number)
        return page[start : start + HASH_BYTES]
    return EMPTY if kind == NONE else hashlib.sha256(b"\x00" + only_leaf(page, number)).digest()


def slot_at(page: bytes, nibble: int) -> Slot:
    """The slot of a nibble."""
    number = FIRST_SLOT + nibble
    kind = page[number]
    if kind == NONE:
        return EMPTY_SLOT
    start = _offset(page, number)
    if kind == MANY:
        content = page[start : start + HASH_BYTES]
        return (MANY, content, content)
    content = page[start : start + LEAF_BYTES]
    return (ONE, hashlib.sha256(b"\x00" + content).digest(), content)


def replace_slot(page: bytes, nibble: int, slot: Slot) -> tuple[bytes, bytes]:
    """The page with other content in a slot whose kind (ONE or MANY) stays, and the hash of its top.

    The commonest step of all, an account's new balance, hence written out.
    """
    _, current, content = slot
    number = FIRST_SLOT + nibble
    changed = bytearray(page)
    start = (
        NODES + HASH_BYTES * page.count(MANY, 2, number) + LEAF_BYTES * page.count(ONE, FIRST_SLOT, number)
    )
    changed[start : start + len(content)] = content
    sha256 = hashlib.sha256
    while True:
        parent = number >> 1
        if page[parent] == MANY:
            beside = number ^ 1
            kind = page[beside]
            if kind == MANY:
                start = NODES + HASH_BYTES * page.count(MANY, 2, beside)
                if beside > FIRST_SLOT:
                    start += LEAF_BYTES * page.count(ONE, FIRST_SLOT, beside)
                sibling = page[start : start + HASH_BYTES]
            elif kind == NONE:
                sibling = EMPTY
            else:
                sibling = sha256(b"\x00" + only_leaf(page, beside)).digest()
            if number & 1:
                current = sha256(b"\x01" + sibling + current).digest()
            else:
                current = sha256(b"\x01" + current + sibling).digest()
            if parent == 1:
                return bytes(changed), current
            start = NODES + HASH_BYTES * page.count(MANY, 2, parent)
            changed[start : start + HASH_BYTES] = current
        elif parent == 1:
            return bytes(changed), current
        number = parent


def replace_slots(page: bytes, slots: Sequence[tuple[int, Slot]]) -> tuple[bytes, bytes]:
    """``replace_slot`` for several slots, by ascending nibble, none of which changes its kind."""
    changed = bytearray(page)
    level: dict[int, bytes] = {}
    for nibble, (_, slot_hash, content) in slots:
        number = FIRST_SLOT + nibble
        start = _offset(page, number)
        changed[start : start + len(content)] = content
        level[number] = slot_hash
    while True:
        above: dict[int, bytes] = {}
        for number, current in level.items():
            parent = number >> 1
            if parent in above:
                continue
            if page[parent] == MANY:
                beside = number ^ 1
                sibling = level.get(beside) or hash_at(page, beside)
                left, right = (sibling, current) if number & 1 else (current, sibling)
                current = hashlib.sha256(b"\x01" + left + right).digest()  # noqa: PLW2901
                if parent > 1:
                    start = NODES + HASH_BYTES * page.count(MANY, 2, parent)
                    changed[start : start + HASH_BYTES] = current
            above[parent] = current
        if 1 in above:
            return bytes(changed), above[1]
        level = above


def reshape(page: bytes | None, slots: Sequence[tuple[int, Slot]]) -> tuple[bytes, Slot]:
    """The page (None: an empty one) with these slots, whatever their kinds, and what it is to the page above.

    Raises:
        InvalidPage: the stored bytes are not a page.
    """
    kinds = bytearray(NODES)
    kinds[0] = LAYOUT
    hashes = [EMPTY] * NODES
    contents = [b""] * NODES
    if page is not None:
        check_layout(page)
        kinds[:] = page[:NODES]
        position = NODES
        for number in range(2, NODES):
            if kinds[number] == MANY:
                hashes[number] = contents[number] = page[position : position + HASH_BYTES]
                position += HASH_BYTES
            elif kinds[number] == ONE and number >= FIRST_SLOT:
                contents[number] = page[position : position + LEAF_BYTES]
                hashes[number] = hashlib.sha256(b"\x00" + contents[number]).digest()
                position += LEAF_BYTES
    dirty: set[int] = set()
    for nibble, slot in slots:
        number = FIRST_SLOT + nibble
        kinds[number], hashes[number], contents[number] = slot
        dirty.add(number >> 1)
    for number in range(FIRST_SLOT - 1, 0, -1):
        left, right = number << 1, number << 1 | 1
        if number not in dirty and kinds[number] != ONE:
            continue
        kinds[number] = min(kinds[left] + kinds[right], MANY)
        if kinds[number] != MANY:
            # A subtree with one leaf has that leaf's hash, wherever the leaf lies in it.
            hashes[number], contents[number] = (hashes[left] if kinds[left] else hashes[right]), b""
        elif number in dirty:
            hashes[number] = contents[number] = node_hash(hashes[left], hashes[right])
        dirty.add(number >> 1)
    contents[1] = b""
    stored = bytes(kinds) + b"".join(contents)
    if kinds[1] == ONE:
        return stored, (ONE, hashes[1], only_leaf(stored, 1))
    return stored, (kinds[1], hashes[1], hashes[1] if kinds[1] == MANY else b"")


def check_layout(page: bytes) -> None:
    """Refuse bytes whose header or length no page has.

    Raises:
        InvalidPage: another layout, an impossible kind, or a length that does not follow from the kinds.
    """
    if len(page) < NODES or page[0] != LAYOUT:
        raise InvalidPage("not a page of this layout")
    if any(kind > MANY for kind in page[1:NODES]) or any(
        page[number] != min(page[2 * number] + page[2 * number + 1], MANY) for number in range(1, FIRST_SLOT)
    ):
        raise InvalidPage("the kinds of its nodes contradict each other")
    if len(page) != _offset(page, NODES):
        raise InvalidPage(f"{len(page)} bytes, its kinds say {_offset(page, NODES)}")


def _offset(page: bytes, number: int) -> int:
    """Where the stored form of a node starts."""
    return (
        NODES
        + HASH_BYTES * page.count(MANY, 2, number)
        + (LEAF_BYTES * page.count(ONE, FIRST_SLOT, number) if number > FIRST_SLOT else 0)
    )
