"""The state tree: a compact sparse Merkle tree over 256-bit keys, stored as pages of four levels.

A subtree without leaves hashes to 32 zero bytes, one with a single leaf to that leaf's hash, any other to
the hash of its two halves. The root is a function of the leaves alone, whatever the order of changes.

The tree reads pages through a port and returns the pages that changed; keeping them by height is the
caller's work.

Source: docs/spec/state-tree.md; docs/adr/0004-paged-state-tree.md.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from icn_crypto.hashing import NO_GENESIS, domain_hash, preimage_head
from icn_crypto.native import accelerator
from icn_crypto.state_page import (
    EMPTY,
    EMPTY_PAGE,
    EMPTY_SLOT,
    FIRST_SLOT,
    KEY_BYTES,
    LEAF_BYTES,
    MANY,
    SLOT_LEAVES_MAX,
    SLOTS,
    HashedLeaf,
    InvalidPage,
    Slot,
    hashed_leaf,
    hashed_leaves,
    replace_slots,
    slot_hash,
    slot_leaves,
    subtree_hash,
    top_hash,
)
from icn_crypto.state_proof import (
    InvalidProof,
    OtherLeaf,
    Proof,
    Terminal,
    verify_absence,
    verify_inclusion,
)
from icn_crypto.tags import STATE_KEY

__all__ = [
    "EMPTY",
    "KEY_BYTES",
    "ROOT_PREFIX",
    "InvalidPage",
    "InvalidProof",
    "OtherLeaf",
    "PageSource",
    "Proof",
    "StateTree",
    "Terminal",
    "Update",
    "build",
    "changes_of",
    "missing_prefixes",
    "state_key",
    "verify_absence",
    "verify_inclusion",
]

ROOT_PREFIX: Final = b""
"""Prefix of the page at the top. A prefix is one byte (0 to 15) per nibble of the keys below it."""

STATE_KEYS_KEPT: Final = 32_768
"""A key costs as much as hashing two nodes; the same leaves change again and again. About 8 MB."""

_NIBBLES: Final = tuple(bytes((nibble,)) for nibble in range(SLOTS))

_Change = tuple[bytes, bytes | None, bytes]
"""Key, stored form of the leaf (None: it goes), hash of the leaf."""

_Written = dict[bytes, bytes | None]


class PageSource(Protocol):
    """Where a tree reads its pages: one version of them, so it must not change during a call."""

    def get(self, prefix: bytes, /) -> bytes | None:
        """Bytes of the page with this prefix, None where there is none."""


@dataclass(frozen=True, slots=True)
class Update:
    """What a set of changes does to a tree."""

    root: bytes
    """Root after the changes, 32 bytes."""
    pages: dict[bytes, bytes | None]
    """New bytes of every page that changed, None for a page that goes, by prefix."""


def state_key(namespace: int, identifier: bytes) -> bytes:
    """Key of a leaf: domain hash (icn/state-key/v1) of u8 namespace ‖ identifier."""
    return domain_hash(STATE_KEY, NO_GENESIS, bytes((namespace,)) + identifier)


_recent_state_key: Final = lru_cache(STATE_KEYS_KEPT)(state_key)


def changes_of(leaves: Sequence[tuple[int, bytes, bytes | None]]) -> dict[bytes, bytes | None]:
    """What leaves are to `StateTree.update`: each namespace, identifier and value, None for one that goes."""
    if accelerator is None:
        return {_recent_state_key(namespace, identifier): value for namespace, identifier, value in leaves}
    return accelerator.state_tree_changes(preimage_head(STATE_KEY, NO_GENESIS), leaves)


class StateTree:
    """One version of the tree, as its page source has it. Pure: it keeps nothing between calls."""

    def __init__(self, pages: PageSource) -> None:
        self._pages = pages

    def root(self) -> bytes:
        """Root of the tree, 32 bytes; zeros when it is empty."""
        page = self._pages.get(ROOT_PREFIX)
        return EMPTY if page is None else top_hash(page)

    def update(self, changes: Mapping[bytes, bytes | None]) -> Update:
        """What the tree becomes when each key (32 bytes) gets the value, or loses its leaf for None.

        Removing a leaf that is not there changes nothing.

        Raises:
            InvalidPage: the source lacks a page that another names, or gives bytes that are none.
        """
        if accelerator is None:
            return self.update_in_python(changes)
        assert all(len(key) == KEY_BYTES for key in changes), "keys come from state_key"
        root, pages = accelerator.state_tree_update(self._pages.get, dict(changes))
        return Update(self.root() if root is None else root, pages)

    def update_in_python(self, changes: Mapping[bytes, bytes | None]) -> Update:
        """``update`` without the accelerator."""
        sha256 = hashlib.sha256
        ordered: list[_Change] = []
        for key, value in sorted(changes.items()):
            assert len(key) == KEY_BYTES, "keys come from state_key"
            if value is None:
                ordered.append((key, None, EMPTY))
            else:
                leaf = key + sha256(value).digest()
                ordered.append((key, leaf, sha256(b"\x00" + leaf).digest()))
        written: _Written = {}
        if not ordered:
            return Update(self.root(), written)
        page = self._pages.get(ROOT_PREFIX)
        top = self._apply(ROOT_PREFIX, EMPTY_PAGE if page is None else page, ordered, written)
        return Update(self.root() if top is None else top[1], written)

    def prove(self, key: bytes) -> Proof:
        """Proof that the key has the leaf it has, or that it has none.

        Raises:
            InvalidPage: the source lacks a page that another names.
        """
        assert len(key) == KEY_BYTES, "keys come from state_key"
        siblings: list[bytes] = []
        prefix = ROOT_PREFIX
        page = self._pages.get(prefix)
        if page is None:
            return Proof((), Terminal.EMPTY)
        number = 1
        while page[number] >= 2 and (number < FIRST_SLOT or page[number] == MANY):
            if number >= FIRST_SLOT:
                prefix += _NIBBLES[number - FIRST_SLOT]
                page = self._page_below(prefix)
                number = 1
            number = number << 1 | _bit(key, len(siblings))
            siblings.append(slot_hash(page, number ^ 1))
        leaves = _leaves_below(page, number)
        while len(leaves) > 1:
            depth = len(siblings)
            bit = _bit(key, depth)
            beside = [leaf for leaf in leaves if _bit(leaf[0], depth) != bit]
            leaves = [leaf for leaf in leaves if _bit(leaf[0], depth) == bit]
            siblings.append(subtree_hash(beside, depth + 1))
        if not leaves:
            return Proof(tuple(siblings), Terminal.EMPTY)
        leaf = leaves[0][0]
        if leaf[:KEY_BYTES] == key:
            return Proof(tuple(siblings), Terminal.LEAF)
        return Proof(tuple(siblings), Terminal.OTHER_LEAF, OtherLeaf(leaf[:KEY_BYTES], leaf[KEY_BYTES:]))

    def _page_below(self, prefix: bytes) -> bytes:
        page = self._pages.get(prefix)
        if page is None or page[1] != MANY:
            raise InvalidPage(f"page {prefix.hex()} is named by the page above but is not there")
        return page

    def _apply(self, prefix: bytes, page: bytes, changes: list[_Change], written: _Written) -> Slot | None:
        """Bring sorted changes into a page: what its slot above becomes, None if it stays as it is."""
        byte, shift = len(prefix) >> 1, 0 if len(prefix) & 1 else 4
        slots: dict[int, Slot] = {}
        start, count = 0, len(changes)
        while start < count:
            nibble = changes[start][0][byte] >> shift & 15
            end = start + 1
            while end < count and changes[end][0][byte] >> shift & 15 == nibble:
                end += 1
            slot = self._apply_to_slot(prefix, page, nibble, changes[start:end], written)
            if slot is not None:
                slots[nibble] = slot
            start = end
        if not slots:
            return None
        stored, slot = replace_slots(page, slots)
        stays = slot[0] == MANY or (slot[0] > 0 and not prefix)
        # Else it goes: the slot above can hold what is left of it.
        written[prefix] = stored if stays else None
        return slot

    def _apply_to_slot(
        self, prefix: bytes, page: bytes, nibble: int, changes: list[_Change], written: _Written
    ) -> Slot | None:
        """Bring sorted changes into one slot: what it becomes, None if it stays as it is."""
        number = FIRST_SLOT + nibble
        child = prefix + _NIBBLES[nibble]
        if page[number] == MANY:
            return self._apply(child, self._page_below(child), changes, written)
        held = slot_leaves(page, nibble)
        if len(changes) == 1 and len(held) <= LEAF_BYTES:
            key, leaf, leaf_hash = changes[0]
            if not held or held[:KEY_BYTES] == key:
                # The commonest case of all: a slot for one leaf gets it or a new version of it.
                if leaf_hash == slot_hash(page, number):
                    return None
                return EMPTY_SLOT if leaf is None else (1, leaf_hash, leaf)
        changed_keys = [key for key, _, _ in changes]
        leaves = [(leaf, leaf_hash) for _, leaf, leaf_hash in changes if leaf is not None]
        for start in range(0, len(held), LEAF_BYTES):
            if held[start : start + KEY_BYTES] not in changed_keys:
                leaves.append(hashed_leaf(held[start : start + LEAF_BYTES]))
        leaves.sort()
        if len(leaves) > SLOT_LEAVES_MAX:
            return self._apply(
                child, EMPTY_PAGE, [(leaf[:KEY_BYTES], leaf, made) for leaf, made in leaves], written
            )
        top = subtree_hash(leaves, 4 * len(child))
        if top == slot_hash(page, number):
            return None
        return (len(leaves), top, b"".join(leaf for leaf, _ in leaves))


def _leaves_below(page: bytes, number: int) -> list[HashedLeaf]:
    """The leaves below a node none of whose slots has a page."""
    first = last = number
    while first < FIRST_SLOT:
        first, last = 2 * first, 2 * last + 1
    return [
        leaf
        for slot in range(first - FIRST_SLOT, last - FIRST_SLOT + 1)
        for leaf in hashed_leaves(slot_leaves(page, slot))
    ]


def _bit(key: bytes, depth: int) -> int:
    return key[depth >> 3] >> (7 - (depth & 7)) & 1


class _NoPages:
    """The source of a tree that does not exist yet."""

    def get(self, _prefix: bytes, /) -> bytes | None:
        return None


def build(leaves: Mapping[bytes, bytes | None]) -> Update:
    """The tree of these leaves from nothing: its root and all its pages."""
    return StateTree(_NoPages()).update(leaves)


def missing_prefixes(known: Mapping[bytes, bytes | None], keys: Iterable[bytes]) -> list[bytes]:
    """Prefixes of the pages that must be loaded before the tree can be updated or proven at these keys.

    ``known`` holds pages by prefix, None for one known to be absent. The answer is one level of the tree:
    load it, add it to ``known`` and ask again, until the answer is empty. A tree of 100,000 leaves takes
    five rounds from nothing.
    """
    missing: list[bytes] = []
    waiting = [(ROOT_PREFIX, sorted(keys))]
    while waiting:
        prefix, wanted = waiting.pop()
        if not wanted:
            continue
        if prefix not in known:
            missing.append(prefix)
            continue
        page = known[prefix]
        if page is None:
            continue
        byte, is_low = len(prefix) >> 1, len(prefix) & 1
        below: dict[int, list[bytes]] = {}
        for key in wanted:
            nibble = key[byte] & 15 if is_low else key[byte] >> 4
            if page[FIRST_SLOT + nibble] == MANY:
                below.setdefault(nibble, []).append(key)
        waiting.extend((prefix + _NIBBLES[nibble], group) for nibble, group in below.items())
    return missing
