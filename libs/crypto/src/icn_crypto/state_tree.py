"""The state tree: a compact sparse Merkle tree over 256-bit keys, stored as pages of four levels.

A subtree without leaves hashes to 32 zero bytes, one with a single leaf to that leaf's hash, any other to
the hash of its two halves. The root is a function of the leaves alone, whatever the order of changes.

The tree reads pages through a port and returns the pages that changed; keeping them by height is the
caller's work.

Source: docs/spec/state-tree.md; docs/adr/0004-paged-state-tree.md.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from icn_crypto.hashing import NO_GENESIS, domain_hash
from icn_crypto.state_page import (
    EMPTY,
    EMPTY_SLOT,
    FIRST_SLOT,
    MANY,
    NONE,
    ONE,
    SLOTS,
    InvalidPage,
    Slot,
    hash_at,
    only_leaf,
    replace_slot,
    replace_slots,
    reshape,
    slot_at,
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
    "missing_prefixes",
    "state_key",
    "verify_absence",
    "verify_inclusion",
]

KEY_BYTES: Final = 32

ROOT_PREFIX: Final = b""
"""Prefix of the page at the top. A prefix is one byte (0 to 15) per nibble of the keys below it."""

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


class StateTree:
    """One version of the tree, as its page source has it. Pure: it keeps nothing between calls."""

    def __init__(self, pages: PageSource) -> None:
        self._pages = pages

    def root(self) -> bytes:
        """Root of the tree, 32 bytes; zeros when it is empty."""
        page = self._pages.get(ROOT_PREFIX)
        return EMPTY if page is None else hash_at(page, 1)

    def update(self, changes: Mapping[bytes, bytes | None]) -> Update:
        """What the tree becomes when each key (32 bytes) gets the value, or loses its leaf for None.

        Removing a leaf that is not there changes nothing.

        Raises:
            InvalidPage: the source lacks a page that another names, or gives bytes that are none.
        """
        sha256 = hashlib.sha256
        ordered: list[_Change] = []
        for key in sorted(changes):
            assert len(key) == KEY_BYTES, "keys come from state_key"
            value = changes[key]
            if value is None:
                ordered.append((key, None, EMPTY))
            else:
                leaf = key + sha256(value).digest()
                ordered.append((key, leaf, sha256(b"\x00" + leaf).digest()))
        written: _Written = {}
        if not ordered:
            return Update(self.root(), written)
        page = self._pages.get(ROOT_PREFIX)
        top = self._apply(ROOT_PREFIX, page, ordered, written)
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
        while page[number] == MANY:
            if number >= FIRST_SLOT:
                prefix += _NIBBLES[number - FIRST_SLOT]
                page = self._page_below(prefix)
                number = 1
            depth = len(siblings)
            number = number << 1 | (key[depth >> 3] >> (7 - (depth & 7)) & 1)
            siblings.append(hash_at(page, number ^ 1))
        if page[number] == NONE:
            return Proof(tuple(siblings), Terminal.EMPTY)
        leaf = only_leaf(page, number)
        if leaf[:KEY_BYTES] == key:
            return Proof(tuple(siblings), Terminal.LEAF)
        return Proof(tuple(siblings), Terminal.OTHER_LEAF, OtherLeaf(leaf[:KEY_BYTES], leaf[KEY_BYTES:]))

    def _page_below(self, prefix: bytes) -> bytes:
        page = self._pages.get(prefix)
        if page is None or page[1] != MANY:
            raise InvalidPage(f"page {prefix.hex()} is named by the page above but is not there")
        return page

    def _apply(
        self, prefix: bytes, page: bytes | None, changes: list[_Change], written: _Written
    ) -> Slot | None:
        """Bring sorted changes into a page: what its slot above becomes, None if it stays as it is."""
        if page is not None and len(changes) == 1:
            return self._apply_one(prefix, page, changes[0], written)
        slots: list[tuple[int, Slot]] = []
        keeps_kinds = page is not None
        for nibble, group in _by_nibble(changes, len(prefix)):
            child = prefix + _NIBBLES[nibble]
            kind = NONE if page is None else page[FIRST_SLOT + nibble]
            if kind == MANY:
                slot = self._apply(child, self._page_below(child), group, written)
            else:
                old = EMPTY_SLOT if page is None or kind == NONE else slot_at(page, nibble)
                slot = self._settle(child, old, group, written)
            if slot is not None:
                slots.append((nibble, slot))
                keeps_kinds = keeps_kinds and slot[0] == kind
        if not slots:
            return None
        if page is not None and keeps_kinds:
            return _keep(prefix, *replace_slots(page, slots), written)
        return _write(prefix, *reshape(page, slots), written)

    def _apply_one(self, prefix: bytes, page: bytes, change: _Change, written: _Written) -> Slot | None:
        """``_apply`` for a single change: down to its slot, then up through the pages on the way."""
        key = change[0]
        way: list[tuple[bytes, bytes, int]] = []
        depth = len(prefix)
        while True:
            nibble = key[depth >> 1] & 15 if depth & 1 else key[depth >> 1] >> 4
            way.append((prefix, page, nibble))
            prefix += _NIBBLES[nibble]
            if page[FIRST_SLOT + nibble] != MANY:
                break
            page = self._page_below(prefix)
            depth += 1
        slot = self._settle(prefix, slot_at(page, nibble), [change], written)
        for page_prefix, old, slot_nibble in reversed(way):
            if slot is None:
                return None
            if slot[0] == old[FIRST_SLOT + slot_nibble]:
                slot = _keep(page_prefix, *replace_slot(old, slot_nibble, slot), written)
            else:
                slot = _write(page_prefix, *reshape(old, [(slot_nibble, slot)]), written)
        return slot

    def _settle(self, prefix: bytes, old: Slot, changes: list[_Change], written: _Written) -> Slot | None:
        """What a slot without a page below (empty or one leaf) becomes; None when it stays as it is."""
        kind, old_hash, old_leaf = old
        old_key = old_leaf[:KEY_BYTES]
        leaves = [change for change in changes if change[1] is not None]
        if kind == ONE and all(change[0] != old_key for change in changes):
            leaves.append((old_key, old_leaf, old_hash))
            leaves.sort()
        if len(leaves) > 1:
            return self._apply(prefix, None, leaves, written)
        if not leaves:
            return None if kind == NONE else EMPTY_SLOT
        _, leaf, leaf_hash = leaves[0]
        assert leaf is not None, "removals were left out"
        return None if leaf_hash == old_hash else (ONE, leaf_hash, leaf)


def _keep(prefix: bytes, page: bytes, top: bytes, written: _Written) -> Slot:
    """Record a page whose kinds did not change, so it stays."""
    written[prefix] = page
    # Only the page at the top may hold a single leaf, and nothing above asks for its stored form.
    return (MANY, top, top)


def _write(prefix: bytes, page: bytes, slot: Slot, written: _Written) -> Slot:
    """Record a page, or its going when fewer than two leaves are left, which the slot above then holds."""
    stays = slot[0] == MANY or (slot[0] == ONE and not prefix)
    written[prefix] = page if stays else None
    return slot


def _by_nibble(changes: list[_Change], depth: int) -> Iterator[tuple[int, list[_Change]]]:
    """Sorted changes in groups that share the nibble at ``depth``."""
    byte, is_low = depth >> 1, depth & 1
    start, count = 0, len(changes)
    while start < count:
        whole = changes[start][0][byte]
        nibble = whole & 15 if is_low else whole >> 4
        end = start + 1
        while (
            end < count and (changes[end][0][byte] & 15 if is_low else changes[end][0][byte] >> 4) == nibble
        ):
            end += 1
        yield nibble, changes[start:end]
        start = end


class _NoPages:
    """The source of a tree that does not exist yet."""

    def get(self, _prefix: bytes, /) -> bytes | None:
        return None


def build(leaves: Mapping[bytes, bytes]) -> Update:
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
